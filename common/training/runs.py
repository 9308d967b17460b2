"""A training run: session, initial values, resume, steps, reports, checkpoints, and a clean stop.

`<output_path>/` holds `checkpoints/` (`model-<step>`, `best-<step>`, each with `.state.json`),
`samples/`, `eval/`, `config.json`, `metrics.jsonl`, `first_steps.jsonl` (losses of steps 1 to 10),
`results.json`, TensorBoard's `events*`, and `report.html`, which is written anew while the run goes
on, and by `launch` at its end.

Where several processes train together (`Context.ranks`), the one of rank 0 alone writes and
reports; the others need the same output folder to know the step that a resumed run goes on from.

A resumed run equals the unbroken one to the last bit on a CPU when the model draws its data and its
randomness from (seed, step): variables, optimizer slots, step and `Run.state` come back.
"""
import contextlib
import datetime
import glob
import os
import random
import signal
import sys
import threading
import time
from typing import Any, Callable, ContextManager, Dict, Iterator, Optional, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, errors, files, redact
from common.device import emulation, npu
from common.ops import initial_values
from common.pages import report
from common.readers import text
from common.training import checkpoints, frozen_layers, launch, locks, records, reporting, results

# Options that a resumed run may change without becoming another run.
_HARMLESS = {'checkpoint', 'debug', 'distribution', 'emulate_report', 'keep_checkpoints',
             'modelzoo_log', 'output_path', 'peer_timeout', 'report_every', 'resume', 'save_every',
             'training_steps'}
_HEEDED = 0.5           # seconds between the steps behind which several processes heed signals
_PAGE_EVERY = 20.       # seconds between two report pages of a run, at least
_OWN_REMEDY = ('Give the options of its run (config.json), another --output_path, or start anew '
               'with --noresume.')
_MOVING = '.moving'     # in checkpoints that are set aside, until all the rest has followed


class Interrupted(Exception):
    """SIGINT or SIGTERM ended the run after a whole step and a checkpoint.

    Attributes:
      exit_code: int, 130 or 143.
    """

    def __init__(self, message, exit_code):
        super().__init__(message)
        self.exit_code = exit_code


def set_seeds(seed: int) -> None:
    """Seeds Python, NumPy and the default graph; call it before the graph is built."""
    random.seed(seed)
    np.random.seed(seed)
    tf.set_random_seed(seed)


def read_options(output_path: str) -> Dict[str, Any]:
    """Returns the options that a run recorded, for scripts that evaluate, sample or freeze.

    Args:
      output_path: str, the folder of a run.
    Returns:
      dict {option: value}.
    Raises:
      errors.InputError: the folder has no config.json of a run.
    """
    path = os.path.join(output_path, 'config.json')
    recorded = text.read_json(path)
    if not isinstance(recorded, dict) or not isinstance(recorded.get('options'), dict):
        raise errors.InputError('{} is no config.json of a run: it has no "options".'.format(path))
    return recorded['options']


def _read_state(path):
    """The state of a run beside a checkpoint, a dict of JSON values."""
    state = text.read_json(path, 'the state of a run', 'Remove it to let the records start anew.')
    if not isinstance(state, dict):
        raise errors.InputError('{} is no state of a run. Remove it to let the records start anew.'
                                .format(path))
    return state


