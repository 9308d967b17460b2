"""What a user can get wrong with PolyGen's scripts: one line that helps, an exit code, no loss."""
import glob
import os
import shutil

import pytest

import freeze_graph
from common import cli, errors
from polygen import drawing
from polygen import evaluate as evaluate_script
from polygen import options as options_lib
from polygen import sample as sample_script
from polygen import train as train_script
from tests.polygen import tiny

TETRAHEDRON = ('v 0 0 0\nv 4 0 0\nv 0 0 3\nv 0 2 0\n'
               'f 1 2 3\nf 1 4 2\nf 1 3 4\nf 2 4 3\n')
# A mesh that cannot be used, and words of the message that name what is wrong with it.
BAD_MESHES = {
    'text noise': (TETRAHEDRON.replace('v 4 0 0', 'v four 0 0'), ['line 2', 'four']),
    'NaN': (TETRAHEDRON.replace('v 4 0 0', 'v nan 0 0'), ['line 2', 'finite']),
    'index out of range': (TETRAHEDRON.replace('f 1 3 4', 'f 1 3 9'), ['line 7', '9']),
    'index zero': (TETRAHEDRON.replace('f 1 3 4', 'f 0 3 4'), ['line 7', '0']),
    'no faces': (TETRAHEDRON.split('f')[0], ['no faces']),
    'no mesh at all': ('these are some notes\nof somebody\n', ['no ']),
    'empty': ('', ['is empty']),
    'a point': (TETRAHEDRON.replace('4 0 0', '0 0 0').replace('0 0 3', '0 0 0').replace(
        '0 2 0', '0 0 0'), ['bounding box'])}


def refused(script, *arguments, code=1):
    """Calls a script that must refuse; returns its one line."""
    exit_code, _, err = tiny.main(script, *arguments)
    assert exit_code == code, err
    lines = err.rstrip('\n').split('\n')
    assert len(lines) == 1 and 'error: ' in lines[0] and 'Traceback' not in err, err
    return lines[0]


def train_options(output_path, data_path, steps=2):
    return tiny.OPTIONS + ['--output_path={}'.format(output_path), '--nosample',
                           '--data_path={}'.format(data_path),
                           '--training_steps={}'.format(steps)]


def assert_names(message, *words):
    for word in words:
        assert str(word) in message, message


@pytest.fixture(scope='module')
def solids(tmp_path_factory):
    return tiny.write_solids(tmp_path_factory.mktemp('solids'))


@pytest.fixture(scope='module')
def saved(tmp_path_factory, solids):
    """The output folder of a run with two checkpoints; tests copy it or leave it as it is."""
    folder = str(tmp_path_factory.mktemp('saved') / 'output')
    tiny.train(folder, solids, 4, '--save_every=2')
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    """A copy of that folder to damage."""
    return shutil.copytree(saved, str(tmp_path / 'copy'))


def test_a_missing_folder(tmp_path):
    message = refused(train_script, *train_options(tmp_path / 'output', tmp_path / 'none'))
    assert_names(message, tmp_path / 'none', '--data_path', '.obj')
    assert not (tmp_path / 'output').exists()


def test_an_empty_folder(tmp_path):
    (tmp_path / 'data').mkdir()
    message = refused(train_script, *train_options(tmp_path / 'output', tmp_path / 'data'))
    assert_names(message, tmp_path / 'data', '.obj', 'no mesh files')


@pytest.mark.parametrize('kind', sorted(BAD_MESHES))
def test_a_mesh_that_cannot_be_used_is_refused_when_strict(tmp_path, kind):
    text, words = BAD_MESHES[kind]
    data = tiny.write_solids(tmp_path / 'data', ['a_tetrahedron'])
    (tmp_path / 'data' / 'bad.obj').write_text(text)
    message = refused(train_script, '--strict', *train_options(tmp_path / 'output', data))
    assert_names(message, os.path.join(data, 'bad.obj'), '--strict', *words)
    assert not (tmp_path / 'output').exists()


def test_meshes_that_cannot_be_used_are_left_out_and_listed(tmp_path):
    data = tiny.write_solids(tmp_path / 'data', ['a_tetrahedron', 'b_pyramid'])
    for kind, (text, _) in BAD_MESHES.items():
        (tmp_path / 'data' / 'bad {}.obj'.format(kind)).write_text(text)
    code, out, _ = tiny.main(train_script, *train_options(tmp_path / 'output', data, 1))
    assert code == 0
    assert_names(out, '2 of {} meshes'.format(2 + len(BAD_MESHES)), 'step 1/1',
                 'skipped {}: cannot be used'.format(len(BAD_MESHES)),
                 os.path.join(data, 'bad NaN.obj'))


@pytest.mark.parametrize('option', ['--max_vertices=7', '--max_face_tokens=21'])
def test_a_mesh_above_the_limits_is_refused_when_strict(tmp_path, solids, option):
    options = train_options(tmp_path / 'output', solids, 1) + [option]
    message = refused(train_script, '--strict', *options)
    assert_names(message, 'c_box.obj', option.split('=')[0], option.split('=')[1], '--strict')


