"""Frozen graphs: freezing, reading, running, linting, export to ATC and ONNX.

    from common import frozen
    with frozen.load('model.pb') as model:
        occupancy = model.predict(points=array)['occupancy']
"""
import importlib
from typing import Any

_NAMES = {'load': 'model', 'freeze': 'freezing'}


def load_for(path: str, om: str = '') -> Any:
    """Opens a frozen graph, or what was converted of it, which then runs on an Ascend device.

    Args:
      path: str, the .pb file; only its manifest is read where `om` is given.
      om: str, the .om file, or the folder with <stem of path>.om; '': the graph itself.
    Returns:
      predictor.Predictor.
    """
    if om:
        return importlib.import_module('common.frozen.om').load(om, path)
    return importlib.import_module('common.frozen.model').load(path)


def __getattr__(name):
    """Returns `load` and `freeze`; what only compares files needs no TensorFlow."""
    if name in _NAMES:
        return getattr(importlib.import_module('common.frozen.' + _NAMES[name]), name)
    raise AttributeError(name)
