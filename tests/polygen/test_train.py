"""Tests of polygen/train.py, and of sample.py, evaluate.py and freeze_graph.py on what it
leaves."""
import json
import math
import os
import re
import shutil
import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import freeze_graph
from common import frozen
from common.geometry import meshes
from common.training import checkpoints
from polygen import drawing, networks, training_graph
from polygen import evaluate as evaluate_script
from polygen import options as options_lib
from polygen import sample as sample_script
from polygen import train as train_script
from tests.polygen import tiny

PNG = b'\x89PNG\r\n\x1a\n'
# Everything that draws at random while training.
RANDOM = ('--is_training', '--dropout_rate=0.3', '--shuffle', '--random_shift')


@pytest.fixture(scope='module')
def solids(tmp_path_factory):
    return tiny.write_solids(tmp_path_factory.mktemp('solids'))


@pytest.fixture(scope='module')
def finished(tmp_path_factory, solids):
    """A run of four steps with samples, frozen graphs and validation; tests only add to it."""
    folder = str(tmp_path_factory.mktemp('finished') / 'output')
    out = tiny.train(folder, solids, 4, '--freeze', '--save_every=2', '--valid_only',
                     '--validation_path={}'.format(solids), '--eval_every=2', sample=True)
    return types.SimpleNamespace(folder=folder, out=out, data=solids)


@pytest.fixture(scope='module')
def unbroken(tmp_path_factory, solids):
    """{options: losses} of runs of six steps; the first is what later ones start from."""
    finished_runs = {}
    for options in ((), RANDOM):
        folder = str(tmp_path_factory.mktemp('unbroken'))
        tiny.train(folder, solids, 6, '--save_every=6', *options)
        finished_runs[options] = tiny.losses(folder), folder
    return finished_runs


def run_options(folder):
    return ['--output_path={}'.format(folder), '--device=cpu', '--threads=1']


@pytest.mark.parametrize('limits, taken_over', [((20, 60), ['12 of 20', '40 of 60']),
                                                ((9, 33), ['9 of 9', '33 of 33'])])
def test_other_limits_keep_what_positions_have_learned(unbroken, solids, tmp_path, limits,
                                                       taken_over):
    start = ['--checkpoint=' + unbroken[()][1], '--learning_rate=1e-9']
    tiny.train(tmp_path / 'same', solids, 1, *start)
    out = tiny.train(tmp_path / 'other', solids, 1, *start, '--max_vertices={}'.format(limits[0]),
                     '--max_face_tokens={}'.format(limits[1]))
    np.testing.assert_allclose(tiny.losses(tmp_path / 'other')[1],
                               tiny.losses(tmp_path / 'same')[1], rtol=1e-5)
    for rows in taken_over:
        assert 'keeps {} rows, unlike in '.format(rows) in out
    out = tiny.train(tmp_path / 'anew', solids, 1, *start, '--max_vertices=20',
                     '--restart_layers=vertex_model/coord_embeddings_1')
    assert '1 of ' in out and 'keeps' not in out
    assert abs(tiny.losses(tmp_path / 'anew')[1][0] - tiny.losses(tmp_path / 'same')[1][0]) > 1e-3


def test_a_run_leaves_checkpoints_records_samples_and_frozen_graphs(finished):
    assert tiny.saved_steps(finished.folder) == [2, 4]
    assert sorted(tiny.losses(finished.folder)) == [1, 2, 3, 4]
    with open(os.path.join(finished.folder, 'config.json')) as stream:
        config = json.load(stream)
    assert config['options']['hidden_size'] == 16 and config['options']['num_classes'] == 3
    assert config['precision']['effective'] == 'float32'
    with open(os.path.join(finished.folder, 'samples', 'step_000004.png'), 'rb') as stream:
        assert stream.read(8) == PNG
    drawn = os.path.join(finished.folder, 'samples', 'step_000004')
    names = sorted(os.listdir(drawn))
    assert names == ['sample_0{}.{}'.format(number, kind)
                     for number in range(2) for kind in ('glb', 'obj', 'stl')]
    for name in names:
        mesh = meshes.read(os.path.join(drawn, name))
        assert len(mesh.vertices) and len(mesh.faces)
    for name in ('polygen_vertices.pb', 'polygen_faces.pb'):
        with frozen.load(os.path.join(finished.folder, name)) as graph:
            assert 'noise' in graph.inputs and graph.inputs['noise'][0][0] == 2
    assert any(name.startswith('events') for name in os.listdir(finished.folder))


