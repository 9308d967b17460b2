"""Trains and uses IM-NET's autoencoder of voxels (--ae) and the GAN of its codes.

The original's commands work as written. Codes, checkpoints and meshes go below --output_path.

Example:
  python imnet/IMGAN/main.py --ae --train --epoch 100 --real_size 16 --batch_size_input 4096
  python imnet/IMGAN/main.py --ae --train --epoch 200 --real_size 32 --batch_size_input 4096
  python imnet/IMGAN/main.py --ae --train --epoch 400 --real_size 64 --batch_size_input 16384
  python imnet/IMGAN/main.py --ae                            # codes of the training shapes
  python imnet/IMGAN/main.py --ae --mode=test --split=test   # meshes of shapes
  python imnet/IMGAN/main.py --ae --mesh=my.obj              # a mesh of one's own, encoded, decoded
  python imnet/IMGAN/main.py --train --epoch 10000           # the GAN
  python imnet/IMGAN/main.py                                 # its samples
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, device, errors
from common.training import checkpoints
from imnet import data_utils, extraction, meshing, saved
from imnet.IMGAN import model, modelz, training
from imnet.point_sampling import solids

MODES = ('codes', 'test', 'interp', 'mesh', 'samples')


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    cli.add_flag(parser, '--ae', help='the autoencoder; else the GAN of its codes')
    parser.add_argument('--mode', choices=MODES, default=None,
                        help='without --train: codes of the shapes of a split; test: meshes of '
                             'shapes; interp: between two; mesh: of --mesh; samples: of the GAN. '
                             'Unset: codes with --ae, samples without')
    parser.add_argument('--mesh', default='', help='a closed mesh to encode and decode')
    solids.add_options(parser)
    parser.add_argument('--real_size', type=int, choices=(16, 32, 64), default=64,
                        help='which set of points')
    parser.add_argument('--batch_size_input', type=cli.positive_int, default=16384,
                        help='points of a shape in that set')
    parser.add_argument('--shapes_per_step', '--batch_size', type=cli.positive_int, default=1,
                        help='shapes in a step; the original has 1')
    saved.add_options(parser, training.AE_EF_DIM)
    group = parser.add_argument_group('GAN')
    group.add_argument('--z_path', default='',
                       help='file of codes; unset: <output_path>/<dataset>_z.hdf5')
    for name, value, text in (('noise_dim', 128, 'numbers of the noise'),
                              ('gan_dim', 2048, 'width of the layers')):
        group.add_argument('--' + name, type=cli.positive_int, default=None,
                           help='{} ({} unless a checkpoint says another)'.format(text, value))
    group.add_argument('--num_samples', type=cli.positive_int, default=16, help='shapes to sample')
    group.add_argument('--penalty_epsilon', type=cli.non_negative_float, default=0.,
                       help='under the root of the gradient\'s norm, such as 1e-12')
    cli.add_flag(group, '--epsilon_per_code', help='draw the penalty\'s place for each code, not '
                 'once a batch')
    cli.add_flag(group, '--shuffle_codes', help='take the codes in a new order each epoch; the '
                 'original shuffles a list that it does not use')
    meshing.add_options(parser)
    cli.add_run_options(parser, saved.OUTPUT_PATH)
    parser.set_defaults(save_every=None, keep_checkpoints=2)
    return parser.parse_args(argv)


def load_ae(config):
    """The trained autoencoder.

    Args:
      config: completed namespace; its sizes are set.
    Returns:
      (IMAE, tf.Session).
    """
    prefix = checkpoint_of(config, 'ae')
    saved.fit_sizes(config, prefix, training.AE_EF_DIM)
    net = model.IMAE(config.z_dim, config.ef_dim, config.gf_dim, config.plain, config.leaky_clip)
    sess = tf.Session(config=device.session_config(config))
    saved.restore(sess, prefix, net.variables)
    return net, sess


def checkpoint_of(config, kind):
    """Prefix of the network to use: --checkpoint, or the newest of the output folder."""
    if config.checkpoint:
        return checkpoints.latest(config.checkpoint)
    return saved.newest(config, kind)


def write_codes(config):
    """Codes of the shapes of a split; those of all training shapes are what the others read."""
    data = data_utils.Set(saved.complete(config, config.split),
                          cache=os.path.join(config.output_path, 'cache'))
    rows = meshing.rows_of(data, config, everything=True)
    net, sess = load_ae(config)
    with sess:
        codes = net.codes_of(sess, (data.voxels(row) for row in rows))
    path = config.z_path or _codes_path(config, rows, len(data))
    data_utils.write_codes(path, codes)
    cli.say('{} codes of {} numbers in {}'.format(len(codes), net.z_dim, path))


def _codes_path(config, rows, count):
    """The file of codes; a name of its own for the test split and for a part of a split."""
    part = '_' + config.split if config.split != 'train' else ''
    if len(rows) < count:
        part += '_{}_{}'.format(rows[0], rows[-1] + 1)
    return training.codes_path(config, part)


def write_meshes(config):
    """Meshes of the shapes from --start to --end of a split, encoded and decoded."""
    data = data_utils.Set(saved.complete(config, config.split),
                          cache=os.path.join(config.output_path, 'cache'))
    rows = meshing.rows_of(data, config)
    net, sess = load_ae(config)
    with sess:
        codes = net.codes_of(sess, (data.voxels(row) for row in rows))
        meshing.write_all([('out{}'.format(row), net.field(sess, code))
                           for row, code in zip(rows, codes)], config.sample_dir, config)


def interpolate(config):
    """Meshes on the way from one shape to another."""
    data = data_utils.Set(saved.complete(config, config.split),
                          cache=os.path.join(config.output_path, 'cache'))
    ends = meshing.ends_of(data, config, 2)
    net, sess = load_ae(config)
    with sess:
        codes = extraction.interpolate(*net.codes_of(sess, map(data.voxels, ends)),
                                       steps=config.steps)
        meshing.write_all([('out{}'.format(number), net.field(sess, code))
                           for number, code in enumerate(codes)], config.sample_dir, config,
                          'interpolation.png')


def encode_mesh(config):
    """A mesh of one's own: voxelised, encoded, decoded, and put where the given one is."""
    saved.complete(config, split=None)
    name = os.path.splitext(os.path.basename(config.mesh))[0]
    meshing.refuse_same(config.mesh, config.sample_dir, name, config.formats)
    solid = solids.from_mesh(config.mesh, config.up, config.allow_open)
    net, sess = load_ae(config)
    with sess:
        code = net.codes_of(sess, [solids.encoder_grid(solid.grid)])[0]
        meshing.write_all([(name, net.field(sess, code))], config.sample_dir, config,
                          name + '.png', solid.to_mesh)