class Run:
    """What `start` hands to a training loop.

    Attributes:
      sess: tf.Session with initialised or restored variables.
      output_path, checkpoints, samples, eval_dir: str, folders that exist.
      start_step: int, the step that the run goes on from.
      step: int, the last step that ended well.
      state: dict of JSON values; saved with each checkpoint and restored with it.
      results: results.Results, what is written once behind the last step; it outlives the run.
    """

    def __init__(self, options, context, sess, variables, state, lock=None):
        self.sess = sess
        self.output_path = context.output_path
        self.checkpoints, self.samples, self.eval_dir = (
            os.path.join(context.output_path, name)
            for name in (checkpoints.RUN_FOLDER, 'samples', 'eval'))
        self.state = dict(state or {})
        self.start_step = self.step = 0
        self.results = results.Results(None)
        self._options = options
        self._context = context
        self._lock = lock
        self._variables = variables
        self._saver = tf.train.Saver(variables, max_to_keep=None)
        saved = {variable.op.name for variable in variables}
        self._trainable = [
            variable for variable in tf.trainable_variables()
            if variable.op.name in saved and variable.dtype.base_dtype.is_floating]
        self._total = None
        self._saved_step = None
        self._signal = None
        self._in_step = False
        self._together = _Together(context)
        self._clock = reporting.StepClock()
        self._recorder = None
        self._values = {}
        self._next_page = time.monotonic() + _PAGE_EVERY

    def steps(self, total: int) -> Iterator[int]:
        """Yields the numbers of the steps still to do, saving every `options.save_every` steps.

        A signal is heeded after the running step: `Interrupted` comes out of the loop then. Of
        several processes all stop behind the same step, within about half a second.

        Args:
          total: int, steps in all, those of earlier runs included.
        Yields:
          int, from the step after the last one done to `total`.
        """
        self._total = total
        if self.step >= total:
            cli.say('nothing to do: step {} of {} is done already; results in {}'.format(
                self.step, total, self.output_path))
            return
        self._in_step = True
        try:
            for step in range(self.step + 1, total + 1):
                self._clock.begin()
                yield step
                self._clock.end()
                self.step = step
                if self._stops(step):
                    raise self._interrupted()  # `start` saves
                if self.due(step, self._options.save_every):
                    self.save(step)
        finally:
            self._in_step = False

    def _stops(self, step):
        """Returns whether a signal, of this process or of another one, ends the run here."""
        heeded = self._together.signal(self, step, self._signal)
        self._signal = heeded or self._signal
        return heeded is not None

    def due(self, step: int, every: int) -> bool:
        """Returns whether something that is done every so many steps falls on this one.

        Args:
          step: int.
          every: int; 0 means at the last step only.
        Returns:
          bool, True at the last step too.
        """
        return step == self._total or (every > 0 and step % every == 0)

    def report(self, step: int, **losses: Any) -> None:
        """Checks the losses of a step; now and then prints and records them. Call it each step.

        Args:
          step: int.
          **losses: numbers (or arrays [1]) under the names to print.
        Raises:
          errors.NonFiniteLossError: a loss is NaN or infinite; nothing is saved after that.
        """
        self._clock.end()
        values = {name: np.asarray(value).item() for name, value in losses.items()}
        for name, value in values.items():
            if not reporting.is_finite(value):
                raise self._not_finite('{} is {} at step {}'.format(name, value, step))
        self.step = step
        self._values = values
        if self._recorder is not None and step <= records.FIRST_STEPS:
            self._record(self._recorder.add_first, step, values)
        if self.due(step, self._options.report_every):
            self._print_report(step, values)

    def _print_report(self, step, values):
        pace = self._clock.seconds_per_step
        timed = {} if pace is None else {'seconds_per_step': pace}
        if self._recorder is None:  # another process reports
            return
        self._record(self._recorder.add, step, dict(values, **timed, **self._loss_scales()))
        cli.say(reporting.progress_line(
            step, self._total or step, values, pace, self._clock.first_seconds))
        self._refresh_page()
        if self._options.modelzoo_log:
            for line in reporting.loss_lines(values):
                cli.say(line)

    def _loss_scales(self):
        """Returns what the emulated loss scale of each optimizer does, as numbers to record."""
        scales = (emulation.loss_scales(self.sess)
                  if isinstance(self.sess, emulation.Session) else [])
        return {'{}_{}'.format(name, number): value for number, row in enumerate(scales, 1)
                for name, value in zip(('scale_of_loss', 'skipped_steps'), row)}

    def _refresh_page(self):
        """Writes report.html anew, in a long run not more often than it takes time."""
        began = time.monotonic()
        if began < self._next_page:
            return
        with self.paused():
            launch.write_page(self._options, self._context)
        ended = time.monotonic()
        self._next_page = ended + max(_PAGE_EVERY, 50 * (ended - began))

    def _record(self, add, step, values):
        try:
            add(step, values)
        except FileNotFoundError:
            self._check_folder()
            raise

    def record(self, step: int, **values: Any) -> None:
        """Prints and records measurements of a step that are no losses, such as a validation's.

        Args:
          step: int.
          **values: numbers (or arrays [1]); NaN is recorded as it comes.
        """
        values = {name: np.asarray(value).item() for name, value in values.items()}
        if self._recorder is not None:
            self._record(self._recorder.add, step, values)
        cli.say(reporting.progress_line(step, self._total or max(1, step), values))

    def show(self, step: int, tag: str, picture: str, mesh: Any = None) -> None:
        """Shows a picture of a step, and a mesh, in TensorBoard; see `records.Recorder.show`."""
        if self._recorder is not None:
            self._recorder.show(step, tag, picture, mesh)

    def paused(self) -> ContextManager[None]:
        """Context manager; the time inside does not count as time of the step."""
        return self._clock.paused()

    @property
    def seconds_per_step(self) -> Optional[float]:
        """float, mean time of this process's steps but the first; None before the second."""
        return self._clock.seconds_per_step

    def say_waiting(self, seconds: float) -> None:
        """Prints which share of this process's steps went into waiting for batches.

        Args:
          seconds: float, waited in all.
        """
        line = reporting.wait_line(seconds, self.step - self.start_step, self.seconds_per_step)
        if line:
            cli.say(line)

    def save(self, step: int) -> str:
        """Saves all variables and the state as `checkpoints/model-<step>`; keeps the newest ones.

        Args:
          step: int, a step that has ended.
        Returns:
          str, the prefix.
        Raises:
          errors.NonFiniteLossError: a trainable variable holds NaN or infinity; nothing is saved.
          errors.InputError: the disk is full or the folder is gone; earlier checkpoints are whole.
        """
        prefix = os.path.join(self.checkpoints, 'model-{}'.format(step))
        if step == self._saved_step or not self._context.ranks.is_chief:
            return prefix
        self._write(prefix, self.state)
        self._saved_step = step
        saved = [other for other in checkpoints.in_folder(self.checkpoints)
                 if (checkpoints.step_of(other) or 0) <= step]
        checkpoints.write_list(self.checkpoints, saved[-self._options.keep_checkpoints:])
        for other in saved[:-self._options.keep_checkpoints]:
            checkpoints.remove(other)
        return prefix

    def save_best(self, step: int, value: float) -> bool:
        """Saves `checkpoints/best-<step>` when a value is lower than every earlier one.

        Args:
          step: int, the running step.
          value: float, such as a validation loss; NaN is never the best.
        Returns:
          bool, whether it was saved, by the process of rank 0 alone. `state` remembers
          "best_value" and "best_step".
        """
        value = float(value)
        lowest = self.state.get('best_value')
        if not reporting.is_finite(value) or (lowest is not None and value >= lowest):
            return False
        if not self._context.ranks.is_chief:
            return False
        best = {'best_value': value, 'best_step': step}
        prefix = os.path.join(self.checkpoints, 'best-{}'.format(step))
        self._write(prefix, dict(self.state, **best))
        self.state.update(best)
        for other in checkpoints.in_folder(self.checkpoints, 'best'):
            if other != prefix:
                checkpoints.remove(other)
        return True

    def _write(self, prefix, state):
        """Writes one checkpoint; a half-written one is removed again."""
        step = checkpoints.step_of(prefix)
        self._check_folder()
        for variable, value in zip(self._trainable, self.sess.run(self._trainable)):
            if not np.isfinite(value).all():
                raise self._not_finite('the variable {} holds NaN or infinity after step {}'
                                       .format(variable.op.name, step))
        rewritten = checkpoints.exists(prefix)
        try:
            files.write_json(prefix + '.state.json', dict(state, step=step))
            self._saver.save(self.sess, prefix, write_meta_graph=False, write_state=False)
        except (tf.errors.OpError, OSError, ValueError, errors.InputError) as error:
            if not rewritten:
                checkpoints.remove(prefix)
            raise errors.InputError('cannot save {} ({}). {} {}'.format(
                prefix, checkpoints.first_words(error), self._last_good(),
                'Free some space (or make the folder writable), then give the same command again.'
            )) from error

    def _check_folder(self):
        """Makes sure that the output folder and its lock are still those of this run."""
        if not os.path.isdir(self.checkpoints):
            raise errors.InputError(
                'the folder {} is gone: it was removed or renamed while the run wrote to it. Put '
                'it back, or start anew with the same command.'.format(self.checkpoints))
        if self._lock is not None and not self._lock.is_ours():
            raise errors.InputError(
                'the lock {} was removed or replaced while the run held it, so that another run '
                'may write into {}. {} End the other run, then give the same command again.'.format(
                    self._lock.path, self.output_path, self._last_good()))

    def _last_good(self):
        """Returns which checkpoint is the newest whole one."""
        if self._saved_step is None:
            return 'No checkpoint was saved before.'
        return 'The last good checkpoint is {}.'.format(
            os.path.join(self.checkpoints, 'model-{}'.format(self._saved_step)))

    def _not_finite(self, what):
        return errors.NonFiniteLossError(
            '{}; training stopped and nothing was saved after that. {} Try a lower '
            '--learning_rate, or look at the data.'.format(what, self._last_good()))

    def _interrupted(self):
        name = signal.Signals(self._signal).name
        saved = 'at step {}, saved in {}'.format(self.step, self.checkpoints)
        return Interrupted('stopped by {} {}; the same command goes on from there'.format(
            name, saved if self.step else 'before the first step'), 128 + self._signal)

    def _on_signal(self, number, frame):
        if not self._in_step and cli.put_off(number, frame):
            return
        if self._signal is not None:
            if number == signal.SIGINT:
                cli.end_at_last(number)
                raise KeyboardInterrupt
            return
        self._signal = number
        if not self._in_step:
            cli.end_at_last(number)
            raise self._interrupted()
        # Not print: the signal may have come in the midst of one.
        os.write(2, b'stopping after this step (Ctrl-C stops at once)\n')

    def _save_if_new(self):
        if self.step > self.start_step and self.step != self._saved_step:
            self.save(self.step)

    def _restore_own(self, prefix):
        """Goes on from a checkpoint of this output folder; returns lines to print."""
        state_path = prefix + '.state.json'
        checkpoints.restore(self.sess, prefix, self._variables, strict=True, remedy=_OWN_REMEDY)
        self.start_step = self.step = self._saved_step = checkpoints.step_of(prefix)
        if not os.path.exists(state_path):
            return ['note: {} is missing, so its records (such as the best value so far) start '
                    'anew'.format(state_path)]
        self.state.update(_read_state(state_path))
        self.state.pop('step', None)
        return []

    def _restore_weights(self, prefix, anew=None, scopes=()):
        """Takes the model's variables from another checkpoint; returns lines to print."""
        wanted, fresh = _model_variables(self._variables)
        names = [variable.op.name for variable in wanted]
        anew = anew or {}
        others = [name for name in names if anew.get(name)]
        frozen_layers.check('--restart_layers', names, scopes)
        restarted = [name for name in names if frozen_layers.lies_in(name, scopes)]
        wanted = [variable for variable in wanted
                  if variable.op.name not in anew and variable.op.name not in restarted]
        checkpoints.restore(self.sess, prefix, wanted, remedy='Give the options of the network '
                            'that --checkpoint was trained with, or another --checkpoint.')
        lines = ['note: {} {}, unlike in {}'.format(name, anew[name], prefix) for name in others]
        if restarted:
            lines.append('--restart_layers: {} of {} variables begin anew'.format(
                len(restarted), len(names)))
        return lines + ['weights of {} ({} variables); step count and {} variables of the '
                        'optimizer start anew'.format(prefix, len(wanted), len(fresh))]

    def _finish(self):
        """Saves what is new and says where the results are."""
        if self.step == self.start_step:
            return
        self._save_if_new()
        if isinstance(self.sess, emulation.Session):
            for line in self.sess.describe():
                cli.say(line)
        pace = self.seconds_per_step
        if pace is not None:
            cli.say(reporting.step_time_line(pace))
        for line in reporting.loss_lines(self._values):
            cli.say(line)
        cli.say('done: step {}, results in {}'.format(self.step, self.output_path))


