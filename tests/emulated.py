"""Shows that a model's fast forms count as the single operators that they stand for."""
import os

import numpy as np

from common import precision
from common.device import ranges

STEPS = 20
_COUNTS = ('saturated', 'vanished', 'reduced')


def compare(train, folder, subfolder='', **options):
    """Trains in float32, emulated, and emulated on the plain graph, and compares the three.

    The two emulations count about the same, within 10 % or 20 values, and their losses lie closer
    to each other than to float32's, where those differ by more than rounding.

    Args:
      train: function (output folder, *options) that trains for STEPS steps.
      folder: path to train in; subfolder: of the output, where the losses are.
      options: text of options for each of the runs `float32`, `fast` and `plain`.
    """
    losses, totals = {}, {}
    for name in ('float32', 'fast', 'plain'):
        output, report = str(folder / name), str(folder / (name + '.json'))
        emulation = [] if name == 'float32' else ['--emulate_precision',
                                                  '--emulate_report=' + report]
        train(output, *options.get(name, '').split(), *emulation)
        values = precision.losses_of(os.path.join(output, subfolder))
        assert sorted(values) == list(range(1, STEPS + 1))
        losses[name] = np.array([values[step] for step in sorted(values)])
        if emulation:
            assert os.path.exists(report)
            rows, _ = ranges.read(report)
            totals[name] = {count: sum(getattr(one, count) for one in rows) for count in _COUNTS}
    apart = np.abs(losses['fast'] - losses['plain']).mean()
    from_float32 = np.abs(losses['plain'] - losses['float32']).mean()
    print(totals, apart, from_float32)
    for count in _COUNTS:
        fast, plain = totals['fast'][count], totals['plain'][count]
        assert abs(fast - plain) <= max(20, 0.1 * max(fast, plain)), (count, totals)
    assert apart <= max(from_float32, 1e-5 * np.abs(losses['float32']).mean())