def sample(config):
    """Meshes of codes that the GAN makes out of noise."""
    saved.complete(config, split=None)
    prefix = checkpoint_of(type(config)(**dict(vars(config), checkpoint='')), 'ae')
    saved.fit_sizes(config, prefix, training.AE_EF_DIM)
    gan_prefix = (checkpoints.latest(config.checkpoint) if config.checkpoint
                  else saved.newest_gan(config))
    saved.fit_gan_sizes(config, gan_prefix)
    gan = modelz.ZGAN(config.z_dim, config.noise_dim, config.gan_dim, config.gan_dim,
                      config.num_samples)
    noise = np.random.RandomState(config.seed).normal(
        0, modelz.NOISE_DEVIATION, [config.num_samples, config.noise_dim])
    with tf.Session(config=device.session_config(config)) as sess:
        saved.restore(sess, gan_prefix, gan.g_variables)
        codes = sess.run(gan.fake, {gan.noise: noise})
    tf.reset_default_graph()
    net, sess = load_ae(type(config)(**dict(vars(config), checkpoint='')))
    with sess:
        meshing.write_all([('out{}'.format(number), net.field(sess, code))
                           for number, code in enumerate(codes)], config.sample_dir, config,
                          'samples.png')


def run_mode(config):
    """Does what the options say."""
    if config.mesh and config.mode is None:
        config.ae, config.mode = True, 'mesh'
    if config.mode == 'mesh' and not config.mesh:
        raise errors.UsageError('--mode=mesh needs --mesh=FILE.')
    if config.train:
        (training.train_ae if config.ae else training.train_gan)(config)
        return
    mode = config.mode or ('codes' if config.ae else 'samples')
    {'codes': write_codes, 'test': write_meshes, 'interp': interpolate, 'mesh': encode_mesh,
     'samples': sample}[mode](config)


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(run_mode, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
