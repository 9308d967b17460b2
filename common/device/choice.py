"""Which device a process computes on: CPU, GPU or Ascend NPU."""
import argparse
import os
import warnings
from typing import Any, Callable

import tensorflow.compat.v1 as tf

from common import cli, errors
from common.device import npu


def choose(device: str) -> str:
    """Settles the device of this process.

    Args:
      device: 'auto', 'cpu', 'gpu' or 'npu'; auto takes an NPU, else a GPU, else the CPU.
    Returns:
      'cpu', 'gpu' or 'npu'.
    Raises:
      errors.InputError: the device asked for is not there.
    """
    has_npu = npu.is_installed()
    has_gpu = device in ('auto', 'gpu') and bool(
        tf.config.experimental.list_physical_devices('GPU'))
    if device == 'auto':
        device = 'npu' if has_npu else 'gpu' if has_gpu else 'cpu'
    if device == 'npu' and not has_npu:
        raise errors.InputError(
            '--device npu needs the package npu_bridge, which this Python does not have. It comes '
            'with the TensorFlow adapter of CANN: source its set_env.sh and put the adapter on '
            'PYTHONPATH, or use --device cpu.')
    if device == 'gpu' and not has_gpu:
        raise errors.InputError('--device gpu: TensorFlow sees no GPU. Check the driver and '
                                'CUDA 10.0, or use --device cpu.')
    return device


def quieten() -> None:
    """Hides the messages of TensorFlow that tell a user nothing; what fails still raises.

    Not where npu_bridge exists: the launch scripts read there from the log that the graph was
    compiled for the NPU. Takes effect before TensorFlow's first message only.
    """
    if not npu.is_installed():
        os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
        tf.logging.set_verbosity(tf.logging.ERROR)
        warnings.filterwarnings('ignore', message='Converting sparse IndexedSlices')


def run(work: Callable[[Any], Any], parsed: argparse.Namespace) -> int:
    """Calls the work of a command that needs TensorFlow, quiet without --debug; see `cli.run`."""
    if not parsed.debug:
        quieten()
    return cli.run(work, parsed)
