"""Brings the stand-in of tests/nudge.py into the processes that tests start.

Python imports this module at its start where its folder is on PYTHONPATH, as
`pytest --nudge-weights=SEED` arranges it. Weights are moved as soon as the module is there that
they belong to, so that a script which does not import TensorFlow still does not.
"""
import importlib.util
import os
import sys
from importlib import machinery

_NUDGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'nudge.py')
_MOVERS = {'common.ops.runtime': 'move_variables', 'common.frozen.graph': 'move_frozen'}


class _Finder:
    """Finds the modules of `_MOVERS` as ever, and has weights moved once they are imported."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        spec = machinery.PathFinder.find_spec(name, path, target) if name in _MOVERS else None
        if spec is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            getattr(_nudge(), _MOVERS[name])(int(os.environ['NUDGE_WEIGHTS']))

        spec.loader.exec_module = exec_module
        return spec


def _nudge():
    spec = importlib.util.spec_from_file_location('_nudge', _NUDGE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if 'NUDGE_WEIGHTS' in os.environ:
    sys.meta_path.insert(0, _Finder)
