"""Freezes IM-NET's networks: voxels to a code, a code and points to values, a picture, noise."""
import os
from typing import Dict, List

import tensorflow.compat.v1 as tf

from common import cli, errors
from common.frozen import freezing
from common.training import checkpoints, launch
from imnet import checkpoint_names, networks
from imnet import options as options_lib

_UNKNOWN = dict.fromkeys(('z_dim', 'ef_dim', 'gf_dim', 'noise_dim', 'gan_dim'))


def freeze(options: cli.Options, context: launch.Context) -> List[str]:
    """Freezes the networks.

    Args:
      options: those of `options.add_freeze_options`, `output` (folder) and `batch_size`.
      context: where the check runs.
    Returns:
      the .pb files.
    Raises:
      errors.InputError: no checkpoint, or a graph that fails its check.
    """
    options = checkpoint_names.with_stem(options.replace(
        checkpoint_dir=options.checkpoint_dir or os.path.join(options.output_path, 'checkpoints'),
        **_UNKNOWN))
    options = checkpoint_names.placed(options, 'ae')
    paths = []
    for part, prefix in sorted(_sources(options).items()):
        sizes = (checkpoint_names.fitted_gan(options, prefix) if part == 'generator' else
                 checkpoint_names.fitted(options, prefix, 'svr' if part == 'image' else 'ae'))
        paths.append(os.path.join(options.output, 'imnet_{}.pb'.format(part)))
        with tf.Graph().as_default():
            graph = networks.inference_graph(part, sizes)
            with tf.Session(config=context.session_config()) as sess:
                checkpoints.restore(sess, prefix, graph.variables)
                freezing.freeze(sess, graph.inputs, graph.outputs, paths[-1], graph.aliases,
                                check_feed=graph.feed, batch_axes=graph.batch_axes, notes=dict(
                                    checkpoints.note(prefix), plain=options.plain,
                                    leaky_clip=sizes.leaky_clip))
    return paths


def freeze_run(options: cli.Options, context: launch.Context, step: int) -> List[str]:
    """Freezes the newest networks of a training into its output folder.

    Args:
      options: of train.py; context: of the training.
      step: not looked at, as each network counts steps of its own.
    Returns:
      the .pb files.
    """
    del step
    parser = cli.make_parser('Freezes.')
    options_lib.add_freeze_options(parser)
    return freeze(cli.settled(
        parser.parse_args([]), output_path=options.output_path, dataset=options.dataset,
        leaky_clip=options.leaky_clip, output=options.output_path, batch_size=1), context)


def _sources(options: cli.Options) -> Dict[str, str]:
    """{part: prefix} of the graphs to write."""
    sources: Dict[str, str] = {}
    for kind in checkpoint_names.NAMES:
        prefix = (checkpoints.latest(options.checkpoint) if options.checkpoint
                  else checkpoint_names.newest(options, kind))
        if prefix is None:
            continue
        names = checkpoints.variables_of(prefix)
        if 'encoder/conv_1/Matrix' in names:
            sources.update(encoder=prefix, decoder=prefix)
        elif 'encoder/conv0/Matrix' in names:
            sources['image'] = prefix
            sources.setdefault('decoder', prefix)
        elif 'generator/g_1_lin/Matrix' in names:
            sources['generator'] = prefix
    place = options.checkpoint or options.checkpoint_dir
    missing = sorted(set(options.parts or ()) - set(sources))
    if missing:
        raise errors.InputError('no trained network for {} in {}.'.format(
            ', '.join(missing), place))
    if not sources:
        raise errors.InputError('no IMAE, IMSVR or ZGAN checkpoint in {}. Give --checkpoint, or '
                                'the --output_path of a training.'.format(place))
    return {part: prefix for part, prefix in sources.items()
            if part in (options.parts or options_lib.PARTS)}
