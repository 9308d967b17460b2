"""The models of the collection: the one list that boot, freezing, lint tables and tests read.

A model is a folder with five modules of the same names and signatures:

    options.py      parser(s), `complete(parsed, device)`, which gives the settled options, and
                    `add_freeze_options(parser)`; imports no TensorFlow
    networks.py     `rows()`: what there is to freeze and lint, a list of frozen.networks.Network;
                    `trained(options, device)`: (settled options, where the weights are)
    training.py     `train(options, context)`
    evaluation.py   `evaluate(options, context)`
    freeze.py       `freeze(options, context)`, which gives a list of .pb files

`context` is a training.launch.Context. docs/adding_a_model.md shows a sixth one.
"""
import importlib
import os
from typing import Any, List, NamedTuple, Tuple

from common import errors

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Model(NamedTuple):
    """A model of the collection.

    Attributes:
      name: str, of its folder and package, and for --model.
      title: str, as its paper writes it.
      entry: str, the script that launch scripts and jobs start, from its folder.
      scripts: further scripts of a user, from its folder.
    """

    name: str
    title: str
    entry: str
    scripts: Tuple[str, ...] = ()

    def module(self, name: str) -> Any:
        """Imports a module of the model, such as 'networks'."""
        return importlib.import_module('{}.{}'.format(self.name, name))


MODELS = (
    Model('polygen', 'PolyGen', 'train.py', ('sample.py', 'evaluate.py', 'make_dataset.py',
                                            'model_test.py')),
    Model('vsl', 'VSL', 'vsl_main.py', ('vsl_imrec.py', 'make_dataset.py',
                                        'calculate_accuracy.py')),
    Model('imnet', 'IM-NET', 'train.py', ('IMGAN/main.py', 'IMSVR/main.py', 'evaluate.py',
                                          'make_dataset.py')),
    Model('r2n2', '3D-R2N2', 'main.py', ('demo.py', 'tools/make_dataset.py')),
    Model('cmr', 'CMR', 'train.py', ('eval.py', 'demo.py', 'preprocess.py', 'make_dataset.py')),
)
NAMES = tuple(model.name for model in MODELS)


def find(name: str) -> Model:
    """Returns a model by its name.

    Raises:
      errors.UsageError: there is no such model.
    """
    for model in MODELS:
        if model.name == name:
            return model
    raise errors.UsageError('--model {}: there are {}.'.format(name, ', '.join(NAMES)))


def rows_of(name: str) -> List[Any]:
    """Returns the networks of a model, a list of frozen.networks.Network."""
    return find(name).module('networks').rows()
