"""Command lines: parser, option types, the options that every training script has, exit codes."""
import argparse
import contextlib
import difflib
import errno
import functools
import gc
import io
import math
import os
import re
import signal
import sys
import threading
import traceback
from typing import Any, Callable, Iterator, List, Optional, Tuple

from common import errors

TRUE_WORDS = ('true', '1', 'yes')
FALSE_WORDS = ('false', '0', 'no')
_CALLING = re.compile(r'tensorflow\S*\.(pywrap_\w+|util\.nest\w*)$')     # modules of TensorFlow
_MOST_FOLDERS = 300     # of a path
_STOPPED = 'stopped at once; what was saved before is whole'
_SIGNALS = signal.SIGINT, signal.SIGTERM
_LATER = 0.02           # seconds after which a signal that came at a bad moment comes again
_AT_LAST = 20           # seconds after which it ends the process where its exception is held up


class Options(argparse.Namespace):
    """The settled options of a script: read-only attributes; `replace` gives a changed copy.

    Attributes cannot be set; asking for an option that is not there raises AttributeError.
    """

    def __init__(self, **values: Any):
        vars(self).update(values)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError('options are settled: {} cannot be set; use replace({}=...)'.format(
            name, name))

    def __delattr__(self, name: str) -> None:
        raise AttributeError('options are settled: {} cannot be deleted'.format(name))

    def replace(self, **changes: Any) -> 'Options':
        """Returns a copy in which some options have other values, or are new."""
        return Options(**dict(vars(self), **changes))


