"""Trains and uses IM-NET's single-view reconstruction: a mesh from one picture.

The original's commands work as written, once the autoencoder is trained and its codes are there
(imnet/IMGAN/main.py), with the same --output_path.

Example:
  python imnet/IMSVR/main.py --train --epoch 2000
  python imnet/IMSVR/main.py                        # meshes of 16 test shapes, view 0
  python imnet/IMSVR/main.py --mode=all             # of every test shape, view 23
  python imnet/IMSVR/main.py --image photo.png      # of a picture of one's own
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
import tensorflow.compat.v1 as tf

from common import cli, device, errors
from common.geometry import plots
from common.training import checkpoints
from imnet import data_utils, extraction, meshing, saved
from imnet.IMSVR import model, photos, training, views

MODES = ('test', 'interp', 'all', 'image')


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--mode', choices=MODES, default=None,
                        help='without --train: test: meshes of shapes --start to --end; interp: '
                             'between two; all: every shape, view 23; image: of --image. Unset: '
                             'test')
    parser.add_argument('--image', nargs='+', default=[], help='pictures to make meshes of')
    parser.add_argument('--background', choices=('auto', 'white', 'border'), default='auto',
                        help='of a picture without alpha: white, or what its border looks like; '
                             'auto finds out where the object is centred')
    parser.add_argument('--crop', choices=('auto', 'none', 'middle', 'object'), default='auto',
                        help='none: scale the whole picture, as the original; middle: cut as in '
                             'training (views of 137 x 137); object: centre the object; auto: '
                             'none for such views, else object')
    parser.add_argument('--batch_size', type=cli.positive_int, default=64, help='shapes in a step')
    parser.add_argument('--pretrained_model_dir', default='',
                        help='folder of the autoencoder\'s checkpoints; unset: that below '
                             '--checkpoint_dir')
    parser.add_argument('--pretrained_z_dir', default='',
                        help='file of codes; unset: <output_path>/<dataset>_z.hdf5')
    saved.add_options(parser, training.EF_DIM)
    meshing.add_options(parser)
    cli.add_run_options(parser, saved.OUTPUT_PATH)
    parser.set_defaults(save_every=None, keep_checkpoints=2, split='test')
    return parser.parse_args(argv)


def load(config):
    """The trained network.

    Args:
      config: completed namespace; its sizes are set.
    Returns:
      (IMSVR, tf.Session).
    """
    prefix = checkpoints.latest(config.checkpoint) if config.checkpoint else saved.newest(
        config, 'svr')
    saved.fit_sizes(config, prefix, training.EF_DIM)
    net = model.IMSVR(config.z_dim, config.ef_dim, config.gf_dim, plain=config.plain,
                      leaky_clip=config.leaky_clip)
    sess = tf.Session(config=device.session_config(config))
    saved.restore(sess, prefix, net.variables)
    return net, sess


def code_of(net, sess, view):
    """Code [Z] of a picture [128, 128, 1]."""
    return sess.run(net.test_z, {net.test_view: view[None]})[0]


def _open(config):
    return data_utils.Set(saved.complete(config, config.split), keys=('pixels',),
                          cache=os.path.join(config.output_path, 'cache'))


def write_meshes(config):
    """Meshes of shapes of a split from one of their views."""
    if config.mode == 'all':
        config.start, config.end, config.view = 0, sys.maxsize, None     # the last view
    data = _open(config)
    view, rows = views.checked(data, config.view), meshing.rows_of(data, config)
    net, sess = load(config)
    with sess:
        codes = [code_of(net, sess, views.cropped(data.pixels()[row, view])) for row in rows]
        meshing.write_all([(str(row), net.field(sess, code)) for row, code in zip(rows, codes)],
                          config.sample_dir, config)
    shown = rows[:64]
    plots.image_grid(os.path.join(config.sample_dir, 'views.png'),
                        [data.pixels()[row, view] for row in shown], [str(row) for row in shown])


def interpolate(config):
    """Meshes on the way from one shape's picture to another's."""
    data = _open(config)
    view, rows = views.checked(data, config.view), meshing.ends_of(data, config, 1)
    net, sess = load(config)
    with sess:
        ends = [code_of(net, sess, views.cropped(data.pixels()[row, view])) for row in rows]
        codes = extraction.interpolate(*ends, steps=config.steps)
        meshing.write_all([(str(number), net.field(sess, code))
                           for number, code in enumerate(codes)], config.sample_dir, config,
                          'interpolation.png')


def reconstruct(config):
    """A mesh for each picture of --image."""
    saved.complete(config, split=None)
    found = [photos.read(path, config.background, config.crop) for path in config.image]
    net, sess = load(config)
    names = [os.path.splitext(os.path.basename(path))[0] for path in config.image]
    with sess:
        codes = [code_of(net, sess, view) for view in found]
        meshing.write_all([(name, net.field(sess, code)) for name, code in zip(names, codes)],
                          config.sample_dir, config, names[0] + '_meshes.png')
    plots.image_grid(os.path.join(config.sample_dir, names[0] + '_input.png'), found, names)


def run_mode(config):
    """Does what the options say."""
    if config.mode == 'image' and not config.image:
        raise errors.UsageError('--mode=image needs --image FILE.')
    if config.train:
        training.train(config)
    elif config.image:
        reconstruct(config)
    elif config.mode == 'interp':
        interpolate(config)
    else:
        write_meshes(config)


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(run_mode, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