def test_the_output_says_what_happens_and_what_was_measured(finished):
    lines = finished.out.split('\n')
    first = [line for line in lines if line.startswith('PolyGen;')]
    assert len(first) == 1 and '3 of 3 meshes' in first[0] and 'cpu' in first[0]
    assert [line.split()[1] for line in lines if line.startswith('step ')
            and 'loss_vertices' in line] == [
        '1/4', '2/4', '3/4', '4/4']
    assert any(line.startswith(('sample 0: nearest to ', 'sample 0: not one vertex of any of '))
               for line in lines)
    assert any(line.startswith('Loss (vertices): ') for line in lines)
    assert 'done: step 4, results in {}'.format(finished.folder) in lines


def test_validation_decides_on_the_best_checkpoint(finished):
    with open(os.path.join(finished.folder, 'metrics.jsonl')) as stream:
        rows = [json.loads(line) for line in stream]
    measured = {row['step']: row['validation_bits_vertices'] + row['validation_bits_faces']
                for row in rows if 'validation_bits_vertices' in row}
    assert sorted(measured) == [2, 4]
    best = min(measured, key=measured.get)
    assert tiny.saved_steps(finished.folder, 'best') == [best]
    path = os.path.join(finished.folder, 'checkpoints', 'model-4.state.json')
    with open(path) as stream:
        state = json.load(stream)
    assert state['best_step'] == best
    np.testing.assert_allclose(state['best_value'], measured[best], rtol=1e-12)


def test_the_same_command_again_says_it_is_done_and_makes_whole_what_is_missing(finished):
    command = ('--freeze', '--save_every=2', '--valid_only',
               '--validation_path={}'.format(finished.data), '--eval_every=2')
    picture = os.path.join(finished.folder, 'samples', 'step_000004.png')
    graph = os.path.join(finished.folder, 'polygen_faces.pb')
    before = tiny.digests(finished.folder)
    out = tiny.train(finished.folder, finished.data, 4, *command, sample=True)
    assert 'nothing to do: step 4 of 4 is done already' in out
    assert 'samples in' not in out and 'frozen' not in out
    after = tiny.digests(finished.folder)
    assert {name for name in after if after[name] != before.get(name)} <= {
        'config.json', 'report.html'}
    os.remove(picture)
    os.remove(graph)
    out = tiny.train(finished.folder, finished.data, 4, *command, sample=True)
    assert 'nothing to do' in out and 'samples in' in out and 'frozen' in out
    again = tiny.digests(finished.folder)
    assert set(again) == set(before)
    for name in before:     # the same numbers again: samples and graphs come from (seed, step)
        assert name in ('config.json', 'report.html') or again[name] == before[name], name


@pytest.mark.parametrize('options', [
    pytest.param((), id='plain data'),
    pytest.param(RANDOM, id='random data and dropout', marks=pytest.mark.slow)])
def test_a_resumed_run_equals_the_unbroken_one_to_the_last_bit(tmp_path, solids, unbroken, options):
    whole, folder = unbroken[options]
    tiny.train(tmp_path, solids, 2, *options)
    first = tiny.losses(tmp_path)
    assert first == {step: whole[step] for step in (1, 2)}      # same seed, same losses
    tiny.train(tmp_path, solids, 6, *options)
    assert tiny.losses(tmp_path) == whole
    ours, theirs = [checkpoints.read(checkpoints.latest(str(place)))
                    for place in (tmp_path, folder)]
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)


@pytest.mark.slow
def test_random_data_and_dropout_and_another_seed_change_the_losses(tmp_path, solids, unbroken):
    assert unbroken[()][0] != unbroken[RANDOM][0]
    tiny.train(tmp_path, solids, 2, '--seed=1')
    other = tiny.losses(tmp_path)
    # A fresh model's loss is that of uniform guesses, whatever its weights: the second tells.
    assert other[2] != unbroken[()][0][2]


