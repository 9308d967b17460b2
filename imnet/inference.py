"""What trained networks of IM-NET are for: codes, meshes of shapes, pictures and noise.

Kinds: 'ae' encodes the voxels of a shape, 'svr' one of its views.
"""
import os
from typing import Any, Callable

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli
from common.geometry import plots
from common.training import familiar, launch, reporting
from imnet import checkpoint_names, data_utils, extraction, meshing, networks
from imnet.IMGAN import modelz
from imnet.IMSVR import photos, views
from imnet.point_sampling import solids

_KEYS = {'ae': ('voxels',), 'svr': ('pixels',)}
_PREFIX = {'ae': 'out', 'svr': ''}      # of the names of meshes, as the original has them
_SECOND = {'ae': 2, 'svr': 1}           # where an interpolation ends, as in the original
UNCERTAINTY = 'uncertainty of the field of a picture'
_COARSE = 32            # points a side by which it is measured


def uncertainty(field: Any) -> float:
    """Measures how undecided a field is, on 32^3 points; see `familiar.uncertainty`."""
    places = (np.arange(_COARSE, dtype=np.float32) + 0.5) / _COARSE - 0.5
    points = np.stack(np.meshgrid(places, places, places, indexing='ij'), axis=-1)
    return familiar.uncertainty(field(points.reshape(-1, 3)))


def encoder_input(options: cli.Options, data: data_utils.Set, kind: str
                  ) -> Callable[[int], np.ndarray]:
    """Returns the function of a row of a set that reads what its encoder takes.

    Raises:
      errors.UsageError: the shapes have no view of the number --view.
    """
    if kind == 'ae':
        return data.voxels
    view = views.checked(data, options.view)
    return lambda row: views.cropped(data.pixels()[row, view])


def write_codes(options: cli.Options, context: launch.Context) -> None:
    """Writes the codes of the shapes of a split: of all training shapes for GAN and IM-SVR."""
    options, data = data_utils.opened(options, options.split)
    rows = meshing.rows_of(data, options, everything=True)
    network, sess = networks.load(options, context)
    with sess:
        codes = network.codes_of(sess, (data.voxels(row) for row in reporting.progress(
            rows, 'encoding shapes')))
    # A name of its own for the test split and for a part of a split.
    part = '_' + options.split if options.split != 'train' else ''
    if len(rows) < len(data):
        part += '_{}_{}'.format(rows[0], rows[-1] + 1)
    path = options.z_path or checkpoint_names.codes_path(options, part)
    data_utils.write_codes(path, codes)
    cli.say('{} codes of {} numbers in {}'.format(len(codes), network.z_dim, path))


def write_meshes(options: cli.Options, context: launch.Context, kind: str) -> None:
    """Writes meshes of the shapes from --start to --end of a split, encoded and decoded."""
    options, data = data_utils.opened(options, options.split, keys=_KEYS[kind])
    read, rows = encoder_input(options, data, kind), meshing.rows_of(data, options)
    network, sess = networks.load(options, context, kind)
    with sess:
        codes = network.codes_of(sess, map(read, rows))
        _write(network, sess, zip(rows, codes), options, kind)
    if kind == 'svr':
        view = views.checked(data, options.view)
        plots.image_grid(os.path.join(options.sample_dir, 'views.png'),
                         [data.pixels()[row, view] for row in rows[:64]],
                         [str(row) for row in rows[:64]])


def interpolate(options: cli.Options, context: launch.Context, kind: str) -> None:
    """Writes meshes on the way from one shape's code to another's."""
    options, data = data_utils.opened(options, options.split, keys=_KEYS[kind])
    read = encoder_input(options, data, kind)
    rows = meshing.interpolated(data, options, _SECOND[kind])
    network, sess = networks.load(options, context, kind)
    with sess:
        first, second = network.codes_of(sess, map(read, rows))
        codes = extraction.interpolate(first, second, options.steps)
        _write(network, sess, enumerate(codes), options, kind, 'interpolation.png')


def sample(options: cli.Options, context: launch.Context) -> None:
    """Writes meshes of codes that the GAN makes out of noise."""
    of_decoder, _ = networks.trained(options.replace(checkpoint=''), context.device)
    options = options.replace(dataset=of_decoder.dataset, z_dim=of_decoder.z_dim,
                              checkpoint_dir=of_decoder.checkpoint_dir)
    prefix = checkpoint_names.chosen(options, 'gan')
    options = checkpoint_names.fitted_gan(options, prefix)
    noise = np.random.RandomState(context.seed).normal(
        0, modelz.NOISE_STDDEV, [options.num_samples, options.noise_dim])
    with tf.Graph().as_default(), context.open_session() as sess:
        gan = networks.gan(options, options.num_samples)
        checkpoint_names.restore(sess, prefix, gan.g_variables)
        codes = sess.run(gan.fake, {gan.noise: noise})
    network, sess = networks.load(options.replace(checkpoint=''), context)
    with sess:
        _write(network, sess, enumerate(codes), options, 'ae', 'samples.png')


def encode_mesh(options: cli.Options, context: launch.Context) -> None:
    """Writes the mesh of --mesh, voxelised, encoded, decoded, and put where the original is."""
    name = os.path.splitext(os.path.basename(options.mesh))[0]
    meshing.refuse_same(options.mesh, options.sample_dir, name, options.formats)
    solid = solids.from_mesh(options.mesh, options.up, options.allow_open)
    network, sess = networks.load(options, context)
    with sess:
        (code,) = network.codes_of(sess, [solids.encoder_grid(solid.grid)])
        meshing.write_all([(name, network.field(sess, code))], options.sample_dir, options,
                          name + '.png', solid.to_mesh)


def reconstruct(options: cli.Options, context: launch.Context) -> None:
    """Writes a mesh for each picture of --image."""
    background = 'remove' if options.remove_background else options.background
    images = [photos.read(path, background, options.crop, options.max_pixels)
              for path in options.image]
    names = [os.path.splitext(os.path.basename(path))[0] for path in options.image]
    options, prefix = networks.trained(options, context.device, 'svr')
    network, sess = networks.load(options.replace(checkpoint=prefix, pretrained=False), context,
                                  'svr')
    with sess:
        codes = network.codes_of(sess, images)
        distances = familiar.distances(os.path.dirname(os.path.abspath(prefix)),
                                       network.features_of(sess, images))
        for number, (path, code) in enumerate(zip(options.image, codes)):
            if distances is None:
                familiar.tell(prefix, UNCERTAINTY, uncertainty(network.field(sess, code)), path)
            else:
                familiar.tell(prefix, familiar.STRANGENESS, float(distances[number]), path)
        meshing.write_all([(name, network.field(sess, code)) for name, code in zip(names, codes)],
                          options.sample_dir, options, names[0] + '_meshes.png')
    plots.image_grid(os.path.join(options.sample_dir, names[0] + '_input.png'), images, names)


def _write(network: Any, sess: tf.Session, numbered_codes: Any, options: cli.Options, kind: str,
           picture: str = 'meshes.png') -> None:
    meshing.write_all([('{}{}'.format(_PREFIX[kind], number), network.field(sess, code))
                       for number, code in numbered_codes], options.sample_dir, options, picture)
