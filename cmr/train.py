"""Trains CMR: one photo of a person to a body mesh and to the parameters of a body model.

Without --data_path pictures of posed bodies are made first, and a narrow network learns from them.

Example: python cmr/train.py --data_path=datasets --dataset=itw --num_epochs=50
"""
import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import numpy as np
import tensorflow.compat.v1 as tf

from cmr import eval as eval_script
from cmr import freeze, make_dataset
from cmr.src import config as config_lib
from cmr.src.dataset import datasets
from cmr.src.netCell import evalNet, netWithLoss
from cmr.src.utils import options, pth2ckpt, renderer
from common import cli, device, errors, files
from common.geometry import plots
from common.training import checkpoints, reporting, runs
from common.training import workers as workers_lib

# The quick start's options, set and length, where no --data_path is given.
QUICK = {'resnet_width': 16, 'num_channels': 64, 'num_layers': 2, 'img_res': 64,
         'learning_rate': 7e-4, 'augmentation': False}
QUICK_STEPS, _QUICK_PICTURES, _QUICK_TEST = 900, 1200, 96
_TRAINING = {'learning_rate': 3e-4, 'augmentation': True}
_EPOCHS, _BATCH = 50, 16
_PATIENCE, _SPREAD, _GRACE = 20, 1e-3, 100      # when the camera counts as collapsed
# What a config.json holds that is no option, and what the original's calls otherwise.
_NO_OPTIONS = ('from_json', 'checkpoint_dir', 'summary_dir', 'first_weights')
_OTHER_NAMES = {'use_augmentation': 'augmentation', 'use_augmentation_rgb': 'augmentation_rgb'}
_NOT_GIVEN = (None, '', float('inf'))
_DRAWN, _DRAWN_SIZE = 4, 224             # samples, and pixels a side at least
_CAPTIONS = ('photo', 'graph network', 'SMPL parameters', 'from the side')


def parse_args(argv=None):
    """Reads the command line."""
    return _parser().parse_args(argv)


def _parser():
    parser = cli.make_parser(__doc__)
    parser.add_argument('--data_path', default='', help='folder of the sets and of extras/')
    parser.add_argument('--dataset', default=None,
                        choices=sorted(config_lib.MIXTURES) + sorted(config_lib.TRAIN_FILES),
                        help='mixture or set (itw; up-3d without --data_path)')
    parser.add_argument('--num_epochs', '--train_epochs', '--total_epoch', '--epoch',
                        type=cli.positive_int, default=None,
                        help='rounds over the longest set (default: {})'.format(_EPOCHS))
    parser.add_argument('--training_steps', '--train_steps', '--training-steps',
                        type=cli.positive_int, default=None,
                        help='optimizer steps in all, instead of --num_epochs')
    parser.add_argument('--batch_size', type=cli.positive_int, default=_BATCH,
                        help='pictures in a step, of all processes together')
    parser.add_argument('--learning_rate', '--lr', type=cli.positive_float, default=None,
                        help='of Adam (default: {learning_rate:g}; {:g} without --data_path)'
                        .format(QUICK['learning_rate'], **_TRAINING))
    parser.add_argument('--pretrained_checkpoint', '--checkpoint', '--ckpt_path', default='',
                        dest='checkpoint', help='weights to start from: a checkpoint, its folder, '
                        'a checkpoint of GraphCMR (.pt), or an ImageNet ResNet-50 (.pth, or '
                        'converted) for the encoder')
    _add_training_options(parser.add_argument_group('training'))
    options.add_network_options(parser)
    cli.add_run_options(parser, options.OUTPUT_PATH)
    _add_other_names(parser.add_argument_group("names of the original and of the MindSpore port"))
    return parser


def _add_training_options(group):
    group.add_argument('--adam_beta1', type=cli.fraction_below_one, default=0.9)
    group.add_argument('--wd', type=cli.non_negative_float, default=0., help='weight decay')
    for name, value, text in (('rot_factor', 30., 'deviation of rotations, degrees'),
                              ('noise_factor', 0.4, 'largest noise of a channel'),
                              ('scale_factor', 0.25, 'deviation of scales')):
        group.add_argument('--' + name, type=cli.non_negative_float, default=value, help=text)
    cli.add_flag(group, '--augmentation', default=None,
                 help='augment at all (default: with --data_path)')
    cli.add_flag(group, '--augmentation_rgb', default=True, help='noise of the channels')
    cli.add_flag(group, '--shuffle', '--do_shuffle', '--shuffle_train', default=True,
                 help="another order in each epoch; --noshuffle is the original's default")
    group.add_argument('--num_workers', type=cli.non_negative_int, default=2,
                       help='processes that make batches')
    cli.add_flag(group, '--sync_batch_norm', help='statistics of all processes together; the '
                 'original takes those of each')
    cli.add_flag(group, '--drop_noise', help='leave out of training what only rounding noise '
                 'moves: biases before a normalisation, the template\'s share of the regressor')
    group.add_argument('--eval_every', type=cli.non_negative_int, default=0,
                       help='steps between measurements on the test set, with --evaluate; 0: '
                            'before and after')
    cli.add_flag(group, '--evaluate', help='measure on the test set of UP-3D before and after')
    cli.add_flag(group, '--freeze', help='write a .pb at the end')
    group.add_argument('--time_to_run', type=cli.positive_float, default=None,
                       help='seconds after which to save and stop; the same command goes on')


