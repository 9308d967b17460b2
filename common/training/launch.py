"""What a script with a network stands in, settled once: device, precision, ranks, folder, seed.

A script reads its options and hands them to `main`, which settles the device, lets the model
complete the options for it, makes a `Context`, and calls the work with both. Nothing asks later.
"""
import argparse
import contextlib
import dataclasses
import functools
import os
import platform
import re
import sys
from typing import Any, Callable, Dict, Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

import common
from common import cli, errors, redact
from common.device import choice, emulation, npu, precision_types, session
from common.device import ranks as ranks_lib
from common.ops import runtime  # noqa: F401  # TensorFlow 2 in graph mode
from common.pages import report
from common.training import facts as facts_lib
from common.training import frozen_layers
from common.training import peers as peers_lib

Complete = Callable[[argparse.Namespace, str], cli.Options]


@dataclasses.dataclass(frozen=True)
class Context:
    """What a run stands in.

    Attributes:
      device: 'cpu', 'gpu' or 'npu'.
      precision: npu.Precision, asked and effective.
      ranks: ranks.Ranks, the place of this process among those that train together.
      output_path: str, folder of the run.
      seed: int, of every random draw.
      threads: int, CPU threads of an operation; 0 leaves the choice to TensorFlow.
      npu_options: npu.NpuOptions.
      freeze_layers: scopes of variables that are not trained.
      restart_layers: scopes of variables that are not taken from a --checkpoint.
      peers: peers.Nobody, what watches the other processes.
      rewrites_graph: bool, whether TensorFlow optimises graphs on a CPU.
    """

    device: str = 'cpu'
    precision: npu.Precision = npu.Precision(None, 'float32')
    ranks: ranks_lib.Ranks = ranks_lib.ALONE
    output_path: str = 'output'
    seed: int = 0
    threads: int = 0
    npu_options: npu.NpuOptions = npu.NpuOptions()
    freeze_layers: Tuple[str, ...] = ()
    restart_layers: Tuple[str, ...] = ()
    peers: peers_lib.Nobody = peers_lib.Nobody()
    rewrites_graph: bool = True

    @property
    def on_npu(self) -> bool:
        """Returns whether the graph is for an NPU."""
        return self.device == 'npu'

    def replace(self, **changes: Any) -> 'Context':
        """Returns a copy with some attributes changed, such as `output_path` of a stage."""
        return dataclasses.replace(self, **changes)

    def session_config(self) -> tf.ConfigProto:
        """Makes the configuration of a session; see `session.session_config`."""
        return session.session_config(self.device, self.threads, self.npu_options, self.ranks,
                                      self.rewrites_graph)

    @property
    def is_emulated(self) -> bool:
        """Returns whether half precision is emulated."""
        return self.npu_options.emulate_precision and not self.on_npu

    def open_session(self, graph: Optional[tf.Graph] = None) -> tf.Session:
        """Opens a session to train or evaluate in, with half precision emulated where asked.

        Args:
          graph: tf.Graph; None: the default graph.
        """
        if self.is_emulated:
            return emulation.Session(emulation.settings_of(self.npu_options), graph,
                                     self.session_config())
        if self.on_npu:
            npu.keep_scopes(graph or tf.get_default_graph(),
                            precision_types.read_scopes(self.npu_options.keep_float32_scopes))
        return tf.Session(graph=graph, config=self.session_config())

    def open_shared_session(self) -> tf.Session:
        """Opens the session of a training, in which operations between the processes run."""
        if self.ranks.cluster is None:
            return self.open_session()
        return self.ranks.session(self.session_config())

    def wrap_optimizer(self, optimizer: tf.train.Optimizer) -> tf.train.Optimizer:
        """Averages gradients over the processes, scales the loss as --loss_scale asks, and leaves
        the layers of --freeze_layers alone.

        Call this once for each optimizer. Loss scaling is for the NPU and its emulation; it skips a
        step (the global step too) whose gradients overflowed.

        Args:
          optimizer: tf.train.Optimizer.
        Returns:
          tf.train.Optimizer; the same one for a single process without loss scaling, so that
          float32 runs stay equal to the bit.
        """
        scaled = self._scaled(self.ranks.averaging(optimizer))
        if not self.freeze_layers:
            return scaled
        return frozen_layers.Optimizer(scaled, self.freeze_layers)

    def _scaled(self, optimizer):
        if self.is_emulated:
            return emulation.scale_loss(
                optimizer, npu.parse_loss_scale(self.npu_options.loss_scale))
        if not self.on_npu:
            return optimizer
        return npu.scale_loss(optimizer, self.npu_options.loss_scale, self.ranks.size > 1)