def test_a_mesh_above_the_limits_is_left_out(tmp_path, solids):
    code, out, _ = tiny.main(train_script, *train_options(tmp_path / 'output', solids, 1),
                             '--max_vertices=7')
    assert code == 0
    assert_names(out, '2 of 3 meshes', 'skipped 1: more than 7 vertices', 'c_box.obj')


def test_a_folder_whose_meshes_are_all_left_out(tmp_path, solids):
    options = train_options(tmp_path / 'output', solids)
    message = refused(train_script, *options, '--max_vertices=3')
    assert_names(message, 'no mesh is left', solids, 'skipped 3', '--max_vertices', 'a_tetrahedron')
    assert not (tmp_path / 'output').exists()


def cut(prefix, kind='data'):
    path, = glob.glob(prefix + '.' + kind + '*')
    with open(path, 'r+b') as stream:
        stream.truncate(os.path.getsize(path) // 2)


@pytest.mark.parametrize('kind', [pytest.param('data', marks=pytest.mark.slow), 'index'])
def test_a_truncated_checkpoint_is_never_passed_over(copy, solids, kind):
    prefix = os.path.join(copy, 'checkpoints', 'model-4')
    cut(prefix, kind)
    before = tiny.digests(copy)
    message = refused(train_script, *train_options(copy, solids, 6))
    assert_names(message, prefix, 'damaged', '--checkpoint: model-2')
    assert tiny.digests(copy) == before     # neither started anew nor written to
    if kind == 'index':
        return
    for script in (sample_script, evaluate_script):
        message = refused(script, '--output_path={}'.format(copy), '--device=cpu')
        assert_names(message, prefix, '--checkpoint')
    # The remedy that it names.
    code, out, _ = tiny.main(train_script, *train_options(copy, solids, 3),
                             '--checkpoint={}/checkpoints/model-2'.format(copy))
    assert code == 0 and 'goes on from step 2' in out and 'step 3/3' in out


def test_a_checkpoint_whose_data_are_gone(copy, solids):
    folder = os.path.join(copy, 'checkpoints')
    os.remove(glob.glob(os.path.join(folder, 'model-4.data*'))[0])
    code, out, _ = tiny.main(train_script, *train_options(copy, solids, 6))
    assert code == 0 and 'goes on from step 2' in out
    assert_names(out, 'model-4 has lost a file', os.path.join(folder, 'model-2'))


@pytest.mark.parametrize('option, words', [
    ('--hidden_size=32', ['belongs to another network', '32] here', 'in all']),
    ('--vertex_layers=2', ['belongs to another network', 'in all']),
    ('--max_vertices=13', ['belongs to another network', '[13, 16] here']),
    ('--memory_efficient', ['belongs to another network', 'in all']),
    ('--noclass_conditional', ['belongs to another network', '_label/embeddings'])])
def test_a_checkpoint_of_another_configuration(saved, solids, option, words):
    before = tiny.digests(saved)
    message = refused(train_script, *train_options(saved, solids, 6), option)
    assert_names(message, os.path.join(saved, 'checkpoints', 'model-4'), '--output_path',
                 '--noresume', *words)
    assert tiny.digests(saved) == before


def test_a_released_checkpoint_of_other_sizes(saved, tmp_path):
    prefix = os.path.join(saved, 'checkpoints', 'model-4')
    message = refused(sample_script, '--vertex_checkpoint={}'.format(prefix), '--preset=seed',
                      '--face_checkpoint={}'.format(prefix), '--device=cpu',
                      '--output_path={}'.format(tmp_path))
    assert_names(message, prefix, 'belongs to another network', 'in all', 'config.json')
    message = refused(sample_script, '--vertex_checkpoint={}'.format(prefix), '--device=cpu',
                      code=2)
    assert_names(message, '--vertex_checkpoint', '--face_checkpoint')


@pytest.mark.parametrize('script, misspelt, known', [
    (train_script, '--trainin_steps=3', '--training_steps'),
    (train_script, '--learning-rate=1', '--learning_rate'),
    (sample_script, '--num_sample=3', '--num_samples'),
    (evaluate_script, '--datapath2=x', '--data_path'),
    (freeze_graph, '--bach_size=1', '--batch_size')])
def test_a_misspelt_option(script, misspelt, known):
    message = refused(script, *(['--model=polygen'] if script is freeze_graph else []), misspelt,
                      code=2)
    assert_names(message, misspelt.split('=')[0], 'did you mean {}?'.format(known))


@pytest.mark.parametrize('option', ['--training_steps=-5', '--training_steps=0',
                                    '--training_steps=ten', '--learning_rate=-1',
                                    '--learning_rate=nan', '--batch_size=0', '--save_every=0',
                                    '--dropout_rate=1.5', '--top_p=-0.1', '--seed=-1'])
def test_numbers_that_make_no_sense(tmp_path, solids, option):
    message = refused(train_script, *train_options(tmp_path / 'output', solids), option, code=2)
    assert_names(message, option.split('=')[0], option.split('=')[1], 'must be')
    assert not (tmp_path / 'output').exists()


@pytest.mark.parametrize('options, words', [
    (['--preset=huge'], ['--preset', 'huge', 'seed', 'large']),
    (['--hidden_size=10', '--num_heads=4'], ['--hidden_size 10', '--num_heads 4']),
    (['--quantization_bits=9'], ['--quantization_bits 9', '8']),
    (['--num_classes=2'], ['--num_classes 2', '3 classes']),
    (['--schedule=linear'], ['--schedule', 'cosine']),
    (['--strict=perhaps'], ['--strict', 'perhaps']),
    (['surplus'], ['surplus'])])
def test_options_that_do_not_fit(tmp_path, solids, options, words):
    message = refused(train_script, *train_options(tmp_path / 'output', solids), *options, code=2)
    assert_names(message, *words)


@pytest.mark.parametrize('place', ['below a file', 'where nobody can write'])
def test_an_output_folder_that_cannot_be_written(tmp_path, solids, place):
    (tmp_path / 'file').write_text('kept')
    target = {'below a file': str(tmp_path / 'file' / 'output'),
              'where nobody can write': '/proc/self/output'}[place]
    message = refused(train_script, *train_options(target, solids))
    assert_names(message, target, '--output_path')
    assert (tmp_path / 'file').read_text() == 'kept'


def test_a_class_that_the_model_does_not_have(saved):
    message = refused(sample_script, '--output_path={}'.format(saved), '--device=cpu',
                      '--class_label', '1', '7', code=2)
    assert_names(message, '--class_label 1 7', '0 to 2')


def test_a_class_for_a_model_that_knows_none():
    known = {'condition': 'image', 'num_classes': 2, 'class_names': ['a', 'b']}
    blind = cli.Options(class_conditional=False, face_class_conditional=False, **known)
    assert drawing.labels_to_draw(None, blind, 3) == [0, 1, 0]
    with pytest.raises(errors.UsageError, match='--class_label b: the model knows no classes'):
        drawing.labels_to_draw(['b'], blind, 1)
    for one in ('class_conditional', 'face_class_conditional'):
        assert drawing.labels_to_draw(['b'], blind.replace(**{one: True}), 1) == [1]


@pytest.mark.parametrize('script, arguments', [(sample_script, []), (evaluate_script, []),
                                               (freeze_graph, ['--model=polygen'])])
def test_scripts_without_a_trained_model(tmp_path, monkeypatch, script, arguments):
    monkeypatch.setattr(options_lib, 'PRETRAINED', str(tmp_path / 'none'))
    folder = str(tmp_path / 'output')
    message = refused(script, '--output_path={}'.format(folder), '--device=cpu', *arguments)
    assert_names(message, folder, 'no checkpoint')
    message = refused(script, '--output_path={}'.format(folder), '--device=cpu', *arguments,
                      '--checkpoint={}'.format(tmp_path / 'model-7'))
    assert_names(message, tmp_path / 'model-7', 'model-7.index')


def test_a_config_of_another_model(copy):
    path = os.path.join(copy, 'config.json')
    with open(path, 'w') as stream:
        stream.write('{"options": {"latent_size": 5}}')
    message = refused(sample_script, '--output_path={}'.format(copy), '--device=cpu')
    assert_names(message, path, 'not of PolyGen', 'hidden_size')
    with open(path, 'w') as stream:
        stream.write('{"options": ')
    message = refused(sample_script, '--output_path={}'.format(copy), '--device=cpu')
    assert_names(message, path, 'JSON')


def test_validation_meshes_of_unknown_classes(tmp_path):
    for folder, kinds in (('train', ('box', 'cone')), ('test', ('chair',))):
        for kind in kinds:
            tiny.write_solids(tmp_path / folder / kind, ['a_tetrahedron'])
    message = refused(train_script, *train_options(tmp_path / 'output', tmp_path / 'train'),
                      '--validation_path={}'.format(tmp_path / 'test'))
    assert_names(message, 'no mesh is left', tmp_path / 'test', 'its folder is no known class')


def test_a_loss_that_is_not_finite_keeps_what_was_saved(copy, solids):
    before = tiny.digests(os.path.join(copy, 'checkpoints'))
    code, _, err = tiny.main(train_script, *train_options(copy, solids, 9), '--learning_rate=1e38')
    assert code == 3
    assert_names(err, 'error: ', 'at step', 'model-4', '--learning_rate')
    assert tiny.digests(os.path.join(copy, 'checkpoints')) == before


def test_the_device_that_is_not_there(tmp_path, solids):
    message = refused(train_script, *train_options(tmp_path / 'output', solids), '--device=npu')
    assert_names(message, '--device npu', 'npu_bridge', '--device cpu')


def test_the_shipped_meshes_are_there():
    # What every script falls back to without --data_path.
    assert sorted(os.listdir(options_lib.SHIPPED_MESHES)) == [
        'cone.obj', 'cube.obj', 'cylinder.obj', 'icosphere.obj']