def _add_other_names(group):
    options.add_device_target(group)
    group.add_argument('--save_checkpoint_dir', '--log_dir', dest='output_path',
                       default=argparse.SUPPRESS, help='the same as --output_path')
    cli.add_flag(group, '--distribute', help='several processes, as --distribution=auto finds them '
                 'anyway')
    group.add_argument('--name', default=None, help='folder below --output_path')
    group.add_argument('--keep_checkpoint_max', type=cli.positive_int, dest='keep_checkpoints',
                       default=argparse.SUPPRESS, help='the same as --keep_checkpoints')
    group.add_argument('--checkpoint_steps', type=cli.positive_int, dest='save_every',
                       default=argparse.SUPPRESS, help='the same as --save_every')
    group.add_argument('--summary_steps', type=cli.positive_int, dest='report_every',
                       default=argparse.SUPPRESS, help='the same as --report_every')
    for name in ('augmentation', 'augmentation_rgb', 'shuffle_train'):
        dest = 'shuffle' if name == 'shuffle_train' else name
        group.add_argument('--no_' + name, dest=dest, action='store_const', const=False,
                           default=argparse.SUPPRESS, help='the same as --no' + dest)
    group.add_argument('--from_json', '--config', default='', metavar='FILE',
                       help='JSON of options; those of the command line are not replaced')
    for name, choices in (('model', ('graphcnn', 'baseline')), ('test_steps', None)):
        group.add_argument('--' + name, choices=choices, default=None,
                           help='without effect, as in the original')
    for name in ('pin_memory', 'no_pin_memory'):
        group.add_argument('--' + name, action='store_true', help='without effect here')


def _read_json(config, argv):
    """Takes options from --from_json under any of their names; the command line comes before it.

    The file may be a config.json of a run, ours or the original's.

    Raises:
      errors.UsageError: there is no such option.
      errors.InputError: the file cannot be read or holds no options.
    """
    if not config.from_json:
        return
    held = files.read_json(config.from_json)
    if not isinstance(held, dict):
        raise errors.InputError('{} holds no options.'.format(config.from_json))
    if isinstance(held.get('options'), dict):
        held = held['options']
    parser, given = _parser(), []
    for name, value in held.items():
        name = _OTHER_NAMES.get(name, name)
        action = parser._option_string_actions.get('--' + name)
        if name in _NO_OPTIONS:
            continue
        if action is None:
            raise errors.UsageError('{}: there is no option {}.'.format(config.from_json, name))
        if value in _NOT_GIVEN or action.nargs == 0 and not value:
            continue
        given.append('--' + name if action.nargs == 0 else '--{}={}'.format(name, value))
    vars(config).update(vars(parser.parse_args(given + list(argv))))


def settle(config):
    """Settles options that depend on others."""
    options.settle_device(config)
    if config.checkpoint in ('None', 'none'):       # as the MindSpore port's scripts write it
        config.checkpoint = ''
    if config.name:
        config.output_path = os.path.join(config.output_path, config.name)
        config.name = None
    for name, value in (_TRAINING if config.data_path else QUICK).items():
        if getattr(config, name) is None:
            setattr(config, name, value)
    if not config.data_path and config.training_steps is None and config.num_epochs is None:
        config.training_steps = QUICK_STEPS
    config.dataset = config.dataset or ('itw' if config.data_path else 'up-3d')
    options.complete(config)
    for name in ('body', 'mesh_levels'):    # recorded for scripts that start elsewhere
        if getattr(config, name):
            setattr(config, name, os.path.abspath(getattr(config, name)))


def _data_path(config):
    """Folder of the sets; generated first where none is given, anew for another body."""
    if config.data_path:
        return config.data_path
    folder = os.path.join(config.output_path, options.GENERATED)
    done = os.path.join(folder, config_lib.EXTRAS, config_lib.TEST_FILES['up-3d'])
    note, drawn = os.path.join(folder, 'body.json'), ''
    if os.path.exists(note):
        drawn = files.read_json(note)
    if os.path.exists(done) and drawn == config.body:
        cli.say('no --data_path given: using the posed bodies in {}'.format(folder))
    else:
        cli.say('no --data_path given: drawing posed bodies into {}'.format(folder))
        make_dataset.make(make_dataset.parse_args(
            ['--output', folder, '--num_train={}'.format(_QUICK_PICTURES),
             '--num_test={}'.format(_QUICK_TEST)] + ['--body=' + config.body] * bool(config.body)))
        files.write_json(note, config.body)
    return folder