def settle(options: cli.Options, device: str, ranks: ranks_lib.Ranks = ranks_lib.ALONE,
           is_training: bool = True) -> Context:
    """Makes the context of a script from its settled options.

    Args:
      options: those of `cli.add_run_options`, or outside training of `cli.add_device_options`;
        `output_path` and `seed` where the script has them.
      device: 'cpu', 'gpu' or 'npu'.
      ranks: place of this process.
      is_training: bool.
    Returns:
      Context. On an NPU the adapter is loaded.
    Raises:
      errors.InputError or errors.UsageError: an option of the NPU is wrong.
    """
    values = vars(options)
    npu_options = npu.NpuOptions.of(values, training=is_training)
    npu.check(npu_options, device)
    if device == 'npu':
        npu.load_adapter()
    elif npu_options.emulate_precision:
        emulation.settings_of(npu_options)      # what is wrong is told before any long work
    places = {name: values[name] for name in ('output_path', 'seed') if name in values}
    return Context(device=device, ranks=ranks, freeze_layers=tuple(values.get('freeze_layers', ())),
                   restart_layers=tuple(values.get('restart_layers', ())),
                   threads=options.threads, npu_options=npu_options,
                   precision=npu.precision_of(npu_options.precision_mode,
                                              npu_options.precision_mode_v2, device,
                                              npu_options.emulate_precision), **places)


def main(work: Callable[[cli.Options, Context], Any], parsed: argparse.Namespace,
         complete: Optional[Complete] = None, is_training: bool = True,
         has_page: bool = True) -> int:
    """Settles what a script stands in, does its work, and turns errors into an exit code.

    Of several processes all but the first print nothing on stdout.

    Args:
      work: called as `work(options, context)`; an int that it returns is the exit code.
      parsed: options as the parser gave them, with those of `cli.add_run_options`, or outside
        training of `cli.add_device_options`.
      complete: called as `complete(parsed, device)`; gives the settled options. None: as they are.
      is_training: bool, whether the output folder is checked and several processes are looked for.
      has_page: bool, whether the work ends with `report.html` in the output folder.
    Returns:
      int, see `cli.run`.
    """
    return choice.run(functools.partial(_launch, work, complete, is_training, has_page), parsed)


def _launch(work, complete, is_training, has_page, parsed):
    device = choice.choose(parsed.device)
    ranks = ranks_lib.find(parsed.distribution, device) if is_training else ranks_lib.ALONE
    with contextlib.ExitStack() as stack:
        if not ranks.is_chief:
            nowhere = stack.enter_context(open(os.devnull, 'w', encoding='utf-8'))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        options = complete(parsed, device) if complete else cli.settled(parsed)
        context = settle(options, device, ranks, is_training)
        if is_training:
            check_output(context.output_path)
        if ranks.size > 1:
            context = stack.enter_context(_joined(work, options, context))
        result = work(options, context)
        failed = isinstance(result, int) and result != 0
        if has_page and not failed and ranks.is_chief and os.path.isdir(context.output_path):
            cli.say('page: {}'.format(write_page(options, context)))
        return result


def write_page(options: cli.Options, context: Context) -> str:
    """Writes `report.html` of the script's output folder, whatever part of it a run is in.

    Returns:
      str, its path.
    """
    return report.write_folder(options.output_path, '{}: {}'.format(
        os.path.basename(sys.argv[0]), options.output_path), vars(options).get('up', 'y'),
        facts(context))


def facts(context: Context) -> Dict[str, Any]:
    """Returns what a page tells of a script: command, seed, device, versions."""
    return {'command': redact.command(sys.argv), 'seed': context.seed, 'device': context.device,
            'precision': context.precision.effective, 'versions': versions()}


def versions() -> Dict[str, str]:
    """Returns the versions that results depend on."""
    return {'project': common.__version__, 'python': platform.python_version(),
            'tensorflow': tf.__version__, 'numpy': np.__version__,
            'platform': platform.platform()}


@contextlib.contextmanager
def _joined(work, options, context):
    """Yields the context of a process that others can reach, and that watches them."""
    if context.ranks.cluster is not None and context.is_emulated:
        raise errors.UsageError('--emulate_precision knows no sessions of several processes by '
                                '--distribution tf; emulate in one process.')
    ranks = context.ranks.serving(context.session_config())
    with peers_lib.watched(ranks, options.peer_timeout) as others:
        if ranks.cluster is not None:
            others.compare(facts_lib.of_script(work, options))
        yield context.replace(ranks=ranks, peers=others)


def check_output(path: str) -> None:
    """Makes sure that an output folder can be made or written to, without making it.

    Raises:
      errors.InputError: a file stands in the way, the place is write-protected, or TensorFlow
        would take the name for a pattern and find no checkpoint there.
    """
    if re.search(r'[\[\]*?\\]', path):
        raise errors.InputError('the output folder {} has one of [ ] * ? \\ in its name, where '
                                'TensorFlow finds no checkpoints. Choose another --output_path.'
                                .format(path))
    folder = os.path.abspath(path)
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        raise errors.InputError('cannot write to the output folder {}: {} is not a folder. Choose '
                                'another --output_path.'.format(path, folder))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise errors.InputError('cannot write to the output folder {}: {} is write-protected. '
                                'Choose another --output_path.'.format(path, folder))