def settled(parsed: argparse.Namespace, **changes: Any) -> Options:
    """Makes a parser's result read-only, with some options changed or added."""
    return Options(**dict(vars(parsed), **changes))


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the example of a docstring as it stands and adds the real defaults to the help."""

    aliases = False     # whether all names of an option are shown, or the first alone

    def _get_help_string(self, action):
        if action.default is None or action.default == '' or action.required:
            return action.help
        return super()._get_help_string(action)

    def _format_action_invocation(self, action):
        names = action.option_strings
        if not names:
            return super()._format_action_invocation(action)
        if not self.aliases:
            names = names[:1] if names[0].startswith('--') else names[:2]
        if isinstance(action, _Flag) or action.nargs == 0:
            return ', '.join(names)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return '{} {}'.format(', '.join(names), value)


class _AllHelpFormatter(_HelpFormatter):
    aliases = True


class _HelpAll(argparse.Action):
    """Prints the help with every option under all its names."""

    def __init__(self, option_strings, dest, help=None):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS,
                         help=help)

    def __call__(self, parser, namespace, values, option_string=None):
        sys.stdout.write(parser.format_help(everything=True))
        parser.exit()


class Parser(argparse.ArgumentParser):
    """Refuses shortened and unknown options, and names the nearest known one.

    `--help` leaves out the groups of `add_expert_group` and further names of options; `--help_all`
    shows them.
    """

    expert_groups: Tuple[Any, ...] = ()

    def format_help(self, everything=False):
        """Returns the text of --help, or with `everything` that of --help_all."""
        groups, formatter = self._action_groups, self.formatter_class
        if everything:
            self.formatter_class = _AllHelpFormatter
        else:
            self._action_groups = [group for group in groups if group not in self.expert_groups]
        # argparse's own line would list every option.
        positionals = [action.metavar or action.dest for action in self._get_positional_actions()]
        self.usage = ' '.join(['%(prog)s [options]'] + positionals)
        try:
            return super().format_help()
        finally:
            self._action_groups, self.formatter_class = groups, formatter

    def parse_args(self, args=None, namespace=None):
        """Reads a command line; an unknown option or argument ends the process."""
        args = sys.argv[1:] if args is None else list(args)
        for argument in args:       # TensorFlow and the files of ours take UTF-8 alone
            if any('\ud800' <= letter <= '\udfff' for letter in argument):
                self.error('{} has bytes that are no UTF-8. Rename what it names.'.format(
                    errors.quote(argument, 100)))
        if self._subparsers is None:
            self._refuse_unknown(args)  # first: a required option that was misspelt is not missing
        namespace, extras = self.parse_known_args(args, namespace)
        if extras:
            self._refuse_unknown(extras)
            self.error('unexpected argument{} {}'.format(
                's' if len(extras) > 1 else '', ' '.join(extras)))
        return namespace

    def _refuse_unknown(self, args):
        if '--' in args:
            args = args[:args.index('--')]
        for argument in args:
            name = argument.split('=')[0]
            if not name.startswith('--') or ' ' in name or name in self._option_string_actions:
                continue
            near = difflib.get_close_matches(name, self._option_string_actions, n=1)
            self.error('unknown option {}{}'.format(
                name, '; did you mean {}?'.format(near[0]) if near else ''))

    def error(self, message):
        """Ends the process with exit code 2 and one line."""
        self.exit(2, '{}: error: {} ({} --help lists the options)\n'.format(
            self.prog, errors.one_line(message), self.prog))


class _Flag(argparse.Action):
    """A boolean option: `--name`, `--name=True|False` and `--noname`."""

    def __init__(self, option_strings, dest, default=False, help=None):
        self._negatives = ['--no' + name[2:] for name in option_strings]
        super().__init__(option_strings + self._negatives, dest, nargs='?', default=default,
                         type=boolean, metavar='True|False', help=help)

    def __call__(self, parser, namespace, values, option_string=None):
        negative = option_string in self._negatives
        if negative and values is not None:
            parser.error('{} takes no value'.format(option_string))
        setattr(namespace, self.dest, not negative if values is None else values)


def make_parser(doc: str) -> 'Parser':
    """Makes the parser of a script from its docstring.

    Args:
      doc: str, `__doc__` of the script; the first paragraph becomes the description, the rest
        (`Example: ...`) stands unchanged below the options.
    Returns:
      argparse.ArgumentParser that takes no shortened options; a wrong command line ends the
      process with exit code 2 and one line on stderr.
    """
    paragraphs = doc.strip().split('\n\n', 1)
    parser = Parser(description=paragraphs[0], allow_abbrev=False,
                     epilog=paragraphs[1] if len(paragraphs) > 1 else None,
                     formatter_class=_HelpFormatter)
    parser.add_argument('--help_all', action=_HelpAll,
                        help='show all options, those for experts and further names too')
    return parser


def add_expert_group(parser: 'Parser', title: str) -> Any:
    """Adds a group of options that --help leaves out and --help_all shows.

    Args:
      parser: parser of `make_parser`; title: str.
    Returns:
      the group.
    """
    group = parser.add_argument_group(title)
    parser.expert_groups += (group,)
    return group


def add_flag(parser: Any, name: str, *aliases: str, default: Optional[bool] = False,
             help: str = '') -> None:
    """Adds a boolean option, given as `--name`, `--name=True|False|1|0|yes|no` or `--noname`.

    Args:
      parser: parser or argument group.
      name: str, with its dashes; `aliases` likewise.
      default: bool.
      help: str, what the option does.
    """
    parser.add_argument(name, *aliases, action=_Flag, default=default, help=help)


def boolean(text: str) -> bool:
    """Argparse type: True or False from `True|False|1|0|yes|no` in any case."""
    if text.lower() in TRUE_WORDS + FALSE_WORDS:
        return text.lower() in TRUE_WORDS
    raise argparse.ArgumentTypeError('must be True or False, not "{}"'.format(text))


def path(text: str) -> str:
    """Argparse type: the name of a file or folder, which counts from where the user is."""
    if text.count(os.sep) > _MOST_FOLDERS:      # Python makes such folders by recursion
        raise argparse.ArgumentTypeError('a path of {} folders, more than {}; give a shorter one'
                                         .format(text.count(os.sep), _MOST_FOLDERS))
    return text


def names(text: str) -> List[str]:
    """Argparse type: names divided by commas."""
    return [name for name in text.split(',') if name]


def positive_int(text: str) -> int:
    """Argparse type: a whole number of at least 1."""
    return _number(text, int, lambda value: value >= 1, 'a whole number of at least 1')


def non_negative_int(text: str) -> int:
    """Argparse type: a whole number of at least 0."""
    return _number(text, int, lambda value: value >= 0, 'a whole number of at least 0')


def positive_float(text: str) -> float:
    """Argparse type: a finite number above 0."""
    return _number(text, float, lambda value: value > 0, 'a number above 0')


def non_negative_float(text: str) -> float:
    """Argparse type: a finite number of at least 0."""
    return _number(text, float, lambda value: value >= 0, 'a number of at least 0')


def fraction(text: str) -> float:
    """Argparse type: a number from 0 to 1, both included."""
    return _number(text, float, lambda value: 0 <= value <= 1, 'a number from 0 to 1')


def fraction_below_one(text: str) -> float:
    """Argparse type: a number from 0 to 1, 1 not included."""
    return _number(text, float, lambda value: 0 <= value < 1, 'a number from 0 to below 1')


def _number(text, kind, accepts, meaning):
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not accepts(value):
        raise argparse.ArgumentTypeError('must be {}, not "{}"'.format(meaning, text))
    return value


def add_max_pixels(parser: Any) -> None:
    """Adds --max_pixels, for scripts that read pictures from outside."""
    parser.add_argument('--max_pixels', type=positive_int, default=50000000,
                        help='the largest picture that is read, in pixels')


def add_remove_background(parser: Any) -> None:
    """Adds --remove_background, for scripts that take photos."""
    add_flag(parser, '--remove_background', help='cut the object out of a photo by GrabCut, where '
             'its background is not plain and the picture has no transparency')


def add_pretrained(parser: Any) -> None:
    """Adds --pretrained, for scripts that start from trained weights or use them."""
    add_flag(parser, '--pretrained',
             help='take the trained weights that ship with the model (<model>/pretrained)')


def add_device_options(parser: Any, device: str = 'auto',
                       device_help: str = 'auto takes an NPU, else a GPU, else the CPU') -> None:
    """Adds the options of every script that runs a network, in training or not.

    Args:
      parser: parser of `make_parser` or a group of it; device: default of --device;
      device_help: str, what --device means there.
    """
    parser.add_argument('--device', default=device, choices=('auto', 'cpu', 'gpu', 'npu'),
                        help=device_help)
    parser.add_argument('--precision_mode', default=None, metavar='MODE',
                        help='mix (= allow_mix_precision), default (what the platform does by '
                             'itself), or a mode of the adapter such as must_keep_origin_dtype; '
                             'unset: allow_mix_precision on an NPU, float32 elsewhere')
    add_flag(parser, '--emulate_precision', help='on a CPU or GPU: round as the NPU would in the '
                                                 '--precision_mode (unset: allow_mix_precision)')
    parser.add_argument('--emulate_overflow', default='saturate', choices=('saturate', 'inf'),
                        help='what becomes of values beyond +-65504 with --emulate_precision: '
                             'saturate as on the 910, inf as on later chips')
    parser.add_argument('--emulate_chip', default='910', choices=('910', '910B'),
                        help='whose kernels are emulated; products of the 910 take float16 only')
    parser.add_argument('--emulate_report', type=path, default='', metavar='FILE',
                        help='with --emulate_precision: where the ranges of the rounded values go, '
                             'for python -m common.precision')
    parser.add_argument('--keep_float32_scopes', default='', metavar='SCOPES',
                        help='scopes of the graph that stay in float32, on the NPU and emulated: '
                             'names with commas between them, or @FILE with a name a line')
    parser.add_argument('--threads', type=non_negative_int, default=0,
                        help='CPU threads of an operation; 0 leaves the choice to TensorFlow')
    add_flag(parser, '--debug', help='show tracebacks and the messages of TensorFlow')


def add_training_steps(parser: Any, *aliases: str, default: Optional[int] = None,
                       help: str = 'optimizer steps in all') -> None:
    """Adds --training_steps under the names that it has in all models, and further `aliases`."""
    parser.add_argument('--training_steps', '--train_steps', '--training-steps', *aliases,
                        type=positive_int, default=default, help=help)


def add_trained_options(parser: Any, output_path: str, *aliases: str,
                        checkpoint: str = 'checkpoint, or folder of one') -> None:
    """Adds the options that tell a script where a trained network is.

    Args:
      parser: parser of `make_parser`.
      output_path: str, the default of `--output_path`.
      aliases: further names of --checkpoint; checkpoint: str, what it may be.
    """
    parser.add_argument('--output_path', type=path, default=output_path,
                        help='folder of the training run (its config.json tells the network)')
    parser.add_argument('--checkpoint', '--ckpt_path', *aliases, type=path, default='',
                        help=checkpoint + '; unset: the newest of the run')
    add_pretrained(parser)


def add_run_options(parser: 'Parser', output_path: str) -> None:
    """Adds the options that every training script has.

    Args:
      parser: parser of `make_parser`. A model changes a default with `parser.set_defaults`.
      output_path: str, the default of `--output_path`.
    """
    parser.add_argument('--output_path', type=path, default=output_path,
                        help='folder for checkpoints, samples and records; the same command again '
                             'goes on from there')
    group = parser.add_argument_group('run')
    add_flag(group, '--resume', default=True,
             help='go on from the newest checkpoint in the output folder; --noresume sets what is '
                  'there aside and starts anew')
    group.add_argument('--seed', type=non_negative_int, default=0, help='of every random draw')
    group.add_argument('--freeze_layers', type=names, default=[], metavar='SCOPE,SCOPE',
                       help='scopes of variables that the training leaves as they are, to '
                            'fine-tune the rest of a --checkpoint')
    group.add_argument('--restart_layers', type=names, default=[], metavar='SCOPE,SCOPE',
                       help='scopes of variables that are not taken from --checkpoint or the '
                            'weights that ship, but begin anew')
    group.add_argument('--save_every', type=positive_int, default=1000,
                       help='steps between checkpoints')
    group.add_argument('--keep_checkpoints', type=positive_int, default=5,
                       help='newest checkpoints that are kept')
    group.add_argument('--report_every', type=positive_int, default=100,
                       help='steps between report lines')
    add_device_options(group)
    group.add_argument('--distribution', default='auto',
                       choices=('auto', 'none', 'tf', 'hccl', 'horovod'),
                       help='how several processes train together: a batch is shared out among '
                            'them; auto takes HCCL on NPUs (RANK_SIZE), Horovod below horovodrun, '
                            'TensorFlow itself (tf) where TF_CONFIG names several')
    group.add_argument('--peer_timeout', type=positive_int, default=40, metavar='SECONDS',
                       help='with --distribution tf: how long another process may be unreachable '
                            'or silent before this one ends')
    add_flag(group, '--modelzoo_log', help='with each report also the "Loss (name): value" lines '
                                           'that ModelZoo tools look for')
    _add_npu_options(add_expert_group(
        parser, 'Ascend NPU (no effect on another device, which the run then says)'))


def _add_npu_options(group):
    """Adds the options of the NPU; npu.NpuOptions checks what they say together."""
    group.add_argument('--precision_mode_v2', default=None, metavar='MODE',
                       help='mode of newer adapters, instead of --precision_mode')
    group.add_argument('--loss_scale', default='False', metavar='SCALE',
                       help='False, True or dynamic (adapts itself), or a fixed number from 1 up')
    add_flag(group, '--over_dump', help='dump floating point overflows to '
                                        '<output_path>/overflow_dump')
    add_flag(group, '--data_dump_flag', help='dump tensors to <output_path>/data_dump')
    group.add_argument('--data_dump_step', default='10', metavar='STEPS',
                       help='steps to dump, as 0|5|10 or 0|3-5')
    add_flag(group, '--profiling', help='write profiles to <output_path>/profiling')
    add_flag(group, '--autotune', help='tune operators, into <output_path>/autotune_dump')
    add_flag(group, '--mix_compile_mode', help='run operators that the NPU lacks on the host')
    add_flag(group, '--hcom_parallel', help='overlap gradient exchange with the backward pass')
    add_flag(group, '--deterministic', help='reproducible sums, slower')
    group.add_argument('--modify_mixlist', type=path, default='', metavar='FILE',
                       help='JSON file that changes the lists of mixed precision')
    group.add_argument('--fusion_switch_file', type=path, default='', metavar='FILE',
                       help='JSON file that switches fusion passes')
    group.add_argument('--customize_dtypes', type=path, default='', metavar='FILE',
                       help='file with the dtypes of single operators')
    group.add_argument('--op_cache_dir', type=path, default='', metavar='FOLDER',
                       help='where compiled operators are kept between runs')


def say(line: str) -> None:
    """Prints one line at once, so that a log behind a pipe is never late.

    Names of files and what stands in them may be part of it: nothing in it steers a terminal.
    """
    print(errors.escaped(line), flush=True)


def script(main: Callable[[], int]) -> None:
    """Ends the process with the exit code of a script's `main`.

    SIGINT and SIGTERM that come before its work begins, among imports say, end it in one line.
    """
    end_on_signals()
    sys.exit(main())


def end_on_signals() -> None:
    """Lets SIGINT and SIGTERM end the process in one line from here on."""
    for number in _SIGNALS:
        signal.signal(number, functools.partial(_stop, os.getpid()))


def _stop(owner, number, frame):
    """Ends the process; those that were forked from the script's own say nothing."""
    del frame
    if os.getpid() == owner:
        os.write(2, (_STOPPED + '\n').encode())
    os._exit(128 + number)