class Steps:
    """The graph of a training step.

    Args:
      network: options.Network that trains; config: completed options; batch: int.
    """

    def __init__(self, network, config, batch):
        self.images = network.images(batch)
        self._truth = netWithLoss.truth(batch)
        outputs = network.build(self.images)
        losses, *_ = netWithLoss.losses(outputs, self._truth, network.body)
        # Processes stop together: what one of them waits for, all have to run.
        self._over = tf.placeholder(tf.float32, [], name='over')
        *means, self._anyone = tf.unstack(device.allreduce_mean(
            tf.stack(list(losses.values()) + [self._over])))
        self.losses = dict(zip(losses, means))
        self._camera = outputs.camera
        optimizer = device.wrap_optimizer(
            netWithLoss.Adam(config.learning_rate, config.adam_beta1), config)
        self.update = netWithLoss.update(losses['loss'], network.make, optimizer, config.wd,
                                         config.drop_noise)
        self._still = 0

    def run(self, sess, batch, is_over=False):
        """One update.

        Args:
          sess: tf.Session; batch: dict of datasets.stacked.
          is_over: bool, whether the time of this process is over.
        Returns:
          (dict of losses before it, camera [B, 3], whether the time of any process is over).
        """
        feed = {getattr(self._truth, name): batch[name] for name in self._truth._fields}
        feed[self.images], feed[self._over] = batch['img'], float(is_over)
        losses, camera, anyone, _ = sess.run(
            (self.losses, self._camera, self._anyone, self.update), feed)
        return losses, camera, anyone > 0

    def has_collapsed(self, step, camera):
        """Whether the camera has been the same for all pictures for some time; True once.

        Scale and height are what stays the same (GraphCMR, issue 22). One picture tells nothing.
        """
        scale_and_height = camera[:, [0, 2]]
        spread = scale_and_height.std(axis=0).max() / max(np.abs(camera).max(), 1e-6)
        is_still = len(camera) > 1 and spread < _SPREAD and step > _GRACE
        self._still = self._still + 1 if is_still else 0
        return self._still == _PATIENCE


def _first_weights(config, network):
    """Function that loads an encoder, or the original's network; None where `runs` does the rest.

    A run that goes on leaves such weights aside, as any others.
    """
    path = config.checkpoint
    if not path or _goes_on(config):
        return None
    if pth2ckpt.is_torch(path):
        found = pth2ckpt.read(path)
    else:
        path = checkpoints.latest(path)
        if not pth2ckpt.is_encoder(checkpoints.variables_of(path)):
            return None
        found = checkpoints.read(path)
    config.checkpoint, config.first_weights = '', path
    alone = pth2ckpt.is_encoder(found)
    cli.say('weights of {}{}'.format(path, ' for the encoder' if alone else ''))
    return lambda sess: pth2ckpt.assign(sess, network.make.variables, found, path,
                                        pth2ckpt.ENCODER if alone else '')


def _goes_on(config):
    """Whether the output folder has checkpoints that the run goes on from."""
    folder = os.path.join(config.output_path, checkpoints.RUN_FOLDER)
    return config.resume and (os.path.exists(os.path.join(folder, checkpoints.STATE_FILE))
                              or bool(checkpoints.in_folder(folder)))


def train(config):
    """Trains to the last step, going on from a checkpoint in `output_path`."""
    settle(config)
    device.init(config)
    runs.set_seeds(config.seed)
    data_path = _data_path(config)
    mixture = datasets.Mixture(data_path, config.dataset)
    batches = datasets.Batches(mixture, config, device.rank(), device.size())
    total = config.training_steps or (config.num_epochs or _EPOCHS) * batches.per_epoch
    config.training_steps = total
    with workers_lib.Workers(batches.at, config.num_workers, 2 * config.num_workers) as workers:
        network = options.Network(config, True, sync=config.sync_batch_norm)
        steps = Steps(network, config, device.per_rank(config.batch_size))
        test = None
        if config.evaluate and device.is_chief():
            test = _Test(network, data_path, config)
        summary = 'CMR; {}'.format(mixture)
        with runs.start(config, init=_first_weights(config, network), summary=summary) as run:
            if run.start_step < total:
                workers.begin(run.start_step)
            began = time.time()
            if test and not run.step:
                test.measure(run, 0)
            for step in run.steps(total):
                batch = workers.get()
                is_over = bool(config.time_to_run) and time.time() - began > config.time_to_run
                losses, camera, is_over = steps.run(run.sess, batch, is_over)
                _report(run, step, losses, batches.per_epoch, config)
                if steps.has_collapsed(step, camera):
                    cli.say('warning: the camera is the same for all pictures (step {}); the '
                                  'network has collapsed. Start again with another --seed.'.format(
                                      step))
                with run.paused():
                    if test and step < total and config.eval_every and (
                            step % config.eval_every == 0):
                        test.measure(run, step)
                        test.draw(run)
                if is_over and step < total:
                    run.save(step)
                    cli.say('--time_to_run is over at step {}'.format(step))
                    return
            workers.close()
            run.say_waiting(workers.waited)
            if test and run.step > run.start_step:
                test.measure(run, run.step)
                test.draw(run)
            last = run.step
    if config.freeze and device.is_chief():
        for path in freeze.freeze_run(config, last):
            cli.say('frozen: {}'.format(path))


