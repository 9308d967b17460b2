"""Measures how often 3D-R2N2's demo calls pictures strange: held-out views, and pictures of others.

Views of held-out shapes of the generator should pass (false alarms are told); renderings of LDraw
parts and game art (the set `multiview`), noise, patterns, words and discs should not (hits).

Example: python -m tests.strange_pictures --multiview=../shared/data/multiview
"""
import argparse
import glob
import os
import sys
import tarfile
import tempfile
from typing import Dict, List, Optional, Sequence

import cv2
import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, collection, errors
from common.readers import text
from common.training import familiar, launch
from r2n2 import evaluation, networks, reconstruction
from r2n2 import options as options_lib
from r2n2.tools import make_dataset

_SHAPES, _VIEWS, _BATCH = 6, 4, 10      # held-out shapes of each class, their views; in a step
_SEED = 1                               # of generator.held_out_seed
_DRAWN = 20                             # pictures of each kind of drawing


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--multiview', required=True, help='folder with multiview_dev.tar')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def drawings(kind: str, side: int) -> List[np.ndarray]:
    """Returns pictures of 'noise', 'patterns', 'words' or 'discs': uint8 [side, side, 3]."""
    images = []
    for number in range(_DRAWN):
        rng = np.random.RandomState([7, number])
        color = tuple(int(level) for level in rng.randint(0, 200, 3))
        image = np.full([side, side, 3], 240, np.uint8)
        if kind == 'noise':
            image = rng.randint(0, 256, image.shape).astype(np.uint8)
        elif kind == 'patterns':
            cells = rng.randint(0, 256, [9, 9, 3]).astype(np.uint8)
            image = cv2.resize(cells, (side, side), interpolation=cv2.INTER_NEAREST)
        elif kind == 'words':
            cv2.putText(image, 'Ab{}'.format(number), (8, 80), cv2.FONT_HERSHEY_SIMPLEX, 1.5,
                        color, 4)
        else:
            cv2.circle(image, (side // 2, side // 2), int(rng.randint(10, 45)), color, -1)
        images.append(image)
    return images


def _prepared(paths, size):
    """What the demo makes of the pictures that show an object."""
    images = []
    for path in paths:
        try:
            images.append(reconstruction.prepared(path, size))
        except errors.InputError as error:
            cli.say('left out: {}'.format(error))
    return images


def _rendered(options, folder):
    """{name: paths} of a held-out view set made here and of the foreign renderings."""
    parsed = make_dataset.parse_args([
        '--furniture', '--generator=2', '--models={}'.format(_SHAPES), '--held_out', '--seed',
        str(_SEED), '--views={}'.format(_VIEWS), '--output', os.path.join(folder, 'held_out')])
    make_dataset.make(parsed)
    with tarfile.open(os.path.join(options.multiview, 'multiview_dev.tar')) as archive:
        archive.extractall(os.path.join(folder, 'others'), [
            member for member in archive.getmembers() if member.name.endswith('/00.png')])
    found = {name: sorted(glob.glob(os.path.join(folder, name, 'ShapeNetRendering', '*', '*',
                                                 'rendering', '*.png')))
             for name in ('held_out', 'others')}
    return {'held-out views': found['held_out'], 'parts and game art': found['others']}


def distances(images: Dict[str, List[np.ndarray]], settings, prefix: str, context: launch.Context
              ) -> Dict[str, np.ndarray]:
    """Returns {name: distances of the features of pictures uint8 [S, S, 3]}."""
    found = {}
    with tf.Graph().as_default():
        net = networks.build(settings, False)
        predictor = evaluation.Predictor(net, settings, 1, _BATCH)
        with context.open_session() as sess:
            networks.restore(sess, net, prefix)
            for name, pictures in images.items():
                filled = pictures + pictures[:1] * (-len(pictures) % _BATCH)
                features = [predictor.encode(sess, np.stack(filled[start:start + _BATCH])[None])[0]
                            for start in range(0, len(filled), _BATCH)]
                values = familiar.distances(os.path.dirname(prefix), np.concatenate(features))
                if values is None:
                    raise errors.InputError('no {} lies near {}.'.format(familiar.FEATURES, prefix))
                found[name] = values[:len(pictures)]
    return found


def work(options: argparse.Namespace) -> None:
    """Prints a table."""
    parsed = options_lib.parse_demo_args(['--pretrained', '--device=cpu'])
    trained, prefix = networks.trained(cli.settled(parsed), 'cpu')
    size = trained.settings.CONST.IMG_H
    with tempfile.TemporaryDirectory() as folder:
        images = {name: _prepared(paths, size)
                  for name, paths in _rendered(options, folder).items()}
    images.update((kind, drawings(kind, size)) for kind in ('noise', 'patterns', 'words', 'discs'))
    limit = text.read_json(os.path.join(collection.ROOT, 'r2n2', 'pretrained', familiar.FILE))[
        evaluation.STRANGENESS]['limit']
    cli.say('| pictures | number | median distance | told (beyond {:.3g}) |'.format(limit))
    cli.say('|---|---:|---:|---:|')
    for name, values in distances(images, trained.settings, prefix, launch.Context()).items():
        cli.say('| {} | {} | {:.3g} | {:.1%} |'.format(
            name, len(values), float(np.median(values)), float(np.mean(values > limit))))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run(work, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