def _model_variables(variables):
    """Parts the variables of the model from those that the optimizer and the counters own.

    Args:
      variables: list.
    Returns:
      (wanted, fresh): trainable variables and what else the network has (such as moving averages);
      slots (`<trainable>/Adam`) and scalars that are not trained (powers of beta, steps).
    """
    trainable = {variable.op.name for variable in tf.trainable_variables()}
    wanted, fresh = [], []
    for variable in variables:
        name = variable.op.name
        belongs_to_optimizer = name not in trainable and (
            variable.shape.ndims == 0 or any(other + '/' in name for other in trainable))
        (fresh if belongs_to_optimizer else wanted).append(variable)
    return wanted, fresh


@contextlib.contextmanager
def start(options: cli.Options, context: launch.Context,
          variables: Optional[Sequence[tf.Variable]] = None,
          state: Optional[Dict[str, Any]] = None,
          init: Optional[Callable[[tf.Session], None]] = None,
          summary: Optional[str] = None,
          anew: Optional[Dict[str, str]] = None) -> Iterator[Run]:
    """Opens a run: folders, session, initial values or the newest checkpoint, signals, first line.

    Leaving the block saves the last step, unless an exception comes out of it; one run at a time
    writes into a folder.

    Args:
      options: those of `cli.add_run_options` and `checkpoint`, the weights to start from when the
        output folder has no checkpoint ('': none). All are recorded in config.json.
      context: launch.Context.
      variables: list of variables to save and restore; None means all global variables.
      state: dict of JSON values, `Run.state` of a new run.
      init: function(sess), called after the variables have their initial values and before a
        checkpoint is restored, in new and resumed runs.
      anew: dict {name of a variable that is not taken from `options.checkpoint`, such as the
        embedding of other classes, but stays as `init` leaves it: what becomes of it, to be told}.
      summary: str, what the first line says of model and data, e.g. 'PolyGen; 4 meshes in meshes/'.
    Yields:
      Run.
    Raises:
      errors.InputError: the folder cannot be written or is in use, a checkpoint is damaged or
        belongs to another network, an option of the device is wrong.
      Interrupted: after SIGINT or SIGTERM and a checkpoint.
    """
    is_chief, output_path = context.ranks.is_chief, context.output_path
    variables = tf.global_variables() if variables is None else list(variables)
    lock = None
    with contextlib.ExitStack() as stack:
        _make_folders(output_path)
        if is_chief:
            lock = stack.enter_context(locks.hold(output_path))
            _clear_away(options.output_path, output_path)
        initial_values.seed_by_names(tf.global_variables(), context.seed)
        sess = stack.enter_context(context.open_shared_session())
        run = Run(options, context, sess, variables, state, lock)
        stack.enter_context(_signals(run))
        sess.run([tf.global_variables_initializer(), tf.local_variables_initializer(),
                  tf.tables_initializer()])
        if init is not None:
            init(sess)
        notes = _restore_all(run, options, context, anew)
        if is_chief:
            run._recorder = records.Recorder(output_path, run.start_step)
            stack.callback(run._recorder.close)
            run.results = results.Results(output_path, run.start_step)
            _write_config(options, context)
        _print_start(run, context, summary, notes)
        try:
            yield run
        except Interrupted:
            run._save_if_new()
            context.peers.meet(is_end=True)
            raise
        run._finish()
        context.peers.meet()


