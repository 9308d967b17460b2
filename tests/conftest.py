"""What every test finds ready: an empty default graph, seeds, and `run`, for values of tensors."""
import os
import random
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

# A shell starts what runs in its background deaf to SIGINT, and so would be all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption('--nudge-weights', type=int, metavar='SEED', help='move weights by one part '
                     'in 10^7, a stand-in for another CPU (tests/nudge.py)')


def pytest_configure(config):
    seed = config.getoption('--nudge-weights')
    if seed is not None:
        from tests import nudge
        nudge.install(seed)


def pytest_collection_modifyitems(config, items):
    if config.getoption('--nudge-weights') is not None:
        for item in items:
            if item.get_closest_marker('unmoved'):
                item.add_marker(pytest.mark.skip(reason='Is about what the stand-in moves.'))
    if not tf.__version__.startswith('1.'):
        reason = 'An NPU runs TensorFlow 1.15; on 2 gradients have shapes that depend on the batch.'
        for item in items:
            if item.get_closest_marker('tf1'):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def fresh_graph():
    """Gives each test a default graph of its own and the same seeds at every run.

    A test of drawn values that sets no seed of its own would otherwise fail once in so many runs.
    """
    tf.reset_default_graph()
    tf.set_random_seed(1)
    np.random.seed(1)
    random.seed(1)
    yield
    tf.reset_default_graph()


@pytest.fixture
def run():
    """Gives `run(fetches, feed_dict=None)`, which evaluates tensors of the default graph.

    Variables keep their values from call to call of a test; those that are new in the graph are
    initialised first.
    """
    sessions = []
    ready = set()

    def evaluate(fetches, feed_dict=None):
        if not sessions:
            sessions.append(tf.Session(graph=tf.get_default_graph()))
        new = [variable for variable in tf.global_variables() + tf.local_variables()
               if variable.name not in ready]
        if new:
            sessions[0].run(tf.variables_initializer(new), feed_dict)
            ready.update(variable.name for variable in new)
        return sessions[0].run(fetches, feed_dict)

    yield evaluate
    for session in sessions:
        session.close()