def from_the_same_weights(tmp_path, solids, unbroken, steps, *options):
    """Losses of a run that starts from the weights of the unbroken one, with a new optimizer."""
    folder = tmp_path / str(len(os.listdir(str(tmp_path))))
    tiny.train(folder, solids, steps, '--checkpoint={}'.format(unbroken[()][1]), *options)
    return np.array([pair for _, pair in sorted(tiny.losses(folder).items())])


@pytest.mark.slow
def test_one_shared_optimizer_advances_the_bias_correction_of_both(tmp_path, solids, unbroken):
    own = from_the_same_weights(tmp_path, solids, unbroken, 3)
    shared = from_the_same_weights(tmp_path, solids, unbroken, 3, '--shared_optimizer')
    np.testing.assert_allclose(shared[0], own[0], rtol=1e-6)
    # The vertices' first update comes before any other, the faces' already feels it.
    np.testing.assert_allclose(shared[1, 0], own[1, 0], rtol=1e-6)
    assert abs(shared[1, 1] / own[1, 1] - 1) > 1e-4
    assert abs(shared[2, 0] / own[2, 0] - 1) > 1e-4


@pytest.mark.slow
def test_the_plain_computation_gives_the_same_losses(tmp_path, solids, unbroken):
    default = from_the_same_weights(tmp_path, solids, unbroken, 5)
    plain = from_the_same_weights(tmp_path, solids, unbroken, 5, '--plain')
    np.testing.assert_allclose(plain, default, rtol=1e-5)
    assert (np.abs(default[1:] - default[:-1]) > 0.1).all()


@pytest.mark.slow
def test_buckets_save_padding_and_change_no_loss(tmp_path, solids, unbroken):
    # One mesh in a batch: the solids rise in size, so that buckets keep their order.
    options = ('--plain', '--batch_size=1')
    one = from_the_same_weights(tmp_path, solids, unbroken, 6, *options)
    several = from_the_same_weights(tmp_path, solids, unbroken, 6, '--num_buckets=3', *options)
    np.testing.assert_allclose(several, one, rtol=1e-5)


@pytest.mark.slow
def test_a_tiny_gradient_clip_stops_learning_and_a_large_one_changes_nothing(tmp_path, solids,
                                                                            unbroken):
    def twice(*options):    # the second round over the data against the first
        losses = from_the_same_weights(tmp_path, solids, unbroken, 3, '--batch_size=3', *options)
        return losses[2] / losses[0]

    free = twice()
    # Adam divides by the size of the gradient, but for its epsilon of 1e-8.
    np.testing.assert_allclose(twice('--gradient_clip=1e-12', '--noshuffle_vertices'), 1, rtol=1e-3)
    np.testing.assert_allclose(twice('--gradient_clip=1e6'), free, rtol=1e-3)
    assert (free < 0.97).all()


@pytest.mark.parametrize('options', [
    pytest.param((), id='plain'),
    pytest.param(('--memory_efficient',), id='memory', marks=pytest.mark.slow)])
def test_one_mesh_is_learnt_by_heart(tmp_path, options):
    data = tiny.write_solids(tmp_path / 'data', ['b_pyramid'])
    steps = 120 if not options else 20
    out = tiny.train(tmp_path / 'output', data, steps, '--hidden_size=32', '--fc_size=64',
                     '--noshuffle_vertices', '--top_p=0', '--batch_size=1', '--report_every=10',
                     '--sample_face_tokens=24', *options, sample=True)
    losses = tiny.losses(tmp_path / 'output')
    if options:     # slower steps: learning is enough
        assert losses[steps][0] < 0.7 * losses[10][0] and losses[steps][1] < 0.7 * losses[10][1]
        return
    # From 16 ln 17 = 45 and 21 ln 7 = 41 nats.
    assert losses[steps][0] < 0.03 and losses[steps][1] < 0.03
    assert 'exact copies of 1 of 1 meshes: b/b_pyramid.obj' in out


@pytest.mark.slow
def test_epochs_count_rounds_over_the_data(tmp_path, solids):
    out = tiny.train(tmp_path, solids, 7, '--train_epochs=2', '--save_every=100')
    assert tiny.saved_steps(tmp_path) == [4]    # 3 meshes in batches of 2: two steps a round
    assert 'step 4/4' in out