def _report(run, step, losses, per_epoch, config):
    """The report line, and the MindSpore port's."""
    run.report(step, **losses)
    if run.due(step, config.report_every):
        epoch, place = divmod(step - 1, per_epoch)
        cli.say('epoch: {} step: {}, loss is {}'.format(epoch + 1, place + 1,
                                                              losses['loss']))


class _Test:
    """Measures and draws on the test set of UP-3D while training."""

    def __init__(self, network, data_path, config):
        self._config = config
        try:
            self._set, self._trained = [datasets.open_set(data_path, 'up-3d', is_train)
                                        for is_train in (False, True)]
            self._trained.need('pose', 'shape')
        except errors.InputError as error:
            raise errors.InputError('{} Or leave measurements out by --noevaluate.'.format(error))
        shared = options.Network(config, False, network)
        self._predictor = evalNet.Predictor(shared, min(config.batch_size, len(self._set)))

    def _batches(self):
        config = options.namespace(self._config, shuffle=False)
        return eval_script.batches(self._set, self._predictor.batch, config)

    def measure(self, run, step):
        """Prints and records the figures of a step; at the first, those of the mean pose too."""
        self._predictor.sess = run.sess
        make, count = self._batches()
        figures = eval_script.measure(self._predictor, self._set, 'up-3d', map(make, range(count)))
        if not step:
            figures.update(eval_script.baseline(self._predictor, self._set, self._trained))
        for name, value in figures.items():
            cli.say('{}: {}'.format(name, value))
        run.record(step, **{name.lower().replace(' ', '_').replace('(', '').replace(')', ''): value
                            for name, value in figures.items()})
        eval_script.write(self._config.output_path, 'up-3d', step, figures)
        _draw_errors(run)

    def draw(self, run):
        """Pictures of the first samples: photo, both bodies over it, one from the side."""
        _, batch = self._batches()[0](0)
        found = self._predictor.predict(batch['img'])
        faces, size = self._predictor.network.body.faces, max(self._config.img_res, _DRAWN_SIZE)
        images = []
        for number in range(min(_DRAWN, len(batch['img']))):
            photo = self._set.sample(number, datasets.base_dataset.NONE, size,
                                     self._config.stretch)['img_orig']
            photo = np.round(255 * photo).astype(np.uint8)
            camera = found.camera[number]
            images.append(photo)
            for vertices, color in ((found.vertices[number], renderer.LIGHT_BLUE),
                                    (found.vertices_smpl[number], renderer.PINK)):
                images.append(renderer.render(vertices, faces, camera, size, color, photo))
            images.append(renderer.render(renderer.from_side(found.vertices[number]), faces, camera,
                                       size, renderer.LIGHT_BLUE))
        path = os.path.join(run.samples, 'step_{:06d}.png'.format(run.step))
        plots.image_grid(path, images, _CAPTIONS * (len(images) // len(_CAPTIONS)),
                            columns=len(_CAPTIONS))
        cli.say('pictures in {}'.format(path))


def _draw_errors(run):
    """Shape errors over the steps, those of earlier calls too, into eval/errors.png."""
    rows = [row for row in reporting.read_metrics(os.path.join(run.output_path, 'metrics.jsonl'))
            if 'shape_error_nonparam' in row]
    steps = [row['step'] for row in rows]
    series = {caption: (steps, [row['shape_error_' + name] for row in rows])
              for caption, name in zip(_CAPTIONS[1:3], ('nonparam', 'param'))}
    for row in rows:
        if 'shape_error_mean_pose' in row:
            series['mean training pose'] = (steps, [row['shape_error_mean_pose']] * len(steps))
    plots.curves(os.path.join(run.eval_dir, 'errors.png'), series,
                    ylabel='shape error on unseen bodies, mm', log=True)


def main(argv=None):
    """Runs the script; returns its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    config = parse_args(argv)
    return cli.run(lambda found: (_read_json(found, argv), train(found))[1], config)


if __name__ == '__main__':
    sys.exit(main())
