"""Shows that a model's fast forms count as the single operators that they stand for."""
import os
from unittest import mock

import numpy as np

from common import precision
from common.device import emulation, ranges

STEPS = 20
_COUNTS = ('saturated', 'vanished', 'reduced')


def counts_by_scope(path, depth, apart=()):
    """Sums up a report: {(scope, whether backward): [saturated, vanished, reduced values]}.

    Args:
      path: str; depth: int, parts of a scope's name that count.
      apart: names of scopes that one of two graphs has besides; they are left out of a name.
    """
    sums = {}
    for one in ranges.read(path)[0]:
        parts = [part for part in one.scope.split('/') if part not in apart]
        row = sums.setdefault(('/'.join(parts[:depth]), one.is_gradient), [0] * len(_COUNTS))
        for number, count in enumerate(_COUNTS):
            row[number] += getattr(one, count)
    return sums


def compare(train, folder, subfolder='', depth=1, apart=(), **options):
    """Trains in float32, emulated, and emulated on the plain graph, and compares the three.

    The two emulations count about the same in each scope, within 10 % or 20 values, and their
    losses lie closer to each other than to float32's, where those differ by more than rounding.

    Args:
      train: function (output folder, *options) that trains for STEPS steps.
      folder: path to train in; subfolder: of the output, where the losses are.
      depth, apart: see `counts_by_scope`.
      options: text of options for each of the runs `float32`, `fast` and `plain`.
    """
    losses, sums = {}, {}
    for name in ('float32', 'fast', 'plain'):
        output, report = str(folder / name), str(folder / (name + '.json'))
        emulation_options = [] if name == 'float32' else [
            '--emulate_precision', '--precision_mode=mix', '--emulate_report=' + report]
        # All in one step, since values change from step to step.
        with mock.patch.object(emulation, '_PORTION', 10 ** 6):
            train(output, *options.get(name, '').split(), *emulation_options)
        values = precision.losses_of(os.path.join(output, subfolder))
        assert sorted(values) == list(range(1, STEPS + 1))
        losses[name] = np.array([values[step] for step in sorted(values)])
        if emulation_options:
            sums[name] = counts_by_scope(report, depth, apart)
    distance = np.abs(losses['fast'] - losses['plain']).mean()
    from_float32 = np.abs(losses['plain'] - losses['float32']).mean()
    print('totals', {name: np.sum(list(one.values()), axis=0).tolist()
                     for name, one in sums.items()}, distance, from_float32)
    assert sum(row[2] for row in sums['plain'].values()) > 0
    apart_by = []
    for place in sorted(set(sums['fast']) | set(sums['plain'])):
        fast, plain = (sums[name].get(place, [0] * len(_COUNTS)) for name in ('fast', 'plain'))
        print(place, fast, plain)
        apart_by += [(place, count, one, other) for one, other, count in zip(fast, plain, _COUNTS)
                     if abs(one - other) > max(20, 0.1 * max(one, other))]
    assert apart_by == []
    assert distance <= max(from_float32, 1e-5 * np.abs(losses['float32']).mean())
