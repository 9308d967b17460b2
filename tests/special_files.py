"""What may lie under the name of a data file and is none: pipes, folders, devices, wrong files.

`MAKERS` has functions (path) that put such a thing there; tests give each to every reader.
"""
import io
import os
import socket
import struct

import numpy as np

from tests import fuzz_readers

_POINTER = ('version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 123456\n'
            .format('0' * 64))
_PAGE = '<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>x</body></html>\n'


def _socket(path):
    # A path of a socket takes 108 bytes, so it is bound from within its folder.
    before = os.open('.', os.O_RDONLY)
    os.chdir(os.path.dirname(path))
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.basename(path)[:90])
            if len(os.path.basename(path)) > 90:
                os.rename(os.path.basename(path)[:90], os.path.basename(path))
    finally:
        os.fchdir(before)
        os.close(before)


def _unreadable(path):
    fuzz_readers.write(path, b'\x93NUMPY')
    os.chmod(path, 0)


def _circle(path):
    os.symlink(os.path.basename(path), path)


def _long_link(path):
    os.symlink('x' * 200 + '\x1b[31m', path)


def _picture():
    from PIL import Image
    stream = io.BytesIO()
    Image.new('RGB', (9, 7), 'red').save(stream, 'PNG')
    return stream.getvalue()


def _archive():
    stream = io.BytesIO()
    np.savez(stream, x=np.zeros(3))
    return stream.getvalue()


def _program():
    return b'\x7fELF\x02\x01\x01' + bytes(9) + struct.pack('<HHI', 2, 62, 1) + bytes(500)


def _file(content):
    def make(path):
        fuzz_readers.write(path, content() if callable(content) else content)
    return make


def _sparse(path):
    with open(path, 'wb') as stream:
        stream.truncate(64 << 30)


MAKERS = {
    'pipe': os.mkfifo, 'folder': os.mkdir, 'socket': _socket, 'circle': _circle,
    'device': lambda path: os.symlink('/dev/zero', path),
    'terminal': lambda path: os.symlink('/dev/tty', path),
    'nothing': lambda path: None, 'nowhere': _long_link, 'unreadable': _unreadable,
    'empty': _file(b''), 'pointer': _file(_POINTER), 'page': _file(_PAGE),
    'picture': _file(_picture), 'archive': _file(_archive), 'program': _file(_program),
    'zeros': _file(bytes(4096)), 'huge': _sparse}
# Those that no reader may take for a file of its kind, whatever that is.
NEVER = {'pipe', 'folder', 'socket', 'device', 'terminal'}