@pytest.mark.slow
def test_samples_on_the_way_and_without_faces_or_classes(tmp_path, solids):
    tiny.train(tmp_path, solids, 2, '--sample_every=1', '--noclass_conditional',
               '--face_class_conditional', '--num_samples=3', sample=True)
    names = os.listdir(str(tmp_path / 'samples'))
    assert {'step_000001.png', 'step_000002.png'} <= set(names)
    variables = checkpoints.variables_of(checkpoints.latest(str(tmp_path)))
    assert {'vertex_model/embed_zero', 'face_model/class_label/embeddings'} <= set(variables)


def test_sample_draws_classes_from_a_run(finished):
    code, out, _ = tiny.main(
        sample_script, *run_options(finished.folder), '--num_samples=3', '--class_label', 1, 2,
        '--name=two', '--valid_only', '--compare_to={}'.format(finished.data))
    assert code == 0
    folder = os.path.join(finished.folder, 'samples', 'two')
    assert '3 samples of model-4 in {} (3 complete, 3 valid)'.format(folder) in out
    assert len(re.findall(r'sample \d: (nearest to|not one vertex of)', out)) == 3
    assert 'exact copies of' in out
    assert any(name.endswith('.obj') for name in os.listdir(folder))
    assert os.path.exists(folder + '.png') and os.path.exists(folder + '_nearest.png')
    first = tiny.digests(folder)
    assert tiny.main(sample_script, *run_options(finished.folder), '--num_samples=3',
                     '--class_label', 1, 2, '--name=again', '--valid_only')[0] == 0
    assert tiny.digests(os.path.join(finished.folder, 'samples', 'again')) == first


def test_evaluate_measures_the_run_beside_two_baselines(finished):
    code, out, _ = tiny.main(
        evaluate_script, *run_options(finished.folder), '--num_samples=2', '--untrained',
        '--data_path={}'.format(finished.data), '--num_buckets=2', '--batch_size=2')
    assert code == 0
    with open(os.path.join(finished.folder, 'eval', 'evaluation.json')) as stream:
        evaluation = json.load(stream)
    rows = evaluation['figures']
    assert sorted(rows) == ['model-4', 'token frequencies', 'uniform', 'untrained']
    assert evaluation['meshes'] == 3 and evaluation['samples']['samples'] == 2
    # 3 meshes of 4, 5 and 8 vertices, 17 symbols.
    tokens = sum(3 * count + 1 for count in (4, 5, 8))
    uniform = tokens * math.log2(17) / 17
    np.testing.assert_allclose(rows['uniform']['bits_vertices'], uniform, rtol=1e-9)
    np.testing.assert_allclose(rows['untrained']['bits_vertices'], uniform, rtol=1e-5)
    np.testing.assert_allclose(rows['untrained']['bits_faces'], rows['uniform']['bits_faces'],
                               rtol=1e-5)
    assert rows['model-4']['bits_vertices'] < 0.97 * uniform
    with open(os.path.join(finished.folder, 'metrics.jsonl')) as stream:
        recorded = [json.loads(line) for line in stream]
    # The same set, the same figures as the validation of the run, in other batches.
    last = [row for row in recorded if 'validation_bits_vertices' in row][-1]
    for name, value in rows['model-4'].items():
        np.testing.assert_allclose(value, last['validation_' + name], rtol=1e-5)
    assert '| model-4 |' in out


def test_meshes_of_at_most_so_many_vertices_are_measured_apart_too(finished, tmp_path):
    few = tiny.write_solids(tmp_path / 'few', ('a_tetrahedron', 'b_pyramid'))
    rows = []
    for data, arguments in ((finished.data, ['--at_most=5']), (few, [])):
        folder = str(tmp_path / 'out')
        code, _, err = tiny.main(
            evaluate_script, *run_options(folder), '--checkpoint=' + finished.folder,
            '--num_samples=0', '--data_path=' + data, '--train_path=' + finished.data, *arguments)
        assert code == 0, err
        with open(os.path.join(folder, 'eval', 'evaluation.json')) as stream:
            rows.append(json.load(stream)['figures'])
    assert 'model-4, 2 of at most 5 vertices' in rows[0]
    for name, value in rows[1]['model-4'].items():
        np.testing.assert_allclose(rows[0]['model-4, 2 of at most 5 vertices'][name], value,
                                   rtol=1e-5)
    assert rows[0]['model-4']['bits_vertices'] != rows[1]['model-4']['bits_vertices']


