"""VSL, the Variational Shape Learner (Liu, Giles, Ororbia 2018)."""
import common  # noqa: F401  # sets what TensorFlow reads at its import


def __getattr__(name):
    """Returns `VarShapeLearner`, imported at its first use: data tools need no TensorFlow."""
    if name == 'VarShapeLearner':
        from vsl.vsl import VarShapeLearner
        return VarShapeLearner
    raise AttributeError('module vsl has no attribute {!r}'.format(name))
