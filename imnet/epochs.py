"""What the trainings of IM-NET's three networks share: runs that count epochs, as the original."""
import contextlib
import os
from typing import Any, Callable, Dict, Optional, Sequence

import tensorflow.compat.v1 as tf

from common import cli, errors
from common.training import checkpoints, launch, pretrained, runs
from imnet import checkpoint_names, decoder, extraction
from imnet import options as options_lib

_SHOWN_RESOLUTION = 64      # of the meshes that TensorBoard shows


def settled(options: cli.Options, context: launch.Context, steps_per_epoch: int,
            checkpoint_every: int, extra_epochs: int = 0) -> cli.Options:
    """Settles the length of a run and when it is saved.

    Args:
      options: settled; context: of the run.
      steps_per_epoch: int; checkpoint_every: epochs, where --checkpoint_every is unset.
      extra_epochs: 1 where epochs count from 0 to --epoch, both included (the original's GAN).
    Returns:
      options with `steps_per_epoch`, `training_steps`, `checkpoint_every` (epochs between
      checkpoints under the original's names) and `save_every` (steps).
    Raises:
      errors.InputError: the run in that folder counted other steps an epoch.
    """
    every = options.checkpoint_every or checkpoint_every
    path = os.path.join(context.output_path, 'config.json')
    if options.resume and os.path.exists(path):
        before = runs.read_options(context.output_path).get('steps_per_epoch', steps_per_epoch)
        if before != steps_per_epoch:
            raise errors.InputError(
                'the run in {} has {} steps an epoch, this one {}: other data or other '
                '--shapes_per_step. Choose another --output_path, or --noresume.'.format(
                    context.output_path, before, steps_per_epoch))
    return options.replace(
        steps_per_epoch=steps_per_epoch, checkpoint_every=every,
        training_steps=options.training_steps or (options.epoch + extra_epochs) * steps_per_epoch,
        save_every=options.save_every or every * steps_per_epoch)


def starting_weights(options: cli.Options, kind: str) -> Optional[str]:
    """Finds the checkpoint under the original's name that a training starts from, or None."""
    if options.pretrained:
        pretrained.asked_for(options, options_lib.PRETRAINED)
        return checkpoint_names.newest(checkpoint_names.shipped(options), kind)
    if options.checkpoint:
        return checkpoints.latest(options.checkpoint)
    return checkpoint_names.newest(options, kind) if options.resume else None


def start_from_original(run: runs.Run, options: cli.Options, kind: str,
                        variables: Sequence[tf.Variable]) -> None:
    """Goes on from a checkpoint of the original's name where the run has none of its own.

    Args:
      run: at its beginning; options: of `settled`; kind: 'ae', 'gan' or 'svr'.
      variables: of the model; all others (moments and powers of Adam) are set back.
    """
    if run.step and not options.original_resume or not options.resume or options.checkpoint:
        return
    prefix = checkpoint_names.newest(options, kind)
    if prefix is None:
        return
    checkpoints.restore(run.sess, prefix, variables)
    run.sess.run(tf.variables_initializer([variable for variable in tf.global_variables()
                                           if variable not in variables]))
    epoch = checkpoints.step_of(prefix) or 0
    run.step = run.start_step = (epoch + 1) * options.steps_per_epoch
    cli.say('goes on from {}, with fresh moments of Adam, at step {}'.format(
        prefix, run.step))


def goes_on(run: runs.Run) -> bool:
    """Says whether the run goes on from a checkpoint of its own."""
    return checkpoints.exists(os.path.join(run.checkpoints, 'model-{}'.format(run.start_step)))


def finish(run: runs.Run, step: int, write: Callable[[], Sequence[str]]) -> None:
    """Saves the run, then what has the original's name, unless that is there.

    In this order, since a run that finds the original's checkpoint alone has no moments.

    Args:
      run: at the end of `step`.
      step: int.
      write: function () -> the files that it wrote.
    """
    run.save(step)
    run.results.once('original checkpoint', step, write)


def show(run: runs.Run, step: int, stem: str, field: decoder.Field, context: launch.Context
         ) -> None:
    """Shows a field in TensorBoard: pictures of `draw.write_projections`, and its mesh.

    Args:
      run, step: the run and its step; stem: str, of the pictures; field: function of points; on an
        NPU, whose shapes are fixed, there is no mesh.
    """
    if not context.ranks.is_chief:
        return
    mesh = None
    if not context.on_npu:
        with contextlib.suppress(errors.InputError):    # a field without a surface
            mesh = extraction.mesh(field, _SHOWN_RESOLUTION)[:2]
    run.show(step, 'field', stem + '_1t.png', mesh)
    run.show(step, 'truth', stem + '_1i.png')


class EpochMean:
    """Means of the losses of an epoch; lives in `Run.state`, so that a resumed run goes on."""

    def __init__(self, run: runs.Run, steps_per_epoch: int):
        self._run, self._steps = run, steps_per_epoch

    def add(self, step: int, **values: Any) -> Optional[Dict[str, float]]:
        """Adds the values of a step; returns the means at the last step of an epoch, else None."""
        sums = self._run.state.setdefault('epoch_sums', {})
        sums['count'] = sums.get('count', 0) + 1
        for name, value in values.items():
            sums[name] = sums.get(name, 0.) + float(value)
        if step % self._steps:
            return None
        self._run.state['epoch_sums'] = {}
        count = sums.pop('count')
        return {name: value / count for name, value in sums.items()}
