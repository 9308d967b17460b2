"""A newcomer's trial: clones the project and runs the commands of its READMEs, as they stand there.

First the two commands of the project's README, then the quick start of each model, each command by
itself. Prints a Markdown table of seconds, peak memory and what lies in the output at the end;
fails when a command fails, or leaves no picture, mesh or .pb. Wants git, bash and any Python 3.

Example: python3 tests/trial.py --folder=trial
"""
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli, errors

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODELS = ('polygen', 'vsl', 'imnet', 'r2n2', 'cmr')
PROJECT = 'project'         # stands for the two commands of the project's README
_TITLES = {'README.md': ('Two commands', 'Quick start'),
           'README_CN.md': ('两条命令', '快速开始')}
_KINDS = (('pictures', ('.png',)), ('meshes', ('.obj', '.glb', '.ply')), ('.pb', ('.pb',)))
_SETS = ('data', 'furniture', 'generated')
_EVERY = 0.5                # seconds between two looks at the memory


def commands(root, part, name='README.md'):
    """The commands of one part's quick start.

    Args:
      root: str, folder of the project; part: one of MODELS, or PROJECT; name: str, which README.
    Returns:
      list of str, one command each, remarks behind them left out.
    Raises:
      ValueError: the README has no such section, or no command in it.
    """
    path = os.path.join(root, '' if part == PROJECT else part, name)
    with open(path, encoding='utf-8') as stream:
        text = stream.read()
    title = _TITLES[name][part != PROJECT]
    section = re.search(r'^## {}\n(.*?)(?=^## |\Z)'.format(title), text, re.DOTALL | re.MULTILINE)
    fenced = re.findall(r'^```bash\n(.*?)^```', section.group(1) if section else '',
                        re.DOTALL | re.MULTILINE)
    lines = ''.join(fenced).replace('\\\n', ' ').splitlines()
    texts = [line for line in (re.split(r'\s+# ', line)[0].strip() for line in lines) if line]
    if not texts:
        raise ValueError('{}: no ```bash command below "## {}"'.format(path, title))
    return texts


def _memory_of(session):
    """MiB that the processes of a session hold; what they share counts once (Linux)."""
    total = 0
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/{}/stat'.format(pid)) as stream:
                if int(stream.read().rsplit(')', 1)[1].split()[3]) != session:
                    continue
            with open('/proc/{}/smaps_rollup'.format(pid)) as stream:
                total += int(re.search(r'^Pss:\s+(\d+)', stream.read(), re.MULTILINE).group(1))
        except (OSError, AttributeError):       # it has ended, or is none of ours
            continue
    return total / 1024


def run(command, folder, log):
    """Runs a command line in bash.

    Args:
      command: str; folder: str, where; log: binary stream for its output.
    Returns:
      (exit code, seconds, peak memory in MiB).
    """
    start = time.time()
    process = subprocess.Popen(['bash', '-c', command], cwd=folder, stdin=subprocess.DEVNULL,
                               stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    peak, over = [0], threading.Event()

    def watch():
        while not over.wait(_EVERY):
            peak[0] = max(peak[0], _memory_of(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    over.set()
    watcher.join()
    return code, time.time() - start, peak[0]


def outputs(folder):
    """{kind: number of files} below a folder, by _KINDS; those of made sets do not count."""
    names = []
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SETS]
        names += files
    return {kind: sum(name.endswith(ends) for name in names) for kind, ends in _KINDS}


def _try(parts, folder, log):
    """Runs everything; returns (rows of the table, complaints)."""
    rows, wrong = [], []
    for part in parts:
        variables = ''
        for command in commands(folder, part):
            if re.match(r'\w+=\$\(', command):      # counts for the commands behind it
                variables += command + '; '
            print('{}: {}'.format(part, command), flush=True)
            log.write('\n$ {}\n'.format(command).encode())
            log.flush()
            code, seconds, peak = run(variables + command, folder, log)
            rows.append((part, command, '{:.0f} s'.format(seconds), '{:.0f} MiB'.format(peak), ''))
            print('    exit code {}, {:.0f} s, {:.0f} MiB'.format(code, seconds, peak), flush=True)
            if code:
                wrong.append('{}: exit code {} of {}'.format(part, code, command))
        if part != PROJECT:
            produced = outputs(os.path.join(folder, part, 'test', 'output', '0'))
            rows[-1] = rows[-1][:-1] + (', '.join('{} {}'.format(number, kind)
                                                  for kind, number in produced.items()),)
            wrong += ['{}: no {} in its output'.format(part, kind)
                      for kind, number in produced.items() if not number]
    return rows, wrong


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--folder', default='', help='new folder for the clone; unset: a '
                                                     'temporary one')
    parser.add_argument('--parts', nargs='+', choices=(PROJECT,) + MODELS,
                        default=[PROJECT, *MODELS], help='what to try')
    parser.add_argument('--environment', default='', help='a .venv to use instead of making one')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def try_out(config):
    """Clones, runs, prints the table.

    Raises:
      errors.InputError: a command failed or left nothing, or git cannot clone.
    """
    folder = os.path.abspath(config.folder or os.path.join(tempfile.mkdtemp(), 'clone'))
    if subprocess.call(['git', 'clone', '--quiet', ROOT, folder]):
        raise errors.InputError('cannot clone {} into {}; see above.'.format(ROOT, folder))
    if config.environment:
        os.symlink(os.path.abspath(config.environment), os.path.join(folder, '.venv'))
    with open(folder + '.log', 'wb') as log:
        rows, wrong = _try(config.parts, folder, log)
    print('\n| part | command | time | peak memory | output |\n|---|---|---:|---:|---|')
    for row in rows:
        print('| {} | `{}` | {} | {} | {} |'.format(*row))
    if wrong:
        raise errors.InputError('{}; see {}.log.'.format('; '.join(wrong), folder))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(try_out, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
