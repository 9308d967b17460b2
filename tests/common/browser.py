"""A headless Chromium, driven through chromedriver's HTTP interface (W3C WebDriver)."""
import base64
import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

DRIVER, BROWSER = shutil.which('chromedriver'), shutil.which('chromium')
_ARGUMENTS = ['--headless=new', '--no-sandbox', '--disable-gpu', '--enable-unsafe-swiftshader',
              '--use-angle=swiftshader', '--window-size=1000,900', '--allow-file-access-from-files',
              '--disable-dev-shm-usage']


class Page:
    """A window of the browser."""

    def __init__(self, address):
        self._address = address

    def call(self, path, body=None, method=None):
        """Sends a command; returns its value."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._address + path, data, {
            'Content-Type': 'application/json'}, method=method or ('POST' if data else 'GET'))
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)['value']

    def open(self, url):
        """Loads a page and waits for it."""
        self.call('/url', {'url': url})

    def run(self, script, *arguments):
        """Runs a script with a `return` in the page."""
        return self.call('/execute/sync', {'script': script, 'args': list(arguments)})

    def find(self, selector):
        """Returns the element of a CSS selector, as arguments of `run` and actions take it."""
        return self.call('/element', {'using': 'css selector', 'value': selector})

    def screenshot(self):
        """Returns the window as bytes of a PNG."""
        return base64.b64decode(self.call('/screenshot'))

    def drag(self, element, across, down):
        """Presses the mouse on the middle of an element, moves it and lets go."""
        moves = [{'type': 'pointerMove', 'duration': 0, 'origin': element, 'x': 0, 'y': 0},
                 {'type': 'pointerDown', 'button': 0}]
        moves += [{'type': 'pointerMove', 'duration': 50, 'origin': 'pointer',
                   'x': across // 4, 'y': down // 4}] * 4
        self.call('/actions', {'actions': [{
            'type': 'pointer', 'id': 'mouse', 'parameters': {'pointerType': 'mouse'},
            'actions': moves + [{'type': 'pointerUp', 'button': 0}]}]})


@contextlib.contextmanager
def opened():
    """Yields a Page; browser and driver end with the block."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen([DRIVER, '--port={}'.format(port)], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    address = 'http://127.0.0.1:{}'.format(port)
    try:
        root = Page(address)
        for _ in range(100):
            try:
                if root.call('/status')['ready']:
                    break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        session = root.call('/session', {'capabilities': {'alwaysMatch': {
            'browserName': 'chrome', 'goog:loggingPrefs': {'browser': 'ALL'},
            'goog:chromeOptions': {'binary': BROWSER, 'args': _ARGUMENTS}}}})['sessionId']
        page = Page('{}/session/{}'.format(address, session))
        try:
            yield page
        finally:
            page.call('', method='DELETE')
    finally:
        driver.terminate()
        driver.wait()
