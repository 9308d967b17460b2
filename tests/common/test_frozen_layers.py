"""Tests of --freeze_layers, of --restart_layers, and of weights that start anew."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common import cli, errors
from common.training import checkpoints, frozen_layers, launch, runs
from tests.common.test_checkpoints import save


def test_scopes_and_names_are_frozen_but_not_their_beginnings():
    names = ['encoder/w', 'encoder2/w', 'encoder', 'decoder/encoder/w']
    assert [frozen_layers.lies_in(name, ['encoder']) for name in names] == [
        True, False, True, False]
    assert frozen_layers.lies_in('encoder/w', ['encoder/'])
    # GraphCMR's names, which are PyTorch's
    names = ['graph_cnn.camera_fc.4.bias', 'graph_cnn.camera_fc2.bias', 'graph_cnn.gc.0.weight']
    assert [frozen_layers.lies_in(name, ['graph_cnn.camera_fc']) for name in names] == [
        True, False, False]


def options(folder, **values):
    parser = cli.make_parser('Toy.')
    cli.add_run_options(parser, str(folder))
    return cli.settled(parser.parse_args([]), checkpoint='', **values)


def train(folder, freeze, checkpoint='', anew=None, restart=()):
    """Three steps of w <- w - 0.5 on a / w and b / w; returns the values."""
    tf.reset_default_graph()
    variables = [tf.get_variable(name + '/w', [2], initializer=tf.constant_initializer(8.))
                 for name in 'ab']
    context = launch.Context(output_path=str(folder), freeze_layers=tuple(freeze),
                             restart_layers=tuple(restart))
    optimizer = context.wrap_optimizer(tf.train.GradientDescentOptimizer(0.5))
    update = optimizer.minimize(tf.reduce_sum(variables[0]) + tf.reduce_sum(variables[1]))
    with runs.start(options(folder).replace(checkpoint=checkpoint), context, anew=anew) as run:
        for step in run.steps(3):
            run.sess.run(update)
            run.report(step, loss=1.)
        return [value[0] for value in run.sess.run(variables)]


def test_frozen_layers_stay_and_are_told(tmp_path, capsys):
    assert train(tmp_path / 'all', ()) == [6.5, 6.5]
    assert train(tmp_path / 'some', ('b',)) == [6.5, 8.]
    assert '--freeze_layers: 1 of 2 variables stay' in capsys.readouterr().out
    with pytest.raises(errors.UsageError, match=r"no variable to train lies in c.*: a, b"):
        train(tmp_path / 'none', ('c',))
    with pytest.raises(errors.UsageError, match='nothing to train'):
        train(tmp_path / 'every', ('a', 'b'))


def test_what_depends_on_other_classes_starts_anew_and_is_told(tmp_path, capsys):
    prefix = save(tmp_path / 'other', **{'a/w': np.ones(2, np.float32),
                                         'b/w': np.ones(5, np.float32)})
    with pytest.raises(errors.InputError, match='another shape'):
        train(tmp_path / 'run', (), prefix)
    assert train(tmp_path / 'run', (), prefix, anew={'b/w': 'begins anew'}) == [-0.5, 6.5]
    assert 'note: b/w begins anew, unlike in ' in capsys.readouterr().out
    assert checkpoints.exists(str(tmp_path / 'run' / 'checkpoints' / 'model-3'))


def test_layers_begin_anew_beside_those_of_a_checkpoint(tmp_path, capsys):
    prefix = save(tmp_path / 'other', **{'a/w': np.ones(2, np.float32),
                                         'b/w': np.ones(2, np.float32)})
    assert train(tmp_path / 'run', (), prefix, restart=('b',)) == [-0.5, 6.5]
    assert '--restart_layers: 1 of 2 variables begin anew' in capsys.readouterr().out
    # The same command goes on from its own checkpoint, which is not begun anew.
    assert train(tmp_path / 'run', (), prefix, restart=('b',)) == [-0.5, 6.5]
    with pytest.raises(errors.UsageError, match=r'--restart_layers: no .* in c.*: a, b'):
        train(tmp_path / 'none', (), prefix, restart=('c',))


def test_layers_to_begin_anew_without_a_checkpoint_are_told(tmp_path, capsys):
    assert train(tmp_path / 'run', (), restart=('b',)) == [6.5, 6.5]
    assert 'note: --restart_layers is left aside' in capsys.readouterr().out
    assert train(tmp_path / 'other', ()) == [6.5, 6.5]
    assert '--restart_layers' not in capsys.readouterr().out


def test_the_option_is_a_list_of_names():
    parser = cli.make_parser('Toy.')
    cli.add_run_options(parser, 'output')
    assert parser.parse_args(['--freeze_layers=a,b/c']).freeze_layers == ['a', 'b/c']
    settled = cli.settled(parser.parse_args(['--freeze_layers=a,b/c']))
    assert launch.settle(settled, 'cpu').freeze_layers == ('a', 'b/c')
    settled = cli.settled(parser.parse_args(['--restart_layers=a,b/c']))
    assert launch.settle(settled, 'cpu').restart_layers == ('a', 'b/c')
