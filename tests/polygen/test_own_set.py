"""Tests of polygen/own_set.py: a training fitted to a folder of one's own meshes."""
import os

import numpy as np
import pytest
import trimesh

from common import errors
from polygen import mesh_sets, own_set
from polygen import options as options_lib
from polygen import train as train_script
from tests.common import own_meshes


@pytest.fixture
def folder(tmp_path):
    """Eleven boxes and cones in two classes, and a ball of too many faces."""
    rng = np.random.RandomState(0)
    for number in range(11):
        kind, mesh = ('box', trimesh.creation.box(rng.uniform(1, 2, 3))) if number % 2 else (
            'cone', trimesh.creation.cone(1., rng.uniform(1, 2), sections=12))
        os.makedirs(str(tmp_path / 'set' / kind), exist_ok=True)
        mesh.export(str(tmp_path / 'set' / kind / '{}.obj'.format(number)))
    trimesh.creation.icosphere(5).export(str(tmp_path / 'set' / 'box' / 'ball.obj'))
    return str(tmp_path / 'set')


def settled(folder, *arguments):
    return options_lib.complete(train_script.parse_args(
        ['--data_path=' + folder, '--preset=own', *arguments]), 'cpu')


def test_limits_and_length_come_from_the_meshes(folder, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(options_lib, 'PRETRAINED', str(tmp_path / 'none'))
    options = own_set.fitted(settled(folder))
    examples, summary = mesh_sets.load_for(options, folder)
    assert len(examples) == 11 and summary.num_meshes == 12
    assert options.max_vertices == options.sample_vertices == 20      # 14 of a cone
    largest = max(len(example['faces']) for example in examples)
    assert largest <= options.max_face_tokens < largest + 10
    assert options.batch_size == 2 and options.training_steps == 1500
    said = capsys.readouterr().out
    assert '11 of 12 can be used; --max_vertices=20' in said and 'make_dataset.py --meshes=' in said
    assert not hasattr(options, 'own')


def test_the_weights_that_ship_are_the_start_with_their_limits(folder, capsys):
    options = own_set.fitted(settled(folder))
    assert options.pretrained and options.checkpoint == options_lib.PRETRAINED
    assert (options.max_vertices, options.max_face_tokens) == (200, 800)    # of the tables there
    assert options.training_steps < 1500
    assert 'from the weights that ship' in capsys.readouterr().out


def test_limits_of_the_weights_that_ship_grow_with_the_meshes(folder):
    trimesh.creation.cone(1., 2., sections=240).export(os.path.join(folder, 'cone', 'large.obj'))
    options = own_set.fitted(settled(folder))
    largest = max(len(example['vertices']) for example in mesh_sets.load_for(options, folder)[0])
    assert 200 < largest <= options.max_vertices == options.sample_vertices < largest + 10
    assert options.pretrained and 800 < options.max_face_tokens == options.sample_face_tokens


def test_what_the_command_line_says_stays(folder):
    options = own_set.fitted(settled(folder, '--max_vertices=9', '--batch_size=3',
                                     '--training_steps=40'))
    assert (options.max_vertices, options.batch_size, options.training_steps) == (9, 3, 40)
    assert options.warmup_steps == 4 and options.axis_scaling
    assert not settled(folder, '--noaxis_scaling').axis_scaling
    assert not settled(folder, '--condition=image').axis_scaling    # the pictures show the mesh
    other = options_lib.complete(train_script.parse_args(['--preset=small']), 'cpu')
    assert not other.axis_scaling and other.training_steps == 5000
    with pytest.raises(errors.UsageError, match='meshes of your own'):
        options_lib.complete(train_script.parse_args(['--preset=own']), 'cpu')


def test_some_meshes_are_held_out_whatever_their_order(folder):
    options = own_set.fitted(settled(folder))
    examples, _ = mesh_sets.load_for(options, folder)
    train, held_out = own_set.parted(options, examples)
    assert len(train) == 9 and len(held_out) == 2
    names = {example['name'] for example in held_out}
    assert names == {example['name'] for example in own_set.parted(options, examples[::-1])[1]}
    assert not names & {example['name'] for example in train}


def test_folders_for_testing_are_heeded(tmp_path):
    for place in ('train/box', 'test/box'):
        os.makedirs(str(tmp_path / place))
        for number in range(3):
            trimesh.creation.box([1, 2, 3 + number]).export(
                str(tmp_path / place / '{}.obj'.format(number)))
    options = own_set.fitted(settled(str(tmp_path)))
    examples, summary = mesh_sets.load_for(options, str(tmp_path))
    train, held_out = own_set.parted(options.replace(class_names=summary.class_names), examples)
    assert [example['name'] for example in train] == [
        os.path.join('train', 'box', '{}.obj'.format(number)) for number in range(3)]
    assert len(held_out) == 3 and all(
        example['name'].startswith('test') for example in held_out)


@pytest.mark.slow
def test_the_command_of_the_readme_ends_with_a_verdict(tmp_path, capsys):
    folder = own_meshes.write(tmp_path / 'meshes')
    assert train_script.main([
        '--data_path=' + folder, '--preset=own', '--output_path={}'.format(tmp_path / 'out'),
        '--training_steps=30', '--num_samples=1', '--hidden_size=32', '--fc_size=32',
        '--vertex_layers=1', '--encoder_layers=1', '--face_layers=1', '--device=cpu']) == 0
    said = capsys.readouterr().out
    assert 'on held-out data: bits per vertex' in said and 'uniform distribution' in said
