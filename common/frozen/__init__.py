"""Frozen graphs: freezing, reading, running, linting, export to ATC and ONNX.

    from common import frozen
    with frozen.load('model.pb') as model:
        occupancy = model.predict(points=array)['occupancy']
"""
import importlib

_NAMES = {'load': 'model', 'freeze': 'freezing'}


def __getattr__(name):
    """Returns `load` and `freeze`; what only compares files needs no TensorFlow."""
    if name in _NAMES:
        return getattr(importlib.import_module('common.frozen.' + _NAMES[name]), name)
    raise AttributeError(name)