def test_weights_without_their_meshes_are_measured_beside_one_baseline(finished, tmp_path):
    folder = str(tmp_path / 'run')
    shutil.copytree(finished.folder, folder)
    path = os.path.join(folder, 'config.json')
    with open(path) as stream:
        config = json.load(stream)
    config['options']['data_path'] = 'elsewhere'
    with open(path, 'w') as stream:
        json.dump(config, stream)
    code, out, _ = tiny.main(evaluate_script, *run_options(folder), '--num_samples=0',
                             '--data_path={}'.format(finished.data))
    assert code == 0 and 'elsewhere) is not here' in out and '--train_path' in out
    assert '| uniform |' in out and 'token frequencies |' not in out
    with open(os.path.join(folder, 'eval', 'evaluation.json')) as stream:
        assert sorted(json.load(stream)['figures']) == ['model-4', 'uniform']


def test_freeze_graph_freezes_a_part_of_a_run(finished, tmp_path):
    code, out, _ = tiny.main(
        freeze_graph, '--model=polygen', *run_options(finished.folder), '--parts', 'face',
        '--output={}'.format(tmp_path), '--batch_size=3', '--top_p=0')
    assert code == 0
    assert sorted(os.listdir(str(tmp_path))) == [
        'polygen_faces.json', 'polygen_faces.pb', 'polygen_faces_margins.npz',
        'polygen_faces_sample.npz']
    assert 'input  noise float32 [3, 20]' in out and 'output faces int32 [3, 20]' in out


def completed(*arguments):
    return options_lib.complete(train_script.parse_args(arguments), 'cpu')


def test_the_large_preset_is_that_of_real_meshes():
    options = completed('--preset=large', '--batch_size=3')
    assert (options.hidden_size, options.fc_size, options.vertex_layers) == (256, 1024, 8)
    assert (options.max_vertices, options.max_face_tokens) == (800, 2800)
    assert options.batch_size == 3 and options.is_training and options.schedule == 'cosine'
    assert options.num_buckets == 4 and not options.plain and not options.memory_efficient
    options = completed('--preset=large', '--noshuffle', '--memory_efficient')
    assert options.shuffle is False and options.plain     # recomputing knows no packed rows


def test_the_published_preset_is_that_of_the_released_checkpoints():
    options = completed('--preset=published')
    assert (options.hidden_size, options.fc_size, options.num_heads) == (512, 2048, 8)
    assert (options.vertex_layers, options.encoder_layers, options.face_layers) == (24, 10, 14)
    assert (options.max_vertices, options.max_face_tokens) == (5000, 8000)
    assert options.memory_efficient and options.num_classes == 55


def test_the_learning_rate_warms_up_and_falls_like_a_cosine():
    options = completed('--learning_rate=2', '--warmup_steps=4', '--schedule=cosine',
                        '--training_steps=12')
    rates = [training_graph.learning_rate(options, step) for step in range(1, 13)]
    np.testing.assert_allclose(rates[:4], [.5, 1., 1.5, 2.])
    np.testing.assert_allclose(rates[7], 1.)
    np.testing.assert_allclose(rates[11], 0., atol=1e-12)
    assert all(one > two for one, two in zip(rates[3:], rates[4:]))
    options = options.replace(schedule='constant', warmup_steps=0)
    assert [training_graph.learning_rate(options, step) for step in (1, 6, 12)] == [2.] * 3


def test_samples_depend_on_the_seed_and_the_place_alone(finished):
    with tf.Graph().as_default():
        options, weights = networks.trained(
            sample_script.parse_args(run_options(finished.folder)), 'cpu')
        models = networks.build_models(options)
        samplers = [drawing.Sampler(models, options, 2) for _ in range(2)]
        with tf.Session() as sess:
            weights.restore(sess)
            one = samplers[0].draw(sess, [0, 1, 2], [7, 1])
            two = samplers[1].draw(sess, [0, 1, 2], [7, 1])
            other = samplers[0].draw(sess, [0, 1, 2], [7, 2])
    assert [sample.label for sample in one] == [0, 1, 2]
    for first, second in zip(one, two):
        np.testing.assert_array_equal(first.vertices, second.vertices)
        assert first.faces == second.faces
    assert any(first.vertices.shape != second.vertices.shape
               or (first.vertices != second.vertices).any() for first, second in zip(one, other))
