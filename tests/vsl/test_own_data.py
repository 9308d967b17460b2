"""Tests of VSL on a folder of one's own meshes: batch and length by the data, what is learned."""
import json
import os
import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common import errors
from common.geometry import meshes
from common.training import reporting
from tests.common import own_meshes
from vsl import draw, make_dataset, measures, options, vsl_main


def complete(*arguments):
    return options.complete(options.parse_args(list(arguments)), 'cpu')


@pytest.mark.parametrize('count, arguments, expected', [
    (23, (), (10, 400, 5e-4)),                  # 2 steps an epoch, 800 in all
    (500, (), (10, 16, 5e-4)),
    (7, (), (3, 400, 5e-4)),
    (1, (), (1, 800, 5e-4)),
    (23, ('--batch_size=5', '--learning_rate=0.01'), (5, 200, 0.01)),
    (3000, (), (100, 500, 5e-5)),               # a large set: as before
    (23, ('--preset=modelnet10',), (100, 500, 5e-5))])
def test_a_small_set_of_ones_own_gets_batch_and_length_by_its_size(count, arguments, expected,
                                                                   capsys):
    fitted = options.fitted(complete('--data_path=mine.mat', *arguments), count)
    assert fitted.warmup_steps == (0 if expected[0] == 100 else 100)
    assert (fitted.batch_size, fitted.total_epoch, fitted.learning_rate) == expected
    assert not hasattr(fitted, 'own')
    assert ('--total_epoch={}'.format(expected[1]) in capsys.readouterr().out) == (
        expected[0] != 100)


def test_the_warm_up_can_be_chosen():
    fitted = options.fitted(complete('--data_path=mine.mat', '--warmup_steps=7'), 23)
    assert fitted.warmup_steps == 7
    assert complete('--data_path=x/ModelNet10_res30_raw.mat').warmup_steps == 0


def test_the_authors_sets_keep_their_preset():
    fitted = options.fitted(complete('--data_path=x/ModelNet10_res30_raw.mat'), 500)
    assert (fitted.preset, fitted.batch_size, fitted.total_epoch) == ('modelnet10', 100, 500)


def test_encode_needs_a_shape():
    with pytest.raises(errors.UsageError, match='--shape'):
        complete('--stages=encode')
    assert complete('--shape=a.obj', '--stages=tsne').stages == ['tsne', 'encode']


def test_baselines_of_shapes_by_hand():
    grids = np.zeros([4, 27000], np.uint8)
    for row, cells in enumerate(([0, 1, 2, 3], [0, 1], [0, 1, 2], [5])):
        grids[row, cells] = 1
    scores = measures.shape_baselines(grids[:3], grids[2:])
    # Test shapes {0, 1, 2} and {5}: the first is a training shape, the second meets none. The mean
    # of {0..3}, {0, 1}, {0, 1, 2} cut at 0.4 or 0.5 is {0, 1, 2}.
    assert scores == {'nearest training shape': 0.5, 'mean shape': 0.5}


@pytest.mark.parametrize('value, higher, said', [
    (0.8, True, 'better than mean shape and nearest shape.'),
    (0.5, True, 'better than mean shape, not yet than nearest shape. Train on.'),
    (0.2, True, 'no better than mean shape and nearest shape: little is learned so far. Train on.'),
    (0.2, False, 'better than mean shape and nearest shape.')])
def test_the_verdict_says_what_a_figure_means(value, higher, said):
    line = reporting.verdict('IoU', value, {'mean shape': 0.3, 'nearest shape': 0.7}, 'Train on.',
                             higher)
    assert line.startswith('on held-out data: IoU {:.4f} (mean shape 0.3000, '.format(value))
    assert line.endswith('): ' + said)


@pytest.mark.slow
def test_a_folder_of_meshes_is_made_into_a_set_trained_on_and_encoded(tmp_path, monkeypatch,
                                                                     capsys):
    monkeypatch.setattr(draw, '_MOST_TRIANGLES', 500)
    folder = own_meshes.write(tmp_path / 'meshes')
    data, out = str(tmp_path / 'mine.mat'), str(tmp_path / 'run')
    assert make_dataset.main(['--meshes', folder, '--output', data]) == 0
    tf.reset_default_graph()
    assert vsl_main.main(['--data_path', data, '--output_path', out, '--training_steps=3']) == 0
    said = capsys.readouterr().out
    assert 'no --preset: --batch_size=10 --learning_rate=0.0005 --warmup_steps=100' in said
    assert re.search(r'on held-out data: IoU .*mean shape .*nearest training shape', said)
    page = os.path.join(out, 'report.html')
    assert 'page: {}'.format(page) in said and '"up": "z"' in open(page, encoding='utf-8').read()
    tf.reset_default_graph()
    shape = os.path.join(folder, 'box', 'my box 00.obj')
    assert vsl_main.main(['--data_path', data, '--output_path', out, '--stages=encode',
                          '--shape', shape]) == 0
    with open(os.path.join(out, 'eval', 'encode.json')) as stream:
        figures = json.load(stream)
    assert figures['class'] in ('box', 'dumbbell', 'tube') and len(figures['nearest']) == 3
    assert 0 <= figures['iou'] <= 1 and len(figures['code']) == 35
    assert os.path.exists(os.path.join(out, 'eval', 'encoded-my box 00.png'))


def test_shapes_are_written_z_up_but_the_gltf_y_up(tmp_path):
    grid = np.zeros([30, 30, 30])
    grid[4:8, 10:12, 20:29] = 1     # 4 wide (x), 2 deep (y), 9 high (z)
    draw.shapes(str(tmp_path / 'one'), grid.reshape(1, -1))
    for ending, sizes in (('obj', [4, 2, 9]), ('stl', [4, 2, 9]), ('glb', [4, 9, 2])):
        vertices = meshes.read(str(tmp_path / 'one' / '00.{}'.format(ending))).vertices
        np.testing.assert_allclose(np.ptp(vertices, axis=0), sizes, atol=1e-4)
