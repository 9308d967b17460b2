"""The training of CMR: data, a step, measurements in between."""
import os
import time
from typing import Callable, Dict, Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from cmr import evaluation, freeze, networks
from cmr import options as options_lib
from cmr.src import config as config_lib
from cmr.src.dataset import datasets, posed_bodies
from cmr.src.netCell import evalNet, netWithLoss
from cmr.src.utils import torch_weights
from common import cli, errors, files
from common.device import ranks as ranks_lib
from common.geometry import plots
from common.readers import text
from common.training import checkpoints, launch, records, runs, schedules
from common.training import workers as workers_lib

_QUICK_PICTURES, _QUICK_TEST = 1200, 96
_PATIENCE, _SPREAD, _GRACE = 20, 1e-3, 100      # when the camera counts as collapsed
_DRAWN = 4              # people in a picture of a step


Init = Callable[[tf.Session], None]


def train(options: cli.Options, context: launch.Context) -> None:
    """Trains to the last step, going on from a checkpoint in the output folder.

    Args:
      options: those of options.complete; context: launch.Context.
    Raises:
      errors.InputError: data, body or weights are missing, damaged or do not fit.
    """
    runs.set_seeds(context.seed)
    data_path = _data_path(options)
    mixture = datasets.Mixture(data_path, options.dataset)
    ranks = context.ranks
    batches = datasets.Batches(mixture, options, ranks.rank, ranks.size)
    total = options.training_steps or (options.num_epochs
                                       or options_lib.EPOCHS) * batches.per_epoch
    options = options.replace(training_steps=total)
    with workers_lib.Workers(batches.at, options.num_workers, 2 * options.num_workers) as workers:
        network = networks.Network(
            options, True, context.on_npu or context.is_emulated, on_cpu=context.device == 'cpu',
            ranks=ranks if options.sync_batch_norm else ranks_lib.ALONE)
        steps = Steps(network, options, context)
        test = None
        if options.evaluate and ranks.is_chief:
            test = _Test(network, data_path, options)
        options, init = _initial_weights(options, network)
        with runs.start(options, context, init=init, summary='CMR; {}'.format(mixture)) as run:
            if run.start_step < total:
                workers.begin(run.start_step)
            if test and not run.step:
                test.measure(run, 0)
            if not _run_steps(run, steps, workers, test, batches.per_epoch, options):
                return
            workers.close()
            run.say_waiting(workers.waited)
            if test:
                run.results.once('evaluation', run.step, lambda: (
                    test.measure(run, run.step) + test.record(run) + [test.draw(run)]))
    if options.freeze:
        run.results.once('frozen', run.step, lambda: freeze.freeze_run(options, context, run.step))


def _run_steps(run, steps, workers, test, per_epoch, options):
    """Makes the steps that are left; returns False where --time_to_run ends them early."""
    total, began = options.training_steps, time.time()
    for step in run.steps(total):
        batch = workers.get()
        is_over = bool(options.time_to_run) and time.time() - began > options.time_to_run
        losses, camera, is_over = steps.run(run.sess, batch, is_over, (step - 1) / total)
        _report(run, step, losses, per_epoch, options)
        if steps.has_collapsed(step, camera):
            cli.say('warning: the camera is the same for all pictures (step {}); the network has '
                    'collapsed. Start again with another --seed.'.format(step))
        with run.paused():
            if test and step < total and options.eval_every and step % options.eval_every == 0:
                test.measure(run, step)
                test.draw(run)
        if is_over and step < total:
            run.save(step)
            cli.say('--time_to_run is over at step {}'.format(step))
            return False
    return True


def _report(run, step, losses, per_epoch, options):
    """Prints the report line, and the MindSpore port's."""
    run.report(step, **losses)
    if run.due(step, options.report_every):
        epoch, place = divmod(step - 1, per_epoch)
        cli.say('epoch: {} step: {}, loss is {}'.format(epoch + 1, place + 1, losses['loss']))