def _clear_away(folder, part):
    """Removes what killed processes left in an output folder and in the part of it for a run.

    The page is the whole folder's; earlier versions wrote one of a part, too.
    """
    for place in sorted({folder, part}):
        files.remove_temporary(place)
    checkpoints.remove_temporary(os.path.join(part, checkpoints.RUN_FOLDER))
    if part != folder:
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(part, report.NAME))


def _restore_all(run, options, context, anew):
    """Brings the processes of a run to the step and values they begin with; returns notes."""
    notes = _finish_setting_aside(run) if context.ranks.is_chief else []
    notes += frozen_layers.describe(tf.trainable_variables(), context.freeze_layers)
    notes += _restore(run, options, context, anew)
    run._together.begin(run)
    return notes


class _Together:
    """What the processes of a run do as one: begin with equal values, stop behind the same step.

    Args:
      context: launch.Context; in a single process nothing is added to the graph.
    """

    def __init__(self, context: launch.Context):
        ranks = self._ranks = context.ranks
        self._peers = context.peers
        self._next = 0      # the step behind which they tell each other of signals
        if ranks.size == 1:
            return
        self._broadcast = ranks.broadcast()
        self._own = tf.placeholder(tf.float32, [3], name='told')
        self._mean = ranks.mean(self._own)

    def _average(self, run, *values):
        return run.sess.run(self._mean, {self._own: values})

    def begin(self, run: Run) -> None:
        """Starts all processes from the values of rank 0."""
        if self._ranks.size == 1:
            return
        self._peers.compare({'operations in the graph': len(
            [op for op in run.sess.graph.get_operations() if op.type == 'CollectiveReduce'])})
        mean = self._average(run, run.start_step, 0, 0)[0]
        if abs(mean - run.start_step) > 0.5 / self._ranks.size:
            raise errors.InputError(
                'the process of rank {} goes on from step {}, but others do from another one: all '
                'need the same --output_path, on a disk that they share.'.format(
                    self._ranks.rank, run.start_step))
        run.sess.run(self._broadcast)

    def signal(self, run: Run, step: int, own: Optional[int]) -> Optional[int]:
        """Returns the signal that ends the run behind this step, the same in all processes.

        Args:
          run: Run; step: int, the one that has ended; own: the signal that this process received.
        """
        if self._ranks.size == 1:
            return own
        if step < self._next:
            return None
        pace = run.seconds_per_step or 0
        interrupts, terminations, pace = self._average(
            run, own == signal.SIGINT, own == signal.SIGTERM, pace)
        self._next = step + (int(np.clip(_HEEDED / pace, 1, 1000)) if pace else 1)
        return signal.SIGINT if interrupts else signal.SIGTERM if terminations else None