def _is_called_back(frame: Any) -> bool:
    """Returns whether a frame was entered from C code that does not pass exceptions on.

    TensorFlow's flattens structures; that of packages prints what comes while it is imported.
    """
    while frame is not None:
        if (_CALLING.match(frame.f_globals.get('__name__') or '')
                or frame.f_code.co_filename.startswith('<frozen importlib')):
            return True
        frame = frame.f_back
    return False


def _is_finalizer(frame: Any) -> bool:
    """Returns whether a frame belongs to a finalizer, whose exceptions Python prints and drops."""
    while frame is not None:
        if frame.f_code.co_name == '__del__' or (
                frame.f_code.co_name == '__call__'
                and frame.f_globals.get('__name__') in ('multiprocessing.util', 'weakref')):
            return True
        frame = frame.f_back
    return False


def put_off(number: int, frame: Any) -> bool:
    """Sends a signal to this process again, a little later, if its exception would get lost now.

    Args:
      number, frame: arguments of a handler of signals.
    Returns:
      whether that is so, and the handler has nothing to do.
    """
    if not _is_called_back(frame) and not _is_finalizer(frame):
        return False
    timer = threading.Timer(_LATER, os.kill, [os.getpid(), number])
    timer.daemon = True
    timer.start()
    return True


def end_at_last(number: int) -> None:
    """Ends the process some seconds later, unless `arrived` is called before.

    A signal's exception may be held up: a lock of a library that it left taken (TensorFlow's of
    graphs) is waited for without end while the exception passes by.

    Args:
      number: of the signal.
    """
    if hasattr(signal, 'setitimer'):    # not on Windows
        owner = os.getpid()
        signal.signal(signal.SIGALRM, lambda _, frame: _stop(owner, number, frame))
        signal.setitimer(signal.ITIMER_REAL, _AT_LAST)