class Steps:
    """The graph of a training step.

    Args:
      network: networks.Network that trains.
      options: those of options.complete; context: launch.Context.
    """

    def __init__(self, network: networks.Network, options: cli.Options, context: launch.Context):
        batch = context.ranks.per_rank(options.batch_size)
        self.images = network.images(batch)
        self._truth = netWithLoss.truth(batch)
        outputs = network.build(self.images)
        losses, *_ = netWithLoss.losses(outputs, self._truth, network.body)
        # Processes stop together: what one of them waits for, all have to run.
        self._over = tf.placeholder(tf.float32, [], name='over')
        *means, self._anyone = tf.unstack(context.ranks.mean(
            tf.stack(list(losses.values()) + [self._over])))
        self.losses = dict(zip(losses, means))
        self._camera = outputs.camera
        self._options, self._rate = options, options.learning_rate
        if options.schedule == 'cosine':
            self._rate = tf.placeholder(tf.float32, [], 'learning_rate')
        optimizer = context.wrap_optimizer(netWithLoss.Adam(self._rate, options.adam_beta1))
        self.update = netWithLoss.update(losses['loss'], network.variables, optimizer, options.wd,
                                         options.drop_noise)
        self._still = 0

    def run(self, sess: tf.Session, batch: Dict[str, np.ndarray],
            is_over: bool = False,
            done: float = 0.) -> Tuple[Dict[str, np.ndarray], np.ndarray, bool]:
        """Makes one update.

        Args:
          sess: tf.Session; batch: dict of datasets.stacked.
          is_over: bool, whether the time of this process is over.
          done: float, share of the training that is behind, for --schedule=cosine.
        Returns:
          (dict of losses before it, camera [B, 3], whether the time of any process is over).
        """
        feed = {getattr(self._truth, name): batch[name] for name in self._truth._fields}
        feed[self.images], feed[self._over] = batch['img'], float(is_over)
        if self._options.schedule == 'cosine':
            feed[self._rate] = self._options.learning_rate * schedules.half_cosine(done)
        losses, camera, anyone, _ = sess.run(
            (self.losses, self._camera, self._anyone, self.update), feed)
        return losses, camera, anyone > 0

    def has_collapsed(self, step: int, camera: np.ndarray) -> bool:
        """Returns whether the camera [B, 3] has long been the same for all pictures; True once.

        Scale and height are what stays the same (GraphCMR, issue 22). One picture tells nothing.
        """
        scale_and_height = camera[:, [0, 2]]
        spread = scale_and_height.std(axis=0).max() / max(np.abs(camera).max(), 1e-6)
        is_still = len(camera) > 1 and spread < _SPREAD and step > _GRACE
        self._still = self._still + 1 if is_still else 0
        return self._still == _PATIENCE


def _drawn_with(path):
    """The --body that a generated set was drawn with; '' without a note, None of a damaged one."""
    try:
        return text.read_json(path) if os.path.exists(path) else ''
    except errors.InputError:
        return None


def _data_path(options):
    """Folder of the sets; generated first where none is given, anew for another body."""
    if options.data_path:
        return options.data_path
    folder = os.path.join(options.output_path, options_lib.GENERATED)
    last_file = os.path.join(folder, config_lib.EXTRAS, config_lib.TEST_FILES['up-3d'])
    note = os.path.join(folder, 'body.json')
    if os.path.exists(last_file) and _drawn_with(note) == options.body:
        cli.say('no --data_path given: using the posed bodies in {}'.format(folder))
    else:
        cli.say('no --data_path given: drawing posed bodies into {}'.format(folder))
        posed_bodies.make(options_lib.parse_dataset_args([
            '--output=' + folder, '--num_train={}'.format(_QUICK_PICTURES),
            '--num_test={}'.format(_QUICK_TEST), '--body=' + options.body]))
        files.write_json(note, options.body)
    return folder


