"""What a run says: lines of progress, losses and times, and the clock behind them."""
import contextlib
import math
import sys
import time
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, TypeVar

from common import cli

_QUIET = 10.            # seconds of work that nobody needs to be told of
_EVERY = 60.            # seconds between lines in a log
Item = TypeVar('Item')


def progress(items: Iterable[Item], what: str, total: Optional[int] = None,
             now: Callable[[], float] = time.monotonic) -> Iterator[Item]:
    """Yields items and tells how far they are: a bar on a terminal, a line a minute in a log.

    Work that ends within ten seconds says nothing in a log.

    Args:
      items: what is worked through, such as `workers.parallel`, in which making an item is work.
      what: str, what is done to which things, e.g. 'sampling shapes'.
      total: int, number of items; None: `len(items)`, and no ETA where they have no length.
      now: function that gives seconds; a test puts its own in.
    """
    total = getattr(items, '__len__', lambda: None)() if total is None else total
    if sys.stderr.isatty():
        import tqdm  # here, since most work is short
        yield from tqdm.tqdm(items, what, total, leave=False)
        return
    began = now()
    due = began + _QUIET
    for number, item in enumerate(items):
        if now() >= due and number:
            cli.say(_how_far(what, number, total, now() - began))
            due = now() + _EVERY
        yield item
    if due > began + _QUIET:
        cli.say('{}: {} in {}'.format(what, number + 1, format_duration(now() - began)))


def _how_far(what, done, total, seconds):
    pace = seconds / done
    if total is None:
        return '{}: {} so far  {} s each'.format(what, done, format_value(pace))
    return '{}: {}/{}  {:.1f}%  {} s each  eta {}'.format(
        what, done, total, 100. * done / total, format_value(pace),
        format_duration(pace * (total - done)))


def format_value(value: float) -> str:
    """Writes a number in few characters: `0.0184`, `1234.5`, `3.10e-06`; an int as it is."""
    if isinstance(value, int):
        return str(value)
    size = abs(value)
    if size >= 1e6 or 0 < size < 1e-3:
        return '{:.2e}'.format(value)
    return '{:.1f}'.format(value) if size >= 1000 else '{:.4f}'.format(value)


def format_duration(seconds: float) -> str:
    """Writes seconds as `54s`, `6m54s` or `2h03m10s`."""
    minutes, seconds = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return '{}h{:02d}m{:02d}s'.format(hours, minutes, seconds)
    return '{}m{:02d}s'.format(minutes, seconds) if minutes else '{}s'.format(seconds)


def progress_line(step: int, total: int, values: Dict[str, float],
                  seconds_per_step: Optional[float] = None, first_seconds: Optional[float] = None
                  ) -> str:
    """Returns the report line, `step 1200/5000  24.0%  loss 0.0184  0.109 s/step  eta 6m54s`.

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


def step_time_line(seconds: float) -> str:
    """Returns the line in which ModelZoo tools look for the mean time of a step, in seconds."""
    return 'StepTime: {:.6f}'.format(seconds)


def wait_line(seconds: float, steps: int, seconds_per_step: Optional[float]) -> Optional[str]:
    """Returns the line on data: which share of the steps' time went into making batches.

    Args:
      seconds: float, spent on batches in all; steps: int.
      seconds_per_step: float, or None when it is not known.
    Returns:
      str, or None when there is nothing to say.
    """
    if not (steps and seconds_per_step):
        return None
    return 'batches took {:.2%} of the time of a step'.format(seconds / steps / seconds_per_step)


def loss_lines(values: Dict[str, float]) -> List[str]:
    """Returns the lines in which ModelZoo tools look for losses, the value last on the line.

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


def accuracy_line(value: float, name: Optional[str] = None) -> str:
    """Returns the line in which ModelZoo tools look for an accuracy, e.g. `Accuracy: 0.9312`."""
    return 'Accuracy{}: {:.6f}'.format(' ({})'.format(name) if name else '', value)


def verdict(name: str, value: float, baselines: Dict[str, float], advice: str,
            higher: bool = True) -> str:
    """Returns a plain sentence on what a network has learned, beside answers that cost nothing.

    Args:
      name: str, of the figure on shapes that were not trained on, such as 'IoU'.
      value: float; baselines: {what it is: float}, such as the mean training shape.
      advice: str, a sentence on what would help, said where a baseline is as good.
      higher: bool, whether more is better.
    """
    beaten = [what for what, other in baselines.items() if (value > other) == higher
              and value != other]
    others = [what for what in baselines if what not in beaten]
    listed = ', '.join('{} {}'.format(what, format_value(other))
                       for what, other in baselines.items())
    if not others:
        meaning = 'better than {}.'.format(' and '.join(beaten))
    elif beaten:
        meaning = 'better than {}, not yet than {}. {}'.format(
            ' and '.join(beaten), ' and '.join(others), advice)
    else:
        meaning = 'no better than {}: little is learned so far. {}'.format(
            ' and '.join(others), advice)
    return 'on held-out data: {} {} ({}): {}'.format(name, format_value(value), listed, meaning)


class StepClock:
    """Times the steps, leaving out the first one (it compiles the graph) and the pauses.

    Args:
      now: function that gives seconds; a test puts its own in.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter):
        self._now = now
        self._began: Optional[float] = None
        self._paused_seconds = 0.0
        self._total = 0.0
        self.count = 0            # steps timed, the first one included
        self.first_seconds = 0.0

    def begin(self) -> None:
        """Starts the time of a step."""
        self._began = self._now()
        self._paused_seconds = 0.0

    def end(self) -> None:
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
    def paused(self) -> Iterator[None]:
        """Leaves the time of the block out of the running step."""
        began = self._now()
        try:
            yield
        finally:
            self._paused_seconds += self._now() - began

    @property
    def seconds_per_step(self) -> Optional[float]:
        """float, mean over all steps but the first, or None before the second one has ended."""
        return self._total / (self.count - 1) if self.count > 1 else None


def is_finite(value: Any) -> bool:
    """Returns whether a Python or NumPy number is neither NaN nor infinite."""
    return math.isfinite(float(value))
