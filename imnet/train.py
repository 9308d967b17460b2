"""Runs all of IM-NET: three stages of the autoencoder, codes, GAN, pictures, meshes, .pb files.

Without --data_path a small set of procedural furniture is made, and a small network is trained on
it for minutes (--preset=quick); with it, the original's network and epochs (--preset=original).
Every stage is a program of its own too: IMGAN/main.py, IMSVR/main.py, evaluate.py.

Example: python imnet/train.py --output_path=output/quick
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tensorflow.compat.v1 as tf

from common import cli, device, errors
from common.training import reporting
from imnet import data_utils, evaluate, extraction, freeze, make_dataset, saved
from imnet.IMGAN import main as gan_main
from imnet.IMGAN import training as gan_training
from imnet.IMSVR import main as svr_main
from imnet.IMSVR import training as svr_training

STAGES = ('ae16', 'ae32', 'ae64', 'codes', 'gan', 'svr', 'meshes', 'freeze', 'evaluate')
_POINTS = {16: 4096, 32: 4096, 64: 16384}
# Epochs are those of the end of each stage, as the original counts them.
PRESETS = {
    'original': {'epochs': [100, 200, 400], 'gan_epochs': 10000, 'svr_epochs': 2000, 'z_dim': 256,
                 'ef_dim': 32, 'svr_ef_dim': 64, 'gf_dim': 128, 'gan_dim': 2048,
                 'learning_rate': 5e-5, 'svr_learning_rate': 5e-5, 'svr_batch_size': 64,
                 'checkpoint_every': None, 'extraction': 'exact', 'resolution': 256,
                 'he_init': False, 'leaky_clip': False},
    'quick': {'epochs': [140, 180, 186], 'gan_epochs': 300, 'svr_epochs': 150, 'z_dim': 32,
              'ef_dim': 8, 'svr_ef_dim': 8, 'gf_dim': 64, 'gan_dim': 128,
              'learning_rate': 5e-4, 'svr_learning_rate': 1e-3, 'svr_batch_size': 8,
              'checkpoint_every': 25, 'extraction': 'octree', 'resolution': 128,
              'he_init': True, 'leaky_clip': True}}


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--data_path', '--data_dir', default='',
                        help='folder of <dataset>_train.hdf5 and <dataset>_test.hdf5')
    parser.add_argument('--dataset', default='', help='stem of the files; unset: the only one')
    parser.add_argument('--preset', choices=sorted(PRESETS), default=None,
                        help='sizes and epochs; unset: original with --data_path, else quick')
    parser.add_argument('--stages', nargs='+', choices=STAGES, default=list(STAGES),
                        help='what to do')
    group = parser.add_argument_group('instead of the preset\'s')
    group.add_argument('--epochs', nargs=3, type=cli.positive_int, default=None,
                       metavar=('E16', 'E32', 'E64'), help='last epochs of the three stages')
    group.add_argument('--training_steps', '--train_steps', '--training-steps',
                       type=cli.positive_int, default=None,
                       help='steps of each stage of the autoencoder and of IM-SVR, counted from '
                            'the beginning, instead of epochs')
    for name, kind, text in (
            ('gan_epochs', cli.positive_int, 'of the GAN'),
            ('svr_epochs', cli.positive_int, 'of IM-SVR'),
            ('z_dim', cli.positive_int, 'numbers of a code'),
            ('ef_dim', cli.positive_int, 'width unit of the voxel encoder'),
            ('svr_ef_dim', cli.positive_int, 'width unit of the picture encoder'),
            ('gf_dim', cli.positive_int, 'width unit of the decoder'),
            ('gan_dim', cli.positive_int, 'width of the GAN'),
            ('learning_rate', cli.positive_float, 'of the autoencoder and the GAN'),
            ('svr_learning_rate', cli.positive_float, 'of IM-SVR'),
            ('svr_batch_size', cli.positive_int, 'shapes in a step of IM-SVR'),
            ('checkpoint_every', cli.positive_int, 'epochs between checkpoints')):
        group.add_argument('--' + name, type=kind, default=None, help=text)
    group.add_argument('--resolution', type=int, choices=extraction.RESOLUTIONS, default=None,
                       help='of the meshes')
    group.add_argument('--extraction', choices=('exact', 'octree'), default=None,
                       help='how meshes are found')
    parser.add_argument('--shapes_per_step', '--batch_size', type=cli.positive_int, default=1,
                        help='shapes in a step of the autoencoder')
    parser.add_argument('--train_epochs', '--epoch', '--total_epoch', type=cli.positive_int,
                        default=None, help='epochs of the autoencoder in all, instead of --epochs: '
                        'the stages get the preset\'s shares, each at least one if there are three')
    parser.add_argument('--num_meshes', type=cli.positive_int, default=4,
                        help='shapes in each gallery')
    parser.add_argument('--checkpoint', '--ckpt_path', default='', help='weights to start from')
    for name in ('he_init', 'leaky_clip'):
        cli.add_flag(group, '--' + name, default=None, help='see IMGAN/main.py')
    cli.add_run_options(parser, saved.OUTPUT_PATH)
    parser.set_defaults(save_every=None, keep_checkpoints=2)
    return parser.parse_args(argv)


def _shared(epochs, preset):
    """Last epochs of the three stages: the preset's shares of so many, each at least one of three.

    Fewer than three are for the last stages, which meshes need most.
    """
    ends = [round(epochs * end / preset[-1]) for end in preset]
    for number in (0, 1):
        ends[number] = min(max(ends[number], number + 1), max(0, epochs - 2 + number))
    return ends[:2] + [epochs]


def complete(config):
    """Fills in the preset, and makes the furniture where no data was given."""
    config.preset = config.preset or ('original' if config.data_path else 'quick')
    if config.train_epochs:
        config.epochs = _shared(config.train_epochs, PRESETS[config.preset]['epochs'])
    for name, value in PRESETS[config.preset].items():
        if getattr(config, name) is None:
            setattr(config, name, value)
    if config.data_path:
        return
    config.data_path = os.path.join(config.output_path, 'data')
    config.dataset = make_dataset.STEM
    path = os.path.join(config.data_path, config.dataset)
    if not all(os.path.exists('{}_{}.hdf5'.format(path, half)) for half in ('train', 'test')):
        make_dataset.make(make_dataset.parse_args(
            ['--output=' + config.data_path]))
    cli.say('no --data_path given: using the procedural furniture in ' + config.data_path)


def _options(config, program, **more):
    """The namespace of a program: its defaults, what this one has of the same name, and `more`."""
    result = program.parse_args([])
    own = vars(config)
    for name in vars(result):
        if name in own and name not in ('start', 'end', 'split'):
            setattr(result, name, own[name])
    result.data_dir = config.data_path
    for name, value in more.items():
        setattr(result, name, value)
    tf.reset_default_graph()
    return result


def _train_ae(config, size):
    number = (16, 32, 64).index(size)
    if not config.epochs[number] and not config.training_steps:
        cli.say('--- autoencoder, points_{}: no epoch'.format(size))
        return None
    cli.say('--- autoencoder, points_{}, to epoch {}'.format(size, config.epochs[number]))
    return gan_training.train_ae(_options(
        config, gan_main, ae=True, train=True, real_size=size, batch_size_input=_POINTS[size],
        epoch=config.epochs[number]))


def _train_gan(config):
    cli.say('--- GAN')
    gan_training.train_gan(_options(config, gan_main, train=True, epoch=config.gan_epochs,
                                    checkpoint_every=None, training_steps=None, checkpoint=''))


def _train_svr(config):
    cli.say('--- single-view reconstruction')
    svr_training.train(_options(
        config, svr_main, train=True, epoch=config.svr_epochs, ef_dim=config.svr_ef_dim,
        learning_rate=config.svr_learning_rate, batch_size=config.svr_batch_size, checkpoint='',
        checkpoint_every=max(10, config.checkpoint_every or 10)))


def _without_test_split(config):
    """Says whether the data have no test split of their own; a missing training set is an error."""
    train = data_utils.find(config.data_path, config.dataset, 'train')
    try:
        return data_utils.find(config.data_path, config.dataset, 'test') == train
    except errors.InputError as error:
        cli.say('note: {}'.format(error))
        return True


def _write_meshes(config):
    """Galleries of the autoencoder, of the GAN, and of pictures."""
    cli.say('--- meshes')
    for name, program, function, more in (
            ('ae_train', gan_main, gan_main.write_meshes, {'ae': True, 'split': 'train'}),
            ('ae_test', gan_main, gan_main.write_meshes, {'ae': True, 'split': 'test'}),
            ('interpolation', gan_main, gan_main.interpolate, {'ae': True, 'steps': 4}),
            ('gan', gan_main, gan_main.sample, {'num_samples': config.num_meshes}),
            ('svr_test', svr_main, svr_main.write_meshes, {'split': 'test'})):
        if more.get('split') == 'test' and config.no_test:
            continue
        options = _options(config, program, end=config.num_meshes, checkpoint='', ef_dim=None,
                           sample_dir=os.path.join(config.output_path, 'samples', name), **more)
        options.formats = ['ply', 'obj']
        function(options)


def _freeze(config):
    cli.say('--- freezing')
    freeze.freeze(_options(config, _FreezeOptions, output=config.output_path, checkpoint='',
                           batch_size=1))


class _FreezeOptions:
    """The options of freezing as those of a program."""

    @staticmethod
    def parse_args(argv):
        parser = cli.make_parser('Freezes.')
        freeze.add_options(parser)
        return parser.parse_args(argv)


def run_stages(config):
    """Runs the stages; prints the lines that launch scripts read."""
    if device.size() > 1:
        raise errors.UsageError('imnet/train.py runs its stages in one process; with several, '
                                'train by imnet/IMGAN/main.py and imnet/IMSVR/main.py.')
    complete(config)
    for value in (config.epochs[1] - config.epochs[0], config.epochs[2] - config.epochs[1]):
        if value < 0:
            raise errors.UsageError('--epochs must not fall: {}.'.format(config.epochs))
    config.no_test = _without_test_split(config)
    if config.no_test:
        cli.say('note: no test split: its galleries and the evaluation are left out')
    trained, found = {}, {}
    for stage in [stage for stage in STAGES if stage in config.stages]:
        if stage.startswith('ae'):
            trained = _train_ae(config, int(stage[2:])) or trained
        elif stage == 'codes':
            gan_main.write_codes(_options(config, gan_main, ae=True, ef_dim=None, checkpoint=''))
        elif stage == 'gan':
            _train_gan(config)
        elif stage == 'svr':
            _train_svr(config)
        elif stage == 'meshes':
            _write_meshes(config)
        elif stage == 'freeze':
            _freeze(config)
        elif not config.no_test:
            cli.say('--- evaluation')
            found = evaluate.evaluate(_options(config, evaluate, split='test', kind='ae',
                                               end=config.num_meshes, ef_dim=None, checkpoint=''))
    if trained.get('seconds_per_step'):
        cli.say(reporting.step_time_line(trained['seconds_per_step']))
    if 'iou' in found:
        cli.say(reporting.accuracy_line(found['iou']))
    cli.say('results in {}: samples/*/meshes.png, *.pb, eval/'.format(config.output_path))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(run_stages, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
