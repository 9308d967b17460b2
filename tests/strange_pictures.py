"""Measures how often a demo calls pictures strange: held-out views, and pictures of other things.

Views of held-out shapes of the generator should pass (false alarms are told); renderings of LDraw
parts and game art (the set `multiview`), noise, patterns, words and discs should not (hits). Of
3D-R2N2, IM-SVR and CMR (there held-out bodies), with the weights that ship.

Example: python -m tests.strange_pictures --model r2n2 --multiview=../shared/data/multiview
"""
import argparse
import glob
import os
import sys
import tarfile
import tempfile
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np
import tensorflow.compat.v1 as tf

from cmr import demo, prediction
from cmr import networks as cmr_networks
from cmr import options as cmr_options
from cmr.src.dataset import posed_bodies
from cmr.src.netCell import evalNet
from common import cli, collection, errors
from common.geometry import generator
from common.readers import text
from common.training import familiar, launch
from imnet import data_utils, furniture_set
from imnet import networks as imnet_networks
from imnet import options as imnet_options
from imnet.IMSVR import photos, views
from r2n2 import evaluation, networks, reconstruction
from r2n2 import options as options_lib
from r2n2.tools import make_dataset

_SHAPES, _VIEWS, _BATCH = 6, 4, 10      # held-out shapes of each class, their views; in a step
_SEED = 1                               # of generator.held_out_seed
_DRAWN = 20                             # pictures of each kind of drawing
_BODIES = 100                           # held-out pictures of CMR
_SIDE = 137                             # of a drawing as a picture, pixels
HELD_OUT, OTHERS = 'views of held-out shapes', 'LDraw parts and game art'
DRAWINGS = 'noise', 'patterns', 'words', 'discs'


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--model', choices=('r2n2', 'imnet', 'cmr'), default='r2n2',
                        help='whose demo')
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


def _prepared(paths: Sequence[str], read: Callable[[str], np.ndarray]) -> List[np.ndarray]:
    """What the demo makes of the pictures that show an object."""
    images = []
    for path in paths:
        try:
            images.append(read(path))
        except errors.InputError as error:
            cli.say('left out: {}'.format(error))
    return images


def _others(options, folder):
    """Paths of foreign renderings, one of each model."""
    with tarfile.open(os.path.join(options.multiview, 'multiview_dev.tar')) as archive:
        archive.extractall(folder, [member for member in archive.getmembers()
                                    if member.name.endswith('/00.png')])
    return _views(folder)


def _views(folder):
    return sorted(glob.glob(os.path.join(folder, 'ShapeNetRendering', '*', '*', 'rendering',
                                         '*.png')))


def _drawn(folder: str) -> Dict[str, List[str]]:
    """Writes the drawings as pictures: {kind: paths}."""
    paths: Dict[str, List[str]] = {}
    for kind in DRAWINGS:
        for number, image in enumerate(drawings(kind, _SIDE)):
            path = os.path.join(folder, '{}{}.png'.format(kind, number))
            cv2.imwrite(path, image)
            paths.setdefault(kind, []).append(path)
    return paths


def of_r2n2(options: argparse.Namespace, folder: str) -> Tuple[Dict[str, np.ndarray], float]:
    """Returns {pictures: distances} of 3D-R2N2's features, and beyond which one is strange."""
    parsed = options_lib.parse_demo_args(['--pretrained', '--device=cpu'])
    trained, prefix = networks.trained(cli.settled(parsed), 'cpu')
    settings, size = trained.settings, trained.settings.CONST.IMG_H
    held_out = os.path.join(folder, 'held_out')
    make_dataset.make(make_dataset.parse_args([
        '--furniture', '--generator=2', '--models={}'.format(_SHAPES), '--held_out', '--seed',
        str(_SEED), '--views={}'.format(_VIEWS), '--output', held_out]))
    paths = {HELD_OUT: _views(held_out), OTHERS: _others(options, folder)}
    images = {name: _prepared(found, lambda path: reconstruction.prepared(path, size))
              for name, found in paths.items()}
    images.update((kind, drawings(kind, size)) for kind in DRAWINGS)
    with tf.Graph().as_default():
        net = networks.build(settings, False)
        predictor = evaluation.Predictor(net, settings, 1, _BATCH)
        with launch.Context().open_session() as sess:
            networks.restore(sess, net, prefix)
            features = {}
            for name, pictures in images.items():
                filled = pictures + pictures[:1] * (-len(pictures) % _BATCH)
                features[name] = np.concatenate([
                    predictor.encode(sess, np.stack(filled[start:start + _BATCH])[None])[0]
                    for start in range(0, len(filled), _BATCH)])[:len(pictures)]
    return _distances(features, prefix), _limit('r2n2', familiar.STRANGENESS)


