"""VSL, the Variational Shape Learner (Liu, Giles, Ororbia 2018)."""


def __getattr__(name):
    """Gives `VarShapeLearner` when it is asked for, so that data tools need no TensorFlow."""
    if name == 'VarShapeLearner':
        from vsl.vsl import VarShapeLearner
        return VarShapeLearner
    raise AttributeError('module vsl has no attribute {!r}'.format(name))
