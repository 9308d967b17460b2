"""What a run says and writes down: lines, metrics.jsonl, TensorBoard, its options."""
import contextlib
import json
import math
import os
import time

import tensorflow.compat.v1 as tf

from common import files, redact

_silent = False     # in the processes of a training but the first


def silence():
    """Makes `say` print nothing in this process: another one reports."""
    global _silent
    _silent = True


def say(line):
    """Prints one line at once, so that a log behind a pipe is never late."""
    if not _silent:
        print(line, flush=True)


def format_value(value):
    """Writes a number in few characters: `0.0184`, `1234.5`, `3.10e-06`; an int as it is."""
    if isinstance(value, int):
        return str(value)
    size = abs(value)
    if size >= 1e6 or 0 < size < 1e-3:
        return '{:.2e}'.format(value)
    return '{:.1f}'.format(value) if size >= 1000 else '{:.4f}'.format(value)


def format_duration(seconds):
    """Writes seconds as `54s`, `6m54s` or `2h03m10s`."""
    minutes, seconds = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return '{}h{:02d}m{:02d}s'.format(hours, minutes, seconds)
    return '{}m{:02d}s'.format(minutes, seconds) if minutes else '{}s'.format(seconds)


def progress_line(step, total, values, seconds_per_step=None, first_seconds=None):
    """Gives the report line, `step 1200/5000  24.0%  loss 0.0184  0.109 s/step  eta 6m54s`.

    Args:
      step: int, steps done, counted over the whole run.
      total: int, steps asked for.
      values: dict {name: number}, in the order to print them.
      seconds_per_step: float, mean time of a step, or None while only the first one is known.
      first_seconds: float, time of the first step; printed (without an ETA) when the mean is None;
        without both the line ends behind the values.
    Returns:
      str without a line break.
    """
    eta = '?' if seconds_per_step is None else format_duration(seconds_per_step * (total - step))
    pace = first_seconds if seconds_per_step is None else seconds_per_step
    parts = ['step {}/{}'.format(step, total), '{:.1f}%'.format(100.0 * step / total)]
    parts += ['{} {}'.format(name, format_value(value)) for name, value in values.items()]
    if pace is not None:
        parts += ['{:.3f} s/step'.format(pace), 'eta {}'.format(eta)]
    return '  '.join(parts)


def step_time_line(seconds):
    """Gives the line in which ModelZoo tools look for the mean time of a step, in seconds."""
    return 'StepTime: {:.6f}'.format(seconds)


def wait_line(seconds, steps, seconds_per_step):
    """Gives the line on data: which share of the steps' time went into making batches.

    Args:
      seconds: float, spent on batches in all; steps: int.
      seconds_per_step: float, or None when it is not known.
    Returns:
      str, or None when there is nothing to say.
    """
    if not (steps and seconds_per_step):
        return None
    return 'batches took {:.2%} of the time of a step'.format(seconds / steps / seconds_per_step)


def loss_lines(values):
    """Gives the lines in which ModelZoo tools look for losses, the value last on the line.

    `loss_faces` is written as `Loss (faces): 0.0131`, `loss` as `Loss: 0.0131`; values under other
    names are no losses.
    """
    lines = []
    for name, value in values.items():
        if name == 'loss':
            lines.append('Loss: {:.6f}'.format(value))
        elif name.startswith('loss_'):
            lines.append('Loss ({}): {:.6f}'.format(name[len('loss_'):], value))
    return lines


def accuracy_line(value, name=None):
    """Gives the line in which ModelZoo tools look for an accuracy, e.g. `Accuracy: 0.9312`."""
    return 'Accuracy{}: {:.6f}'.format(' ({})'.format(name) if name else '', value)


class StepClock:
    """Times the steps, leaving out the first one (it compiles the graph) and the pauses.

    Args:
      now: function that gives seconds; a test puts its own in.
    """

    def __init__(self, now=time.perf_counter):
        self._now = now
        self._began = None
        self._paused_seconds = 0.0
        self._total = 0.0
        self.count = 0            # steps timed, the first one included
        self.first_seconds = 0.0

    def begin(self):
        """Starts the time of a step."""
        self._began = self._now()
        self._paused_seconds = 0.0

    def end(self):
        """Ends the time of the running step; without one it does nothing."""
        if self._began is None:
            return
        seconds = self._now() - self._began - self._paused_seconds
        self._began = None
        self.count += 1
        if self.count == 1:
            self.first_seconds = seconds
        else:
            self._total += seconds

    @contextlib.contextmanager
    def paused(self):
        """Leaves the time of the block out of the running step."""
        began = self._now()
        try:
            yield
        finally:
            self._paused_seconds += self._now() - began

    @property
    def seconds_per_step(self):
        """float, mean over all steps but the first, or None before the second one has ended."""
        return self._total / (self.count - 1) if self.count > 1 else None


def read_metrics(path):
    """Reads a metrics.jsonl file; a last line cut short by a killed run is left out.

    Args:
      path: str; a file that does not exist counts as empty.
    Returns:
      list of dicts, each with "step".
    """
    if not os.path.exists(path):
        return []
    rows = []
    with open(path, encoding='utf-8') as stream:
        for line in stream:
            try:
                rows.append(json.loads(line))
            except ValueError:
                break  # A torn line is the last one; the resumed run writes it anew.
    return rows


class Recorder:
    """Appends rows to metrics.jsonl and scalars to TensorBoard's event files.

    Args:
      folder: str, where `metrics.jsonl` and `events*` lie.
      start_step: int, the step the run goes on from; recorded rows beyond it are dropped.
    """

    def __init__(self, folder, start_step=0):
        self.path = os.path.join(folder, 'metrics.jsonl')
        self._folder = folder
        self._start_step = start_step
        self._writer = None
        rows = [row for row in read_metrics(self.path) if row['step'] <= start_step]
        files.write_text(self.path, ''.join(json.dumps(row) + '\n' for row in rows))

    def add(self, step, values):
        """Records the numbers of one step.

        Args:
          step: int.
          values: dict {name: int or float}.
        """
        with open(self.path, 'a', encoding='utf-8') as stream:
            stream.write(json.dumps(dict(values, step=step)) + '\n')
        if self._writer is None:
            self._writer = tf.summary.FileWriter(self._folder)
            # Tells TensorBoard to drop what a run that was cut off had shown beyond this step.
            self._writer.add_session_log(
                tf.SessionLog(status=tf.SessionLog.START), self._start_step + 1)
        scalars = [tf.Summary.Value(tag=name, simple_value=value)
                   for name, value in values.items()]
        self._writer.add_summary(tf.Summary(value=scalars), step)
        self._writer.flush()

    def close(self):
        """Writes what is still in memory."""
        if self._writer is not None:
            self._writer.close()


def num_parameters(variables):
    """Counts the numbers that a list of variables holds."""
    return sum(variable.shape.num_elements() for variable in variables)


def is_finite(value):
    """Says whether a Python or NumPy number is neither NaN nor infinite."""
    return math.isfinite(float(value))


def options_of(config):
    """Gives the options of a namespace as JSON values, without those that hold secrets."""
    return {name: _json_value(value) for name, value in vars(config).items()
            if not redact.is_secret(name)}


def _json_value(value):
    if isinstance(value, (list, tuple)):
        return [_json_value(part) for part in value]
    if isinstance(value, dict):
        return {str(key): _json_value(part) for key, part in value.items()}
    if isinstance(value, (bool, int, float, type(None))):
        return value
    return redact.url(str(value))
