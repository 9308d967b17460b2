"""Times the sampling of points: the original's plain loops against the project's way, in turns.

Filling is timed on a hollow box in a grid of --size^3 cells, since the loops need minutes for
256^3; both ways must give the same grid. Picking is timed on --points cells of 4^3, with the
original's scalar draws; both ways must give the same places. The note says what one shape of 256^3
takes in all by the project's way.

Example: python tests/benchmarks/imnet_sampling.py --size=48
"""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
import numpy as np

from common import cli
from imnet import furniture_set
from imnet.point_sampling import sampler
from tests.benchmarks import timing


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--size', type=cli.positive_int, default=32, help='cells of a side to fill')
    parser.add_argument('--points', type=cli.positive_int, default=4096, help='places to pick')
    parser.add_argument('--repetitions', type=cli.positive_int, default=3,
                        help='of which the median counts')
    parser.add_argument('--threads', type=int, choices=(1,), default=1, help='of NumPy')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def carved_by_loops(grid):
    """The author's filling from the side views, cell for cell: uint8 of the same shape."""
    size = len(grid)
    top = np.zeros([size, size], bool)
    left_min, left_max = np.full([size, size], size), np.full([size, size], -1)
    front_min, front_max = np.full([size, size], size), np.full([size, size], -1)
    for i in range(size):
        for j in range(size):
            for k in range(size):
                if grid[i, j, k]:
                    top[i, k] = True
                    left_min[j, k] = min(left_min[j, k], i)
                    left_max[j, k] = max(left_max[j, k], i)
                    front_min[i, j] = min(front_min[i, j], k)
                    front_max[i, j] = max(front_max[i, j], k)
    result = grid.copy()
    for i in range(size):
        for k in range(size):
            fill = False
            for j in range(size - 1, -1, -1) if top[i, k] else ():
                if grid[i, j, k]:
                    fill = True
                elif (left_min[j, k] < i < left_max[j, k]
                      and front_min[i, j] < k < front_max[i, j]):
                    result[i, j, k] = fill
                else:
                    fill = False
    return result


def picked_by_loops(grid, cells, targets, step, rng):
    """The author's picks, one scalar draw after the other: uint8 [P, 3]."""
    result = np.zeros([len(cells), 3], np.uint8)
    for number, (cell, target) in enumerate(zip(cells * step, targets)):
        block = grid[cell[0]:cell[0] + step, cell[1]:cell[1] + step, cell[2]:cell[2] + step]
        while True:     # the cells here have places enough
            place = rng.randint(step), rng.randint(step), rng.randint(step)
            if block[place] == target:
                break
        result[number] = cell + place
    return result


def _shell(size):
    grid = np.zeros([size] * 3, np.uint8)
    low, high = size // 6, size - size // 6
    grid[low:high, low:high, low:high] = 1
    grid[low + 2:high - 2, low:high - 2, low + 2:high - 2] = 0
    grid[size // 2, high - 2:high, size // 2] = 0
    return grid


def rows(options):
    """Measures: list of timing.Row."""
    grid = _shell(options.size)
    np.testing.assert_array_equal(sampler.carved(grid), carved_by_loops(grid))
    filling = timing.in_turns({'ours': lambda: sampler.carved(grid),
                               'loops': lambda: carved_by_loops(grid)}, options.repetitions)
    rng = np.random.RandomState(0)
    noise = (rng.uniform(size=[sampler.SIZE] * 3) < 0.5).astype(np.uint8)
    cells, targets = rng.randint(0, 64, [options.points, 3]), np.ones(options.points, np.uint8)

    def ours():
        draws = sampler.Draws(np.random.RandomState(1))
        return sampler.Picker(noise, draws).pick(cells, targets, 4)

    def loops():
        return picked_by_loops(noise, cells, targets, 4, np.random.RandomState(1))

    np.testing.assert_array_equal(ours(), loops())
    picking = timing.in_turns({'ours': ours, 'loops': loops}, options.repetitions)
    solid = furniture_set.solid('chair', [0, 0])
    began = time.perf_counter()
    sampler.point_sets(sampler.carved(solid), sampler.Draws.of_shape(0, 'chair'))
    whole = 'a whole shape of 256^3: {:.2f} s'.format(time.perf_counter() - began)
    return [timing.Row('IM-NET point sampling', '{}, 1 thread(s)'.format(setting), 'vectorised',
                       seconds['ours'], 'plain loops', seconds['loops'], whole)
            for setting, seconds in (('filling {0}^3'.format(options.size), filling),
                                     ('{} places'.format(options.points), picking))]


def short():
    """Rows of a short run, for `python -m tests.benchmarks`."""
    return rows(parse_args([]))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return timing.main(parse_args, rows, argv)


if __name__ == '__main__':
    sys.exit(main())
