"""Pictures of one object to a mesh with a trained network: the work of demo.py."""
import os
import tempfile

import numpy as np

from common import cli, errors, files
from common.geometry import cutouts, generator, meshes, voxel_grids
from common.pages import report
from common.readers import pictures
from common.training import familiar, launch
from r2n2 import evaluation, networks
from r2n2 import options as options_lib
from r2n2.lib import config as config_lib
from r2n2.lib import data_augmentation, data_io, voxel
from r2n2.tools import make_dataset

_GREY = data_augmentation.GREY
_UNSEEN_SEED = 2    # of the generator's held-out shapes; tests.pretrained measures on 0 and 1


def prepared(path: str, size: int, background: str = 'auto',
             max_pixels: int = pictures.MAX_PIXELS) -> np.ndarray:
    """Returns a picture as the network wants it: the object at the centre, before light grey.

    Args:
      path: str; size: int, pixels a side; background: 'auto', 'keep' or 'remove'
        (by GrabCut); max_pixels: int.
    Returns:
      uint8 [size, size, 3].
    Raises:
      errors.InputError: the file is no picture, or shows no object.
    """
    if background == 'keep':
        return cutouts.on_square(pictures.read(path, max_pixels=max_pixels), size, 1., _GREY)
    image = pictures.read(path, None, max_pixels)
    if image.shape[2] == 4 and (image[..., 3] < 128).any():
        mask = image[..., 3] >= 128
        share = image[..., 3:].astype(np.float32) / 255
        image = np.round(image[..., :3] * share + _GREY * (1 - share)).astype(np.uint8)
    else:
        image = image[..., :3]
        mask = (cutouts.foreground(image) if background == 'remove'
                else cutouts.unlike_border(image))
        image = np.where(mask[..., None], image, np.uint8(_GREY))
    if not mask.any() or mask.all():
        raise errors.InputError('{} shows no object: everything looks like the border. Give a '
                                'picture with transparency or a plain background, or '
                                '--remove_background or --background=keep.'.format(path))
    return data_augmentation.centred(image, mask, size)


def _background(options):
    return 'remove' if options.remove_background else options.background


def _generated_views(options: cli.Options, weights_path: str) -> np.ndarray:
    """Three views of the last chair of a run's generated furniture, uint8 [3, S, S, 3].

    For weights that ship, whose set is not there: of a sofa that no training has seen.
    """
    folder = os.path.join(options.output_path, data_io.GENERATED, 'ShapeNetRendering', 'chair')
    models = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    if models:
        return _read_views(os.path.join(folder, models[-1], 'rendering'), options.settings)
    if os.path.commonpath([options_lib.PRETRAINED, os.path.abspath(weights_path)]) != (
            options_lib.PRETRAINED):
        raise errors.UsageError('give pictures of an object: python r2n2/demo.py front.png ...')
    cli.say('no pictures given: three views of a generated sofa that no training has seen')
    with tempfile.TemporaryDirectory() as made:
        make_dataset.make_model(make_dataset.Job(
            'sofa', 'unseen', None, 0, generator.held_out_seed(_UNSEEN_SEED), made, 3, 'y'))
        return _read_views(os.path.join(made, 'ShapeNetRendering', 'sofa', 'unseen', 'rendering'),
                           options.settings)


def _read_views(place: str, settings: config_lib.Config) -> np.ndarray:
    """The first three views of a model's folder, uint8 [3, S, S, 3]."""
    rng, size = np.random.RandomState(0), settings.CONST.IMG_H
    return np.stack([data_augmentation.for_test(
        pictures.read(os.path.join(place, '{:02d}.png'.format(number)), None), [[_GREY, _GREY]] * 3,
        (size, size), rng) for number in range(3)])


def _tell_strangest(weights_path, features, paths):
    """Says how far the strangest picture lies from what was trained on; features [V, F]."""
    distances = familiar.distances(os.path.dirname(os.path.abspath(weights_path)), features)
    if distances is not None:
        strangest = int(distances.argmax())
        familiar.tell(weights_path, familiar.STRANGENESS, float(distances[strangest]),
                      os.path.basename(paths[strangest]) if paths else 'the views')


def reconstruct(options: cli.Options, context: launch.Context) -> None:
    """Predicts the occupancy of --pictures; writes the meshes and a picture of all views.

    Args:
      options: those of `options.parse_demo_args`; context: launch.Context.
    Raises:
      errors.InputError: no picture or weights, or no cell is occupied.
    """
    if os.path.splitext(options.output)[1].lower() != '.obj':
        raise errors.UsageError('--output must end in .obj, not {}.'.format(options.output))
    options, weights_path = networks.trained(options, context.device)
    settings = options.settings
    if options.pictures:
        images = np.stack([prepared(path, settings.CONST.IMG_H, _background(options),
                                    options.max_pixels) for path in options.pictures])
    else:
        images = _generated_views(options, weights_path)
    net = networks.build(settings, options.plain, fused=not context.is_emulated)
    predictor = evaluation.Predictor(net, settings, len(images), 1)
    with context.open_session() as sess:
        networks.restore(sess, net, weights_path)
        results, features = predictor.run(sess, images[:, None],
                                          np.zeros([1] + [settings.CONST.N_VOX] * 3))
    grids = [occupancy[0] for occupancy, _ in results]
    grid = grids[-1] > options.threshold
    if not grid.any():
        raise errors.InputError('no cell is above --threshold {:g} (the highest is {:.2f}): the '
                                'network sees no object here. Try a lower one, or train longer.'
                                .format(options.threshold, grids[-1].max()))
    _tell_strangest(weights_path, features[:, 0], options.pictures)
    stem = os.path.splitext(options.output)[0]
    files.write_text(options.output, voxel.obj_text(*voxel.voxel2mesh(grid, options.surface_view)))
    vertices, triangles = voxel_grids.surface(grids[-1], options.threshold)
    for ending in ('.glb', '.stl'):
        meshes.write(stem + ending, vertices / settings.CONST.N_VOX - 0.5, triangles.tolist())
    evaluation.draw(stem + '.png', [(images, None, grids)], options.threshold)
    cli.say('{} cells occupied; {}, {}.{{glb,stl}} and {}.png'.format(
        int(grid.sum()), options.output, stem, stem))
    cli.say('page: {}'.format(report.write_files(
        stem + '.html', 'demo.py: {}'.format(os.path.basename(stem)),
        [stem + '.glb', stem + '.stl', options.output, stem + '.png'],
        dict(launch.facts(context), weights=weights_path))))