def _make_folders(output_path):
    launch.check_output(output_path)
    try:
        for name in (checkpoints.RUN_FOLDER, 'samples', 'eval'):
            os.makedirs(os.path.join(output_path, name), exist_ok=True)
    except OSError as error:
        raise errors.InputError('cannot write to the output folder {}: {}. Choose another '
                                '--output_path.'.format(output_path, error.strerror)) from error


@contextlib.contextmanager
def _signals(run):
    """Hands SIGINT and SIGTERM to the run; Python lets only the main thread do that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, run._on_signal)
              for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        cli.arrived()
        for number, handler in before.items():
            signal.signal(number, handler)


def _restore(run, options, context, anew):
    """Restores what the options ask for.

    Returns:
      list of lines that say what was done and which options have changed since.
    """
    asked = checkpoints.latest(options.checkpoint) if options.checkpoint else None
    has_own = (os.path.exists(os.path.join(run.checkpoints, checkpoints.STATE_FILE))
               or bool(checkpoints.in_folder(run.checkpoints)))
    if not options.resume or not has_own:
        lines = run._restore_weights(asked, anew, context.restart_layers) if asked else []
        if context.restart_layers and not asked:
            lines.append('note: --restart_layers is left aside, since nothing is taken from a '
                         '--checkpoint')
        return lines + (_set_aside(run) if has_own and context.ranks.is_chief else [])
    lines = _changed_options(options, run.output_path)
    if asked and _is_own(asked, run):
        return run._restore_own(asked) + lines
    if asked:
        lines.append('note: --checkpoint {} is left aside, since the output folder has checkpoints '
                     'of its own (--noresume starts anew)'.format(asked))
    prefix, lost = checkpoints.resumable(run.checkpoints)
    if prefix and lost:
        lines.append('note: {} has lost a file; going on from {}'.format(
            errors.listed(map(os.path.basename, lost)), prefix))
    return run._restore_own(prefix or checkpoints.latest(run.checkpoints)) + lines


def _is_own(prefix, run):
    """Returns whether a checkpoint is one that the run saved in its folder to go on from."""
    folder, name = os.path.split(os.path.realpath(prefix))
    return folder == os.path.realpath(run.checkpoints) and name.startswith('model-')


def _set_aside(run):
    """Moves checkpoints and records of earlier runs away; returns a line that says where to.

    A mark goes with the checkpoints, in one exchange with them, until all the rest has followed.
    """
    number = 1
    while os.path.exists('{}-{}'.format(run.checkpoints, number)):
        number += 1
    target = '{}-{}'.format(run.checkpoints, number)
    files.write_text(os.path.join(run.checkpoints, _MOVING), '')
    os.rename(run.checkpoints, target)
    _move_rest(run.output_path, target)
    return ['--noresume: the results of the run are in {} now'.format(target)]


def _finish_setting_aside(run):
    """Moves what a run that was killed while it set results aside has left; returns lines."""
    with contextlib.suppress(FileNotFoundError):    # it was killed before it moved anything
        os.remove(os.path.join(run.checkpoints, _MOVING))
    marks = glob.glob(os.path.join(glob.escape(run.checkpoints) + '-*', _MOVING))
    for mark in marks:
        _move_rest(run.output_path, os.path.dirname(mark))
    return ['--noresume of an earlier run: its results are in {} now'.format(os.path.dirname(mark))
            for mark in marks]


def _move_rest(output_path, target):
    """Moves all results but the checkpoints, takes the mark away, and makes the folders anew."""
    names = [results.FILE, 'metrics.jsonl', records.FIRST, 'config.json', 'samples', 'eval',
             report.NAME]
    for path in glob.glob(os.path.join(glob.escape(output_path), '*.pb')):
        stem = os.path.basename(path)[:-3]
        names += [stem + '.json', stem + '_sample.npz', stem + '.pb']   # it tells of the others
    for name in names:
        path, place = os.path.join(output_path, name), os.path.join(target, name)
        if os.path.exists(path) and not os.path.exists(place):
            os.rename(path, place)
    _make_folders(output_path)
    os.remove(os.path.join(target, _MOVING))


def _changed_options(options, output_path):
    """Returns which options differ from those that config.json recorded."""
    if not os.path.exists(os.path.join(output_path, 'config.json')):
        return []
    before, now = [_leaves(values) for values in (read_options(output_path),
                                                  records.options_of(options))]
    return ['note: --{} was {} before and is {} now'.format(name, before[name], now[name])
            for name in sorted(set(before) & set(now) - _HARMLESS) if before[name] != now[name]]


def _leaves(options, place=''):
    """Flattens nested options to {name: value}: option b of the dict a is named a.b."""
    leaves = {}
    for name, value in options.items():
        if isinstance(value, dict):
            leaves.update(_leaves(value, '{}{}.'.format(place, name)))
        else:
            leaves[place + name] = value
    return leaves


def _print_start(run, context, summary, notes):
    """Prints the first line of a run, and one for each thing that the user should know."""
    begins = 'goes on from step {}' if run.start_step else 'starts at step {}'
    parts = [summary, '{:,} parameters'.format(records.num_parameters(tf.trainable_variables())),
             '{} ({})'.format(context.device, context.precision.effective),
             'output in {}'.format(run.output_path), begins.format(run.start_step)]
    cli.say('; '.join(part for part in parts if part))
    ignored = npu.explain_ignored(context.npu_options, context.device)
    for line in [context.precision.message] + ignored + notes:
        if line:
            cli.say(line)


def _write_config(options, context):
    """Records options, precision, versions and command of the run in config.json."""
    files.write_json(os.path.join(context.output_path, 'config.json'), {
        'options': records.options_of(options),
        'seed': context.seed,
        'device': context.device,
        'precision': {'asked': context.precision.asked, 'effective': context.precision.effective},
        'parameters': records.num_parameters(tf.trainable_variables()),
        'command': redact.command(sys.argv),
        'started': datetime.datetime.now().isoformat(timespec='seconds'),
        'versions': launch.versions()})