def _initial_weights(options: cli.Options,
                     network: networks.Network) -> Tuple[cli.Options, Optional[Init]]:
    """Reads --checkpoint where it is an encoder, or the original's network.

    `runs` does the rest: our own checkpoints, and none. A run that goes on leaves such weights
    aside, as any others.

    Returns:
      (options that leave no --checkpoint to `runs`, function of a session that assigns the
      weights), or (options as they are, None).
    """
    path = options.checkpoint
    if not path or _goes_on(options):
        return options, None
    if torch_weights.is_torch(path):
        weights = torch_weights.read(path)
    else:
        path = checkpoints.latest(path)
        if not torch_weights.is_encoder(checkpoints.variables_of(path)):
            return options, None
        weights = checkpoints.read(path)
    alone = torch_weights.is_encoder(weights)
    cli.say('weights of {}{}'.format(path, ' for the encoder' if alone else ''))
    return options.replace(checkpoint='', first_weights=path), lambda sess: torch_weights.assign(
        sess, network.variables.by_name, weights, path, torch_weights.ENCODER if alone else '')


def _goes_on(options):
    """Returns whether the output folder has checkpoints that the run goes on from."""
    folder = os.path.join(options.output_path, checkpoints.RUN_FOLDER)
    return options.resume and (os.path.exists(os.path.join(folder, checkpoints.STATE_FILE))
                               or bool(checkpoints.in_folder(folder)))


class _Test:
    """Measures and draws on the test set of UP-3D while training."""

    def __init__(self, network, data_path, options):
        self._options = options.replace(shuffle=False)
        self._known: Dict[str, float] = {}      # figures of the mean pose
        try:
            self._set, self._training_set = [datasets.open_set(data_path, 'up-3d', is_train)
                                             for is_train in (False, True)]
            self._training_set.need('pose', 'shape')
        except errors.InputError as error:
            raise errors.InputError('{} Or leave measurements out by --noevaluate.'.format(error))
        shared = networks.Network(options, False, shared=network)
        self._predictor = evalNet.Predictor(shared, min(options.batch_size, len(self._set)))

    def _batches(self):
        return evaluation.batches(self._set, self._predictor.batch, self._options)

    def measure(self, run, step):
        """Prints and records the figures of a step; at the first, those of the mean pose too.

        Returns:
          the files.
        """
        self._predictor.sess = run.sess
        make, count = self._batches()
        figures = evaluation.measure(self._predictor, self._set, 'up-3d', map(make, range(count)))
        if not step:
            figures.update(evaluation.baseline(self._predictor, self._set, self._training_set))
        for name, value in figures.items():
            cli.say('{}: {}'.format(name, value))
        if not step:
            self._known = {name: value for name, value in figures.items() if 'mean pose' in name}
        evaluation.say_verdict(dict(self._known, **figures))
        run.record(step, **{name.lower().replace(' ', '_').replace('(', '').replace(')', ''): value
                            for name, value in figures.items()})
        path = evaluation.write(run.output_path, 'up-3d', step, figures)
        return [path, _draw_errors(run)]

    def record(self, run):
        """Records how far from the training's pictures those of the test set lie.

        Returns:
          the files.
        """
        self._predictor.sess = run.sess
        return evaluation.record_features(self._predictor, self._set, self._training_set,
                                          self._options, run.output_path)

    def draw(self, run):
        """Draws the first samples: photo, both bodies over it, one from the side.

        Returns:
          str, the picture.
        """
        path = os.path.join(run.samples, 'step_{:06d}.png'.format(run.step))
        vertices = evaluation.draw(self._predictor, self._set, range(min(_DRAWN, len(self._set))),
                                   self._options, path)
        run.show(run.step, 'samples', path, (vertices, self._predictor.network.body.faces))
        return path


def _draw_errors(run):
    """Draws shape errors over the steps, those of earlier calls too, into eval/errors.png."""
    rows = [row for row in records.read_metrics(os.path.join(run.output_path, 'metrics.jsonl'))
            if 'shape_error_nonparam' in row]
    steps = [row['step'] for row in rows]
    series = {caption: (steps, [row['shape_error_' + name] for row in rows])
              for caption, name in zip(evaluation.CAPTIONS[1:3], ('nonparam', 'param'))}
    for row in rows:
        if 'shape_error_mean_pose' in row:
            series['mean training pose'] = (steps, [row['shape_error_mean_pose']] * len(steps))
    path = os.path.join(run.eval_dir, 'errors.png')
    plots.curves(path, series,
                 ylabel='shape error on unseen bodies, mm', log=True)
    return path