def arrived() -> None:
    """Says that a signal's exception has come to where it is caught."""
    if hasattr(signal, 'setitimer'):
        signal.setitimer(signal.ITIMER_REAL, 0)


class _Signals:
    """Turns the first signal within the work into KeyboardInterrupt; later ones end the process.

    One that comes while C code of TensorFlow calls Python ends it too: that code looks at no
    exception and crashes. So does one among late imports; one within a finalizer comes again.

    Attributes:
      received: list of int; is_working: bool, whether somebody is there to catch the exception.
    """

    def __init__(self):
        self.received: List[int] = []
        self.is_working = True
        self._owner = os.getpid()

    def __call__(self, number, frame):
        if self.received or not self.is_working or os.getpid() != self._owner or (
                _is_called_back(frame)):
            _stop(self._owner, number, frame)
        if put_off(number, frame):
            return
        self.received.append(number)
        end_at_last(number)
        raise KeyboardInterrupt


@contextlib.contextmanager
def _interruptible() -> Iterator[_Signals]:
    """Handles signals by `_Signals`, in the main thread, as Python wants it."""
    signals = _Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    before = {number: signal.signal(number, signals) for number in _SIGNALS}
    try:
        yield signals
    finally:
        arrived()
        for number, earlier in before.items():
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)


def run(function: Callable[..., Any], *arguments: Any) -> int:
    """Calls the work of a script and turns what goes wrong into one line and an exit code.

    For scripts that build no graph; those that do start by `training.launch.main`.

    Args:
      function: the work; an int that it returns is the exit code.
      *arguments: of the function; `debug` of the first, the options, shows tracebacks.
    Returns:
      int: 0 done, 1 bad data or environment, 2 wrong usage, 3 loss not finite, 130 or 143 after
      SIGINT or SIGTERM.
    """
    with _interruptible() as signals:
        try:
            try:
                result = function(*arguments)
                sys.stdout.flush()
            finally:
                signals.is_working = False
            return result if isinstance(result, int) and not isinstance(result, bool) else 0
        except BrokenPipeError:
            # The reader of the pipe has gone (`| head`); keeps Python quiet when it flushes at its
            # end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except (KeyboardInterrupt, Exception) as caught:  # the last resort: reported, not swallowed
            if arguments[0].debug:
                traceback.print_exc()
            error: Optional[BaseException] = caught
        code = _reported(error, signals.received)
        if code > 128:  # objects that the signal left half made complain when they are deleted
            with contextlib.redirect_stderr(io.StringIO()):
                error = None
                gc.collect()
        return code


def _reported(error, received):
    """Prints the line that stands for an exception; returns the exit code."""
    # A signal that came within a call of TensorFlow's C code is the cause of a SystemError.
    cause = (isinstance(error, SystemError) and error.__cause__) or error
    # C code may also replace the exception of a signal by one of its own.
    if isinstance(cause, KeyboardInterrupt) or received and not hasattr(cause, 'exit_code'):
        print(_STOPPED, file=sys.stderr)
        return 128 + (received or [signal.SIGINT])[0]
    print(_message(cause), file=sys.stderr)
    return getattr(cause, 'exit_code', 1)


def _message(error):
    """Returns the one line that stands for an exception."""
    if isinstance(error, errors.InputError):
        return 'error: {}'.format(error)
    text = errors.one_line(str(error), 200)
    if hasattr(error, 'exit_code'):  # runs.Interrupted
        return text
    name = type(error).__name__
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return ('error: the disk is full ({}). Free some space, then give the same command '
                'again.'.format(error.filename or text))
    if isinstance(error, MemoryError) or name == 'ResourceExhaustedError':
        return ('error: out of memory ({}). Try a smaller --batch_size or a smaller '
                'model.'.format(text or name))
    return 'error: {}: {} (--debug shows where)'.format(name, text)
