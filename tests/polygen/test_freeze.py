"""Tests of polygen/freeze.py: the frozen graphs against the checkpoint, and what an NPU can run."""
import json
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import freeze_graph
from common import choices, errors, frozen
from common.frozen import export, graph, lint
from common.training import launch
from polygen import measures, mesh_sets, networks, sampling, sequences, training_graph
from polygen import options as options_lib
from polygen import sample as sample_script
from polygen import train as train_script
from tests.polygen import tiny

BATCH = 3
VARIANTS = {'top_p': ('--top_p=0.9',), 'greedy': ('--top_p=0',),
            'rules': ('--top_p=1', '--valid_only', '--temperature=1.5')}
# 6 vertices and 20 face tokens at most, see tiny.OPTIONS.
VERTEX_ENDS = {'completed': ((BATCH,), 'bool'), 'num_vertices': ((BATCH,), 'int32'),
               'vertices': ((BATCH, 6, 3), 'float32'), 'vertices_mask': ((BATCH, 6), 'float32'),
               'vertex_tokens': ((BATCH, 19), 'int32'), 'v_output': ((BATCH, 6, 4), 'float32')}
FACE_ENDS = {'completed': ((BATCH,), 'bool'), 'num_face_indices': ((BATCH,), 'int32'),
             'faces': ((BATCH, 20), 'int32'), 'face_tokens': ((BATCH, 20), 'int32')}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Output folder of a run that has learnt a little, with shifts, so that samples are centred."""
    folder = tmp_path_factory.mktemp('freeze')
    data = tiny.write_solids(folder / 'data')
    tiny.train(folder / 'output', data, 30, '--report_every=30', '--random_shift')
    return str(folder / 'output')


@pytest.fixture(scope='module')
def frozen_graphs(trained, tmp_path_factory):
    """{variant: folder} of the frozen graphs."""
    folders = {}
    for variant, options in VARIANTS.items():
        folders[variant] = str(tmp_path_factory.mktemp(variant))
        code, _, err = tiny.main(
            freeze_graph, '--model=polygen', '--output_path={}'.format(trained), '--device=cpu',
            '--threads=1', '--output={}'.format(folders[variant]), '--batch_size={}'.format(BATCH),
            *options)
        assert code == 0, err
    return folders


def live(trained, variant):
    """Session of the checkpoint, inputs, and the tensors that the frozen graphs should give."""
    parsed = sample_script.parse_args(['--output_path={}'.format(trained), '--device=cpu']
                                      + list(VARIANTS[variant]))
    options, weights = networks.trained(parsed, 'cpu')
    models = networks.build_models(options)
    filters = sampling.Filters(options.temperature, options.top_k, options.top_p)
    labels = tf.placeholder(tf.int32, [BATCH])
    noise = [tf.placeholder(tf.float32, [BATCH, length]) for length in (19, 20)]
    tokens, margins = models.vertex.draw_tokens(BATCH, {'class_label': labels}, 6, noise[0],
                                                filters, options.valid_only)
    vertices = sequences.vertices_from_tokens(tokens, 4, True, only_return_complete=False)
    points = tf.placeholder(tf.float32, [BATCH, 6, 3]), tf.placeholder(tf.float32, [BATCH, 6])
    context = dict(zip(('vertices', 'vertices_mask'), points))
    face_tokens, face_margins = models.face.draw_tokens(context, 20, noise[1], filters,
                                                        options.valid_only)
    faces = sequences.faces_from_tokens(face_tokens, context, only_return_complete=False)
    del faces['context']
    sess = tf.Session()
    weights.restore(sess)
    return sess, (labels, noise, points), (
        (dict(vertices, vertex_tokens=tokens), {'vertex_tokens': margins}),
        (dict(faces, face_tokens=face_tokens), {'face_tokens': face_margins}))


def assert_drawn(actual, expected, margins):
    """Outputs of a frozen graph against the live ones; returns the number of choices that moved.

    Tokens to the last one, but where a draw lies within rounding of another symbol; coordinates but
    for the last bit, since a frozen graph's constants are folded.
    """
    moved = choices.compare_sequences(actual, expected, margins)
    assert moved.margin <= choices.ROUNDING, moved
    for name, value in expected.items():
        np.testing.assert_allclose(
            choices.without_moved(actual[name], moved, 0), choices.without_moved(value, moved, 0),
            rtol=0, atol=1e-6 if value.dtype == np.float32 else 0, err_msg=name)
    return moved.places


@pytest.mark.parametrize('variant', sorted(VARIANTS))
def test_frozen_graphs_draw_what_the_checkpoint_draws(trained, frozen_graphs, variant):
    folder = frozen_graphs[variant]
    sess, (labels, noise, points), (vertices, faces) = live(trained, variant)
    drawn, moved = [], 0
    with sess, frozen.load(os.path.join(folder, 'polygen_vertices.pb')) as vertex_graph, \
            frozen.load(os.path.join(folder, 'polygen_faces.pb')) as face_graph:
        for seed in range(4):
            values = [sampling.uniform_noise([seed, part], BATCH, length)
                      for part, length in enumerate((19, 20))]
            classes = np.array([seed % 3, 1, 2], np.int32)
            actual = vertex_graph.predict(noise=values[0], class_label=classes)
            expected, margins = sess.run(vertices, {labels: classes, noise[0]: values[0]})
            moved += assert_drawn(actual, expected, margins)
            np.testing.assert_array_equal(actual['v_output'], np.concatenate(
                [actual['vertices'], actual['vertices_mask'][..., None]], axis=-1))
            context = {name: expected[name] for name in ('vertices', 'vertices_mask')}
            actual_faces = face_graph.predict(noise=values[1], **context)
            moved += assert_drawn(actual_faces, *sess.run(faces, {
                noise[1]: values[1], points[0]: context['vertices'],
                points[1]: context['vertices_mask']}))
            drawn.append((actual['vertex_tokens'], actual_faces['face_tokens']))
    print('{}: {} choices came out otherwise'.format(variant, moved))
    same = [np.array_equal(drawn[0][0][1:], other[0][1:]) for other in drawn[1:]]
    assert all(same) if variant == 'greedy' else not any(same)
    assert any(tokens[1].any() for tokens in drawn)


@pytest.mark.slow
def test_one_loop_draws_what_the_blocks_draw(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, 'BLOCK_SIZE', 4)      # several blocks of so few tokens
    drawn = {}
    for name, options in (('blocks', ()), ('one', ('--single_loop', '--valid_only')),
                          ('blocks of the same', ('--valid_only',))):
        code, _, err = tiny.main(
            freeze_graph, '--model=polygen', '--output_path={}'.format(trained), '--device=cpu',
            '--output={}'.format(tmp_path / name), '--batch_size={}'.format(BATCH), *options)
        assert code == 0, err
        for part in ('vertices', 'faces'):
            path = str(tmp_path / name / 'polygen_{}.pb'.format(part))
            assert export._has_nested_loops(graph.read_graph(path)) == (name != 'one')
            with frozen.load(path) as model:
                drawn[name, part] = model.predict(**graph.read_sample(path))
            if name == 'blocks':
                with pytest.raises(errors.InputError, match='loop in a loop|not installed'):
                    export.write_onnx(path)
    for part in ('vertices', 'faces'):
        for end, value in drawn['one', part].items():
            np.testing.assert_allclose(value, drawn['blocks of the same', part][end], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize('variant', sorted(VARIANTS))
def test_the_graphs_become_onnx(variant, trained, tmp_path):
    pytest.importorskip('tf2onnx')
    pytest.importorskip('onnxruntime')
    code, out, err = tiny.main(
        freeze_graph, '--model=polygen', '--output_path={}'.format(trained), '--device=cpu',
        '--onnx', '--output={}'.format(tmp_path / 'onnx'), '--batch_size={}'.format(BATCH),
        *VARIANTS[variant])
    assert code == 0 and 'note: --onnx' in out and out.count('  ONNX: ') == 2, err


@pytest.mark.parametrize('name, inputs, outputs', [
    ('polygen_vertices', {'noise': ((BATCH, 19), 'float32'), 'class_label': ((BATCH,), 'int32')},
     VERTEX_ENDS),
    ('polygen_faces', {'noise': ((BATCH, 20), 'float32'), 'vertices': ((BATCH, 6, 3), 'float32'),
                       'vertices_mask': ((BATCH, 6), 'float32')}, FACE_ENDS)])
def test_the_ends_are_those_of_the_manifest(frozen_graphs, name, inputs, outputs):
    path = os.path.join(frozen_graphs['top_p'], name + '.pb')
    with frozen.load(path) as model:
        assert model.inputs == inputs and model.outputs == outputs
    with open(graph.manifest_path(path)) as stream:
        manifest = json.load(stream)
    assert manifest['notes']['sampling']['top_p'] == 0.9 and not manifest['notes']['valid_only']
    assert manifest['notes']['checkpoint'] == 'model-30' and manifest['lint']['error'] == 0
    assert manifest['aliases'] == ({'f_output': 'faces'} if name == 'polygen_faces' else {})
    for end, (shape, _) in inputs.items():
        assert '{}:{}'.format(end, ','.join(map(str, shape))) in manifest['atc']
    if manifest['aliases']:
        tensor = graph.imported(graph.read_graph(path)).get_tensor_by_name('f_output:0')
        assert tensor.shape.as_list() == [BATCH, 20]


@pytest.mark.parametrize('variant', sorted(VARIANTS))
@pytest.mark.parametrize('name', ['polygen_vertices', 'polygen_faces'])
def test_frozen_graphs_have_no_variables_no_float64_and_known_shapes(frozen_graphs, name, variant):
    path = os.path.join(frozen_graphs[variant], name + '.pb')
    graph_def = graph.read_graph(path)
    kinds = {node.op for node in graph_def.node}
    assert not {kind for kind in kinds if 'Variable' in kind or 'Random' in kind
                or kind in ('VarHandleOp', 'Assign', 'RestoreV2', 'Where')}
    assert 'While' in kinds or 'LoopCond' in kinds
    for op in graph.imported(graph_def).get_operations():
        for tensor in op.outputs:
            assert tensor.dtype.base_dtype not in (tf.float64, tf.string), op.name
            assert tensor.shape.is_fully_defined(), (op.name, op.type)
    findings = lint.lint_graph(graph_def, *graph.inputs_and_outputs(path, graph_def))
    assert lint.count(findings)['error'] == 0


def test_a_seed_freezes_to_the_same_bytes(trained, frozen_graphs, tmp_path):
    code, _, _ = tiny.main(
        freeze_graph, '--model=polygen', '--output_path={}'.format(trained), '--device=cpu',
        '--output={}'.format(tmp_path), '--batch_size={}'.format(BATCH), '--parts', 'face',
        '--threads=1', *VARIANTS['greedy'])
    assert code == 0
    name = 'polygen_faces.pb'
    assert tiny.digests(tmp_path)[name] == tiny.digests(frozen_graphs['greedy'])[name]


@pytest.mark.parametrize('options', [(), ('--is_training', '--dropout_rate=0.2'),
                                     ('--memory_efficient',), ('--gradient_clip=1',),
                                     ('--shared_optimizer', '--num_buckets=2')],
                         ids=lambda options: options[0].strip('-') if options else 'default')
def test_the_plain_training_graph_has_nothing_that_an_npu_cannot_run(tmp_path, options):
    data = tiny.write_solids(tmp_path)
    settled = options_lib.complete(train_script.parse_args(
        tiny.OPTIONS + ['--plain', '--data_path={}'.format(data)] + list(options)), 'cpu')
    examples, summary = mesh_sets.load_meshes(data, settled.quantization_bits)
    settled = options_lib.with_classes(settled, examples, summary.class_names)
    batches = mesh_sets.Batches(examples, settled.batch_size, settled.num_buckets)
    step = tf.placeholder(tf.int32, [], name='step')
    built = training_graph.TrainingGraph(networks.build_models(settled, step), batches.buckets,
                                         settled, launch.Context(), step)
    fetches = [part.op.name if isinstance(part, tf.Tensor) else part.name
               for bucket in built.buckets for part in bucket.losses + bucket.updates]
    operations = tf.get_default_graph().get_operations()
    feeds = [op.name for op in operations if op.type == 'Placeholder']
    findings = lint.lint_graph(tf.get_default_graph().as_graph_def(add_shapes=True), feeds,
                               fetches, 'train')
    assert [finding for finding in findings if finding.severity == 'error'] == []
    # The masks of -1e9, which half precision turns into infinity: as in the original.
    assert {(finding.rule, finding.detail) for finding in findings} <= {
        ('numeric-fp16', 'holds 1e+09')}


def test_the_loss_without_work_on_padding_is_not_for_the_npu(tmp_path):
    # So that the test above could fail: the packed graph has shapes that depend on the batch.
    with tf.Graph().as_default() as packed:
        options = options_lib.complete(
            train_script.parse_args(tiny.OPTIONS + ['--num_classes=3']), 'cpu')
        feed, _ = measures.placeholders({'vertex_tokens': 13, 'vertices': 4, 'face_tokens': 16}, 2)
        loss = networks.build_models(options).vertex.packed_loss(feed)
        findings = lint.lint_graph(packed.as_graph_def(add_shapes=True),
                                   [tensor.op.name for tensor in feed.values()],
                                   [loss.op.name], 'train')
    assert lint.count(findings)['error']