def of_imnet(options: argparse.Namespace, folder: str) -> Tuple[Dict[str, np.ndarray], float]:
    """Returns {pictures: distances} of IM-SVR's features, and beyond which one is strange."""
    furniture_set.write_split(folder, 'test', sorted(generator.CLASSES), range(_SHAPES),
                              generator.held_out_seed(_SEED), 2)
    data = data_utils.Set(os.path.join(folder, furniture_set.STEM + '_test.hdf5'),
                          keys=('voxels', 'pixels'), cache=folder)
    chosen = [(row, view) for row in range(len(data)) for view in np.random.RandomState(
        row).choice(data.pixels().shape[1], _VIEWS, replace=False)]
    images = {HELD_OUT: [views.cropped(data.pixels()[row, view]) for row, view in chosen]}
    for name, paths in dict({OTHERS: _others(options, folder)}, **_drawn(folder)).items():
        images[name] = _prepared(paths, photos.read)
    parsed, prefix = imnet_networks.trained(cli.settled(imnet_options.parse_imsvr(
        ['--pretrained', '--device=cpu'])), 'cpu', 'svr')
    network, sess = imnet_networks.load(parsed.replace(checkpoint=prefix, pretrained=False),
                                        launch.Context(), 'svr')
    with sess:
        features = {name: network.features_of(sess, pictures)
                    for name, pictures in images.items()}
    return _distances(features, prefix), _limit('imnet', familiar.STRANGENESS)


def of_cmr(options: argparse.Namespace, folder: str) -> Tuple[Dict[str, np.ndarray], float]:
    """Returns {pictures: distances} of CMR's features, and beyond which one is strange."""
    held_out = os.path.join(folder, 'held_out')
    posed_bodies.make(cmr_options.parse_dataset_args([
        '--num_train=1', '--num_test={}'.format(_BODIES), '--size=112', '--seed={}'.format(
            generator.held_out_seed(_SEED)), '--output', held_out]))
    paths = {HELD_OUT: sorted(glob.glob(os.path.join(held_out, '*', '*_image.png')))[1:],
             OTHERS: _others(options, folder), **_drawn(folder)}
    parsed, weights = cmr_networks.trained(cli.settled(demo.parse_args(
        ['--img=x', '--pretrained', '--device=cpu'])), 'cpu')
    features = {}
    with evalNet.opened(parsed, launch.Context(), weights, 1) as predictor:
        for name, those in paths.items():
            crops = _prepared(those, lambda path: prediction.people(
                path, parsed.img_res, stretch=parsed.stretch)[0][-1])
            features[name] = np.concatenate([predictor.predict(crop[None]).looks
                                             for crop in crops])
    return _distances(features, weights), _limit('cmr', familiar.STRANGENESS)


def _distances(features, prefix):
    found = {name: familiar.distances(os.path.dirname(prefix), values)
             for name, values in features.items()}
    if any(values is None for values in found.values()):
        raise errors.InputError('no {} lies near {}.'.format(familiar.FEATURES, prefix))
    return found


def _limit(model, name):
    return text.read_json(os.path.join(collection.ROOT, model, 'pretrained', familiar.FILE))[
        name]['limit']


_MODELS = {'r2n2': of_r2n2, 'imnet': of_imnet, 'cmr': of_cmr}


def work(options: argparse.Namespace) -> None:
    """Prints a table."""
    with tempfile.TemporaryDirectory() as folder:
        found, limit = _MODELS[options.model](options, folder)
    cli.say('| pictures | number | median distance | told (beyond {:.3g}) |'.format(limit))
    cli.say('|---|---:|---:|---:|')
    for name, values in found.items():
        cli.say('| {} | {} | {:.3g} | {:.1%} |'.format(
            name, len(values), float(np.median(values)), float(np.mean(values > limit))))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run(work, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
