"""What the fuzzing reads: the readers of files of models, runs, graphs and meshes.

Those of common/readers stand in fuzz.py. `SITES` says of every function of the project that opens
a file which reader here covers it; a test holds it to the code.
"""
import argparse
import collections
import contextlib
import functools
import hashlib
import io
import json
import os
import shutil
import signal
import time

import numpy as np

from common import errors

Reader = collections.namedtuple('Reader', 'read suffix seeds words name setup')
Reader.__doc__ = """A reader and its files.

read: function (path) -> value; suffix: str, of its files; seeds: function (folder) that writes
files to begin with; words: list of bytes that mutations put in; name: str, path of the file below
its folder, '' for any; setup: function (folder) that writes what lies beside it, or None."""
Reader.__new__.__defaults__ = ('', None)

_CLOCK = 200        # seconds that a process may take to write what the fuzzing begins with
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ODD = [np.zeros([0, 3], np.float32), np.array(3.5), np.arange(6, dtype='>i4').reshape(2, 3),
       np.array(['a', 'bcd']), np.array([b'x', b'yz']), np.full([2, 3], np.nan), np.array([-1, 7]),
       np.full([3], 1e300), np.ones([1, 1, 1, 1, 1]), np.array([True, False]),
       np.array([2 ** 62], np.uint64)]
JSON_WORDS = [b'null', b'-1', b'1e999', b'[]', b'{}', b'"x"', b'NaN', b'9' * 30, b'[' * 300,
              b'true', b'0.5', b'"\\u001b[31m"', b'""', b'1e-320', b'\xef\xbb\xbf']
ARCHIVE_WORDS = [b'PK\3\4', b'PK\1\2', b"'descr': '|O'", b'<f8', b'<U9', b'(1000000000000,)', b'-1',
                 b'\x93NUMPY\x02\0', b'\0\0', b'\xff' * 4]
HDF5_WORDS = [b'SNOD', b'TREE', b'HEAP', b'GCOL', b'OHDR', b'\xff' * 8, b'\0' * 8]
MESH_WORDS = [b'f 1/1/1 2//2 3', b'v 1e999 nan 0', b'f -1 -2 -3', b'\\\n', b'end_header\n',
              b'property list uchar int x\n', b'9' * 40, b'#', b'element face 99999999\n', b'\0',
              b'solid', b'dim 99999 99999 99999\n', b'1 2 3\n', b'mtllib /etc/passwd\n']
GLTF_WORDS = [b'"uri":"/etc/passwd"', b'"uri":"../a.bin"', b'"count":999999999', b'"byteOffset":-1',
              b'"sparse":{"count":1}', b'"mode":5', b'"children":[0]', b'"uri":"data:,"', b'null',
              b'5126', b'1e999', b'[]', b'{}']
GRAPH_WORDS = [b'\x0a\x00', b'ReadFile', b'WriteFile', b'PyFunc', b'Placeholder', b'Const',
               b'While', b'\xff\xff\xff\xff\x0f', b'\x12\x00', b'^', b':1', b'_output_shapes',
               b'T\x12\x02(\x07', b'dtype', b'\x08\x03', b'/cpu:9']


def write(path, data):
    """Writes bytes, or text as UTF-8."""
    with open(path, 'wb') as stream:
        stream.write(data.encode() if isinstance(data, str) else data)


def _json_seeds(*values):
    def seeds(folder):
        for number, value in enumerate(values):
            write(os.path.join(folder, '{}.json'.format(number)), json.dumps(value, indent=1))
    return seeds


def _npz_seeds(make):
    """The arrays of `make()`, and files in which one of them is an odd one."""
    def seeds(folder):
        values = make()
        np.savez(os.path.join(folder, 'plain.npz'), **values)
        np.savez_compressed(os.path.join(folder, 'packed.npz'), **values)
        for name in sorted(values):
            for number in range(number_of(name), len(ODD), 4):
                np.savez(os.path.join(folder, '{}{}.npz'.format(name, number)),
                         **dict(values, **{name: ODD[number]}))
    return seeds


def number_of(name):
    """A number from 0 to 3 that depends on a name."""
    return hashlib.sha256(name.encode()).digest()[0] % 4


def _hdf5_seeds(make, **options):
    """Like `_npz_seeds`, of HDF5."""
    import h5py

    def seeds(folder):
        values = make()
        tables = [values] + [dict(values, **{name: odd}) for name in sorted(values)
                             for odd in ODD[number_of(name)::4] if odd.dtype.kind != 'U']
        for number, table in enumerate(tables):
            with h5py.File(os.path.join(folder, '{}.hdf5'.format(number)), 'w') as stream:
                for name, value in table.items():
                    more = options if np.ndim(value) and np.size(value) else {}
                    stream.create_dataset(name, data=value, **more)
    return seeds


# Runs and checkpoints.

def _forked(function):
    """Calls a function in a forked process, since a session of TensorFlow does not survive one."""
    process = os.fork()
    if not process:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    until, status = time.time() + _CLOCK, None
    while status is None:
        ended, code = os.waitpid(process, os.WNOHANG)
        if ended:
            status = code
        elif time.time() > until:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.01)
    if status:
        raise RuntimeError('cannot write what the fuzzing begins with')


def _write_checkpoints(folder, **options):
    def save():
        import tensorflow.compat.v1 as tf

        from common.training import checkpoints
        with tf.Graph().as_default(), tf.Session() as sess:
            for name, shape in (('w', [3, 4]), ('layer/b', [5]), ('step', [])):
                tf.get_variable(name, shape, initializer=tf.random_normal_initializer(seed=1))
            sess.run(tf.global_variables_initializer())
            saver = tf.train.Saver(max_to_keep=9, **options)
            for step in (3, 5):
                saver.save(sess, os.path.join(folder, 'model-{}'.format(step)),
                           write_meta_graph=False, write_state=False)
            checkpoints.write_list(folder, [os.path.join(folder, 'model-3'),
                                            os.path.join(folder, 'model-5')])
    os.makedirs(folder, exist_ok=True)
    _forked(save)


def _checkpoint_seeds(ending, **options):
    def seeds(folder):
        _write_checkpoints(folder, **options)
        for name in os.listdir(folder):
            if not name.endswith(ending) or ending == 'model-5' and name != ending:
                os.remove(os.path.join(folder, name))
    return seeds


def _beside_checkpoints(folder):
    _write_checkpoints(os.path.join(folder, 'checkpoints'))


def _read_state_file(path):
    from common.training import checkpoints
    folder = os.path.dirname(path)
    checkpoints.resumable(folder)
    return checkpoints.latest(folder)


def _read_checkpoint(path):
    from common.training import checkpoints
    prefix = checkpoints.latest(path)
    checkpoints.variables_of(prefix)
    return checkpoints.read(prefix)


def _read_run_state(path):
    from common.training import runs
    return runs._read_state(path)


def _read_metrics(path):
    from common.training import records
    return records.Recorder(os.path.dirname(path), 3)


def _metrics_seeds(folder):
    write(os.path.join(folder, 'a.jsonl'), ''.join(
        json.dumps({'step': step, 'loss': 0.5 / step}) + '\n' for step in range(1, 6)))
    for name in ('metrics-188-metrics.jsonl', 'metrics-218-metrics.jsonl'):
        shutil.copy(os.path.join(ROOT, 'tests', 'field_cases', 'damaged', name), folder)


def _read_results(path):
    from common.training import results
    return results.Results(os.path.dirname(path), 5).is_of('mean', 5)


def _read_config(path):
    """config.json as each model reads it."""
    from common.training import runs
    options = runs.read_options(os.path.dirname(path))
    from r2n2.lib import config
    if options.get('settings'):
        config.restored(options['settings'])
    return runs._leaves(options)


def _read_weight_manifest(path):
    from common.training import weight_files
    return weight_files.read_manifest(path)


def _read_recipe(path):
    from common.training import recipes
    return recipes.read(os.path.dirname(path))


def _read_curve(path):
    from common.training import recipes
    return recipes.read_curve(os.path.dirname(path))


def _read_expected(path):
    """What a demo says beside a result, of the record near its weights."""
    from common.training import familiar
    with contextlib.redirect_stdout(io.StringIO()):
        return familiar.tell(os.path.join(os.path.dirname(path), 'model-3'), 'uncertainty', 0.5,
                             'a.png')


def _read_features(path):
    from common.training import familiar
    return familiar.distances(os.path.dirname(path), np.zeros([2, 3]))


def _read_weight_file(path):
    from common.training import weight_files
    weight_files.check = lambda path: None      # its digest would refuse all
    reader = weight_files.Reader(path)
    return [reader.get_tensor(name) for name in reader.get_variable_to_shape_map()]


def _read_page(path):
    from common.pages import figures
    return figures.table(path) if path.endswith('.json') else figures.picture(path)


def _read_page_metrics(path):
    from common.pages import report
    return report._metrics(path)


def _page_pictures(folder):
    from PIL import Image
    for name in ('a.png', 'b.jpg'):
        Image.fromarray(np.random.RandomState(0).randint(0, 255, [9, 11, 3]).astype(
            np.uint8)).save(os.path.join(folder, name))


# Graphs.

def _graph_seeds(folder):
    def save():
        for number in range(3):
            write(os.path.join(folder, '{}.pb'.format(number)), _graph(number).SerializeToString())
    _forked(save)


def _graph(kind):
    import tensorflow.compat.v1 as tf
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [2, 4], name='x')
        w = tf.constant(np.arange(12, dtype=np.float32).reshape(4, 3))
        y = tf.nn.relu(tf.matmul(x, w) + 1)
        if kind == 1:
            y = tf.while_loop(lambda i, a: i < 3, lambda i, a: (i + 1, a * 0.5), (0, y))[1]
            y = tf.nn.conv3d(tf.reshape(y, [1, 2, 3, 1, 1]), tf.ones([1, 1, 1, 1, 2]), [1] * 5,
                             'SAME')
        if kind == 2:
            y = tf.concat([tf.one_hot(tf.argmax(y, 1), 4), tf.fill([2, 3], 2.)], 1)
            y = tf.gather(tf.transpose(y), [0, 2, 5])
        tf.identity(y, name='y')
    return graph.as_graph_def()


def _load_graph(path):
    from common.frozen import model
    with model.load(path) as network:
        return str(network)


def _script(main, arguments):
    """Runs a script in this process; the line that it ends with becomes an InputError."""
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = main(arguments)
    if code == 1 and said.getvalue().startswith('error: '):
        raise errors.InputError(said.getvalue()[len('error: '):].rstrip('\n'))
    if code:
        raise RuntimeError('exit code {}: {}'.format(code, said.getvalue()[-300:]))


def _run_graph(path):
    """Runs a graph on zeros as `python -m common.frozen run` does, in a process of its own."""
    from common.frozen import __main__ as script
    from common.frozen import model
    del model       # TensorFlow is loaded once, before the script forks
    folder = os.path.dirname(path)
    zeros = os.path.join(folder, 'zeros.npy')
    if not os.path.exists(zeros):
        np.save(zeros, np.zeros([2, 4], np.float32))
    reading, writing = os.pipe()
    said = os.dup(2)
    os.dup2(writing, 2)     # the child that runs the graph writes its line there
    try:
        with os.fdopen(os.dup(writing), 'w') as stream, contextlib.redirect_stderr(stream):
            code = script.main(['run', path, '--input', 'x=' + zeros, '--output', folder,
                                '--timeout=5'])
    finally:
        os.dup2(said, 2)
        os.close(writing)
        os.close(said)
    with os.fdopen(reading, 'rb') as stream:
        text = stream.read(100000).decode('utf-8', 'replace')
    lines = [line for line in text.split('\n') if line.startswith('error: ')]
    if code == 1 and len(lines) == 1:
        raise errors.InputError(lines[0][len('error: '):])
    if code:
        raise RuntimeError('exit code {}: {}'.format(code, text[-300:]))


def _lint_graph(path):
    from common import npu_lint
    options = npu_lint.parse_args([path])
    with contextlib.redirect_stdout(io.StringIO()):
        return npu_lint.lint(options)


def _pbtxt_seeds(folder):
    def save():
        for number in range(3):
            write(os.path.join(folder, '{}.pbtxt'.format(number)), str(_graph(number)))
    _forked(save)


def _meta_seeds(folder):
    def save():
        import tensorflow.compat.v1 as tf
        meta = tf.MetaGraphDef()
        meta.graph_def.CopyFrom(_graph(0))
        write(os.path.join(folder, 'a.meta'), meta.SerializeToString())
    _forked(save)


def _beside_graph(folder):
    """A graph, and its sample."""
    def save():
        write(os.path.join(folder, 'case.pb'), _graph(0).SerializeToString(deterministic=True))
    _forked(save)
    np.savez(os.path.join(folder, 'case_sample.npz'), x=np.zeros([2, 4], np.float32))


def _manifest_seeds(folder):
    _beside_graph(folder)
    with open(os.path.join(folder, 'case.pb'), 'rb') as stream:
        digest = hashlib.sha256(stream.read()).hexdigest()
    for name in ('case.pb', 'case_sample.npz'):
        os.remove(os.path.join(folder, name))
    ends = {'inputs': {'x': {'shape': [2, 4], 'dtype': 'float32', 'batch_axis': 0}},
            'outputs': {'y': {'shape': [2, 3], 'dtype': 'float32', 'batch_axis': 0}}}
    _json_seeds(dict(ends, sha256=digest, checkpoint='model-3'), dict(ends, sha256='x'))(folder)


def _read_manifest(path):
    from common.frozen import graph, model
    pb = path[:-5] + '.pb'
    graph.read_manifest(pb)
    with model.load(pb) as network:
        return network.predict_all(x=np.zeros([3, 4], np.float32))


def _read_sample(path):
    from common.frozen import graph
    return graph.read_sample(path[:-len('_sample.npz')] + '.pb')


def _read_atc(path):
    from common.frozen import comparison
    folder = os.path.dirname(path)
    return comparison.compare(folder, os.path.join(folder, 'results'))


def _beside_atc(folder):
    os.makedirs(os.path.join(folder, 'results'), exist_ok=True)
    np.save(os.path.join(folder, 'y.npy'), np.zeros([2, 3], np.float32))
    np.zeros([2, 3], np.float32).tofile(os.path.join(folder, 'results', 'a_output_0.bin'))


def _read_waivers(path):
    from common.frozen import lint
    return lint.waive([lint.Finding('error', 'rule', 'node', 'detail')], lint.read_waivers(path))


def _read_operations(path):
    from common.frozen import lint
    return lint.unknown_operations(_graph(0), path)


# Devices.

def _read_rank_table(path):
    from common.device import rank_table
    rank_table._PATIENCE = 0    # of a table that the platform has not completed
    return rank_table.place({'RANK_TABLE_FILE': path, 'RANK_SIZE': '2', 'RANK_ID': '0'})


def _rank_seeds(folder):
    place = os.path.join(ROOT, 'tests', 'field_cases', 'rank')
    for name in os.listdir(place):
        shutil.copy(os.path.join(place, name), folder)


def _read_mixlist(name, path):
    from common.device import mixlist
    mixlist.READERS[name](path)
    return mixlist.cleaned(path, '--' + name)


def _read_ranges(path):
    from common.device import ranges
    rows, _ = ranges.read(path)
    return ranges.loss_scale(rows)


def _ranges_seeds(folder):
    from common.device import ranges
    ranges.write(os.path.join(folder, 'a.json'), [ranges.measure(
        np.arange(9, dtype=np.float32), 'MatMulV2', 'fc', is_gradient) for is_gradient in (
            False, True)], {'command': 'x'})


def _read_command(path):
    from common import precision
    try:
        return precision.recorded_command(os.path.dirname(path))
    except errors.UsageError as error:
        raise errors.InputError('{}: {}'.format(path, error))


def _read_customized(path):
    from common.device import precision_types
    return precision_types.read_customized(path)


def _read_scopes(path):
    from common.device import precision_types
    return precision_types.read_scopes('@' + path)


# Meshes and grids.

def _read_mesh(path):
    from common.geometry import meshes
    return meshes.read_triangles(path)


def _mesh_seeds(*endings):
    def seeds(folder):
        from common.geometry import meshes
        vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 2, 0], [0, 2, 3.]])
        faces = [[0, 1, 2, 3], [0, 2, 1], [1, 3, 2]]
        for ending in endings:
            if ending in meshes.WRITABLE:
                meshes.write(os.path.join(folder, 'own' + ending), vertices,
                             faces if ending != '.glb' else [[0, 1, 2], [0, 2, 3]])
        place = os.path.join(ROOT, 'tests', 'field_cases', 'meshes')
        for name in os.listdir(place):
            if name.endswith(endings):
                shutil.copy(os.path.join(place, name), folder)
        if '.gltf' in endings:
            _write_gltf(folder, vertices)
    return seeds


def _write_gltf(folder, vertices):
    import base64
    data = vertices.astype('<f4').tobytes() + np.array([0, 1, 2, 0, 2, 3], '<u2').tobytes()
    document = {
        'asset': {'version': '2.0'}, 'scene': 0, 'scenes': [{'nodes': [0]}],
        'nodes': [{'mesh': 0, 'scale': [1, 2, 1], 'children': [1]}, {'mesh': 0}],
        'meshes': [{'primitives': [{'attributes': {'POSITION': 0}, 'indices': 1}]}],
        'buffers': [{'byteLength': len(data), 'uri': 'data:application/octet-stream;base64,'
                     + base64.b64encode(data).decode()}],
        'bufferViews': [{'buffer': 0, 'byteOffset': 0, 'byteLength': 48},
                        {'buffer': 0, 'byteOffset': 48, 'byteLength': 12}],
        'accessors': [{'bufferView': 0, 'componentType': 5126, 'count': 4, 'type': 'VEC3',
                       'min': [0, 0, 0], 'max': [1, 2, 3]},
                      {'bufferView': 1, 'componentType': 5123, 'count': 6, 'type': 'SCALAR'}]}
    write(os.path.join(folder, 'own.gltf'), json.dumps(document))


def _binvox_seeds(folder):
    from common.geometry import voxel_grids
    grid = np.zeros([8, 6, 5], bool)
    grid[2:5, 1:4, 1:3] = True
    voxel_grids.write_binvox(os.path.join(folder, 'own.binvox'), grid)
    place = os.path.join(ROOT, 'tests', 'field_cases', 'meshes')
    for name in os.listdir(place):
        if name.endswith('.binvox'):
            shutil.copy(os.path.join(place, name), folder)


def _read_binvox(path):
    from common.geometry import voxel_grids
    return voxel_grids.read_binvox(path)


# VSL.

def _vsl_arrays():
    from vsl import data_utils
    rows = (np.random.RandomState(0).rand(data_utils.ROW, 3) < 0.1).astype(np.uint8)
    rows[0] = [1, 2, 1]
    return {'train': rows, 'test': rows}


def _vsl_hdf5(folder):
    _hdf5_seeds(_vsl_arrays, compression='gzip')(folder)
    for name in os.listdir(folder):
        os.rename(os.path.join(folder, name), os.path.join(folder, name[:-5] + '.mat'))


def _vsl_matlab(folder):
    import scipy.io
    values = {name: rows.T for name, rows in _vsl_arrays().items()}
    for name, table in (('plain', values), ('odd', dict(values, train=ODD[5])),
                        ('float', {'train': values['train'].astype(float)})):
        scipy.io.savemat(os.path.join(folder, name + '.mat'), table, do_compression=True)


def _read_vsl(path):
    from vsl import data_utils
    split = data_utils.read_split(path, 'train')
    data_utils.class_names(path, 3)
    return split


def _read_vsl_images(path):
    from vsl import data_utils
    return data_utils.read_split(path, 'train', images=True)


def _vsl_images(folder):
    rows = _vsl_arrays()['train']
    images = np.zeros([3, 100, 100, 3], np.uint8)
    _hdf5_seeds(lambda: {'model_train': rows, 'image_train': images}, compression='gzip')(folder)


def _read_class_names(path):
    from vsl import data_utils
    return data_utils.class_names('no.mat', 3, path)


def _read_vsl_codes(path):
    from vsl import calculate_accuracy
    return calculate_accuracy.read_codes(os.path.dirname(path), 'train', 2, 3)


def _read_vsl_labels(path):
    from vsl import calculate_accuracy
    return calculate_accuracy._labels(os.path.dirname(path), 'train')


def _text_seeds(*texts, ending='.txt'):
    def seeds(folder):
        for number, text in enumerate(texts):
            write(os.path.join(folder, '{}{}'.format(number, ending)), text)
    return seeds


# PolyGen.

def _packed_arrays():
    return {'vertices': np.random.RandomState(0).rand(8, 3).astype(np.float32),
            'vertex_counts': np.array([4, 4]),
            'face_vertices': np.array([0, 1, 2, 0, 2, 3, 0, 1, 3]),
            'face_sizes': np.array([3, 3, 3]), 'face_counts': np.array([2, 1]),
            'labels': np.array([0, 1]), 'ids': np.array(['a', 'b'])}


def _read_packed(path):
    from polygen import mesh_sets
    return [read() for _, _, read in mesh_sets._packed_sources(path)]


def _read_index(path):
    from polygen import shards
    return shards.paths(os.path.dirname(path), 'train')


_SHARD_INDEX = {'splits': {'train': 1}, 'classes': ['a', 'b'], 'voxels': 4, 'views': 2,
                'image_size': 6, 'made_with': {'seed': 0}}


def _write_shard(folder):
    """A set of two meshes with voxels and two views each."""
    from PIL import Image

    from polygen import shards
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 2, 0], [0, 2, 3.]], np.float32)
    faces, rng, views = [[0, 1, 2, 3], [0, 2, 1], [1, 3, 2]], np.random.RandomState(0), []
    for _ in range(2):
        stream = io.BytesIO()
        Image.fromarray(rng.randint(0, 255, [6, 6, 4]).astype(np.uint8)).save(stream, 'PNG')
        views.append(stream.getvalue())
    write(os.path.join(folder, shards.INDEX), json.dumps(_SHARD_INDEX))
    shards.write(shards.stem(folder, 'train', 0), [shards.Row(
        name, label, vertices, faces, rng.rand(4, 4, 4) < 0.3, views,
        np.zeros([2, 4], np.float32)) for label, name in enumerate('ab')], ['c: it is empty'])


def _shard_seeds(ending):
    def seeds(folder):
        _write_shard(folder)
        for name in os.listdir(folder):
            if not name.endswith(ending):
                os.remove(os.path.join(folder, name))
    return seeds


def _shard_archives(folder):
    """Like `_npz_seeds`, of a shard's arrays."""
    _write_shard(folder)
    with np.load(os.path.join(folder, 'train_00000.npz')) as archive:
        values = dict(archive)
    for name in os.listdir(folder):
        os.remove(os.path.join(folder, name))
    _npz_seeds(lambda: values)(folder)


def _read_shard(path):
    """What a training and the pictures of `reconstruct` read of a set."""
    from polygen import mesh_sets, shards
    folder = os.path.dirname(path)
    shards.left_out(os.path.join(folder, 'train_00000.npz'))
    examples, _ = mesh_sets.load_meshes(folder, split='train')
    return [(example['inputs'].voxels(), [example['inputs'].view(number) for number in range(
        example['inputs'].num_views)]) for example in examples]


def _read_points(path):
    from common.geometry import meshes
    return meshes.read_points(path)


# 3D-R2N2.

def _read_categories(path):
    from r2n2.lib import data_io
    return data_io.read_names(path)


def _read_r2n2_settings(path):
    from r2n2.lib import config, settings_checks
    settings = config.defaults()
    config.merge_file(settings, path)
    try:
        settings_checks.check_network(settings)
    except errors.UsageError:
        pass    # it names the key, which --set may have given too
    return settings


def _settings_seeds(folder):
    place = os.path.join(ROOT, 'r2n2', 'experiments')
    names = [os.path.join(at, name) for at, _, names in sorted(os.walk(place)) for name in names
             if name.endswith(('.yml', '.yaml'))]
    for path in names[:5]:
        shutil.copy(path, folder)
    write(os.path.join(folder, 'own.yml'), 'TRAIN:\n  PAD_X: 10\n  RANDOM_CROP: true\nCONST:\n'
          '  BATCH_SIZE: 4\n  IMG_W: 127\nNET: {RECURRENT_FILLER: msra}\n')


def _read_voc(path):
    from r2n2.lib import data_augmentation
    return data_augmentation.voc_backgrounds(os.path.dirname(os.path.dirname(
        os.path.dirname(path))))


def _beside_voc(folder):
    from r2n2.lib import data_augmentation
    place = os.path.join(folder, 'ImageSets', 'Main')
    os.makedirs(place, exist_ok=True)
    for name in data_augmentation._VOC_CLASSES:
        for part in ('val', 'train', 'trainval'):
            write(os.path.join(place, '{}_{}.txt'.format(name, part)), '2008_000001 -1\n')


def _read_made_with(path):
    from r2n2.tools import make_dataset
    return make_dataset._check_options(argparse.Namespace(
        output=os.path.dirname(path), views=3, up='y', seed=0, furniture=False, generator=1))


# IM-NET.

def _imnet_arrays():
    from tests.imnet import tiny
    rows = list(tiny.rows(2))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _read_imnet_set(path):
    from imnet import data_utils
    shapes = data_utils.Set(path, 16, None, ('voxels', 'pixels'))
    return [shapes._bits('voxels', 0), shapes._row('points_16', 1), shapes.names()]


def _read_imnet_codes(path):
    from imnet import data_utils
    return data_utils.read_codes(path)


def _read_solid(path):
    from imnet.point_sampling import solids
    return solids.read(path)


def _hsp_seeds(folder):
    import scipy.io
    blocks = np.zeros([3, 16, 16, 16], np.uint8)
    blocks[1:, 4:9, 4:9, 4:9] = 1
    places = np.ones([16, 16, 16], np.uint16)
    places[4:9, 5, 6] = 2
    for name, values in (('a', {'b': blocks, 'bi': places}), ('odd', {'b': ODD[5], 'bi': ODD[2]}),
                         ('far', {'b': blocks, 'bi': places + 900})):
        scipy.io.savemat(os.path.join(folder, name + '.mat'), values, do_compression=name != 'far')


def _read_joined(path):
    from imnet.point_sampling import joined_sets
    root = os.path.dirname(os.path.dirname(path))
    joined_sets._check_views(root, 'category')
    return [sorted(row) for half in ('train', 'test')
            for _, row in joined_sets._rows(root, 'category', half, True)]


def _beside_joined(folder):
    import h5py
    place = os.path.join(folder, 'category')
    os.makedirs(place, exist_ok=True)
    values = _imnet_arrays()
    for kind in ('vox256', 'img'):
        with h5py.File(os.path.join(place, 'category_{}.hdf5'.format(kind)), 'w') as stream:
            for name, value in values.items():
                if (name == 'pixels') == (kind == 'img'):
                    stream[name] = value
        write(os.path.join(place, 'category_{}.txt'.format(kind)), 'a\nb\n')


def _read_sampling_record(path):
    from imnet.point_sampling import voxel_sets
    return voxel_sets._recorded(path, {'seed': 0, 'up': 'y', 'allow_open': False})


def _read_cloud(path):
    from common.geometry import meshes
    return meshes.read_cloud(path)


def _cloud_seeds(folder):
    names = ['x', 'y', 'z', 'nx', 'ny', 'nz']
    header = 'ply\nformat {} 1.0\nelement vertex 5\n' + ''.join(
        'property float {}\n'.format(name) for name in names) + 'end_header\n'
    rows = np.arange(30, dtype='<f4').reshape(5, 6)
    write(os.path.join(folder, 'binary.ply'),
          header.format('binary_little_endian').encode() + rows.tobytes())
    write(os.path.join(folder, 'ascii.ply'), header.format('ascii') + ''.join(
        ' '.join(map(str, row)) + '\n' for row in rows.tolist()))
    _mesh_seeds('.ply')(folder)


# GraphCMR.

def _sample_arrays():
    return {'imgname': np.array(['a.jpg', 'b.jpg']), 'center': np.ones([2, 2]), 'scale': np.ones(2),
            'part': np.ones([2, 24, 3]), 'pose': np.zeros([2, 72]), 'shape': np.zeros([2, 10]),
            'S': np.ones([2, 24, 4]), 'maskname': np.array([b'a.png', b'b.png'])}


def _read_samples(path):
    from cmr.src.dataset import datasets
    samples = datasets.Set('up-3d', path, '')
    return [samples.teaches, samples.missing_pictures(), samples.row(0)]


def _read_body(path):
    from cmr.src.utils import body
    body.find(os.path.dirname(path))
    return body.load(path)


def _body_npz(folder):
    from tests.cmr import tiny
    values = tiny.arrays()
    values['posedirs'] = np.zeros(values['posedirs'].shape, np.float32)
    np.savez_compressed(os.path.join(folder, 'plain.npz'), **values)
    for number, name in enumerate(sorted(values)):
        np.savez_compressed(os.path.join(folder, '{}.npz'.format(number)),
                            **dict(values, **{name: ODD[number % len(ODD)]}))


def _body_pickle(folder):
    place = os.path.join(ROOT, 'tests', 'field_cases', 'smpl')
    for name in os.listdir(place):
        if name.endswith('.pkl'):
            shutil.copy(os.path.join(place, name), folder)


def _read_levels(path):
    from cmr.src.utils import body
    return body.load_levels(path, 162)


def _levels_seeds(folder):
    from tests.cmr import tiny
    tiny.make_body(folder)
    os.remove(os.path.join(folder, 'body_model.npz'))
    shutil.copy(os.path.join(ROOT, 'tests', 'field_cases', 'damaged', 'levels-108-a.npz'), folder)


def _read_lsp(path):
    from cmr.src.dataset.preprocess import raw
    with _telling_missing():
        return raw.lsp(os.path.dirname(path), (1, 5), True)


def _lsp_seeds(folder):
    import scipy.io
    joints = np.random.RandomState(0).rand(3, 14, 5) * 99
    for name, value in (('a', joints), ('b', joints.transpose(1, 0, 2)), ('odd', ODD[5])):
        scipy.io.savemat(os.path.join(folder, name + '.mat'), {'joints': value},
                         do_compression=name == 'a')


def _read_mpii(path):
    from cmr.src.dataset.preprocess import raw
    with _telling_missing():
        return raw.mpii(os.path.dirname(path))


def _mpii_arrays():
    return {'center': np.ones([2, 2]), 'scale': np.ones(2), 'part': np.ones([2, 16, 2]),
            'imgname': np.array([[97., 98, 0], [99, 100, 101]])}


def _read_coco(path):
    from cmr.src.dataset.preprocess import raw
    with _telling_missing():
        return raw.coco(os.path.dirname(os.path.dirname(path)))


@contextlib.contextmanager
def _telling_missing():
    """Files that are missing are told by `preprocess`."""
    from cmr.src.dataset.preprocess import raw
    try:
        yield
    except raw.Missing as error:
        raise errors.InputError(error.args[0])


_COCO = {'images': [{'id': 1, 'file_name': 'a.jpg', 'height': 90, 'width': 80}],
         'annotations': [{'id': 7, 'image_id': 1, 'keypoints': [10, 20, 2] * 17,
                          'num_keypoints': 17, 'bbox': [1, 2, 30, 40], 'iscrowd': 0,
                          'category_id': 1, 'area': 1200.}],
         'categories': [{'id': 1, 'name': 'person'}]}
_OPENPOSE = {'version': 1.3, 'people': [{'pose_keypoints_2d': [10.5, 20, 0.9] * 25},
                                        {'pose_keypoints_2d': [0, 0, 0] * 25}]}
_ALPHAPOSE = [{'image_id': 'a.jpg', 'category_id': 1, 'keypoints': [10.5, 20, 0.9] * 17,
               'score': 2.5, 'box': [1, 2, 30, 40]}]


def _read_people(kind, path):
    from cmr.src.utils import photo
    with contextlib.redirect_stdout(io.StringIO()):
        return photo.chosen(photo.read_people(path, kind, 'a.jpg'), '', path)


def _read_up3d(path):
    from cmr.src.dataset.preprocess import raw
    try:
        return raw.up3d(os.path.dirname(path), os.path.join(os.path.dirname(path), 'list.txt'))
    except raw.Missing as error:    # told by `preprocess`
        raise errors.InputError('{}: {}'.format(os.path.basename(path), error.args[0]))


def _beside_up3d(folder):
    shutil.copy(os.path.join(ROOT, 'tests', 'field_cases', '00001_body.pkl'), folder)
    from PIL import Image
    Image.fromarray(np.full([30, 20, 3], 128, np.uint8)).save(
        os.path.join(folder, '00001_render_light.png'))
    np.save(os.path.join(folder, '00001_joints.npy'), np.ones([3, 14]))
    write(os.path.join(folder, 'list.txt'), '/00001_image.png\n')


def _joints_seeds(folder):
    np.save(os.path.join(folder, 'a.npy'), np.ones([3, 14]))
    for number, odd in enumerate(ODD):
        np.save(os.path.join(folder, '{}.npy'.format(number)), odd)


def _read_masks(path):
    from cmr.src.dataset.preprocess import h36m
    from common.readers import hdf5
    with hdf5.open_file(path, h36m._MASKS) as stream:
        return [h36m._box_of(stream, frame, path) for frame in range(2)]


def _mask_seeds(folder):
    import h5py
    with h5py.File(os.path.join(folder, 'a.mat'), 'w') as stream:
        one = stream.create_dataset('#refs#/b', data=np.ones([4, 5], np.uint8))
        masks = stream.create_dataset('Masks', (2, 1), dtype=h5py.special_dtype(ref=h5py.Reference))
        masks[0, 0], masks[1, 0] = one.ref, one.ref


def _read_weights(path):
    from cmr.src.utils import torch_weights
    with contextlib.redirect_stdout(io.StringIO()):
        torch_weights.is_torch(path)
        return torch_weights.read(path)


def _torch_seeds(folder):
    for place in (os.path.join(ROOT, 'tests', 'cmr', 'torch_files'),
                  os.path.join(ROOT, 'tests', 'field_cases', 'torch')):
        for name in os.listdir(place):
            if name.endswith(('.pt', '.pth')):
                shutil.copy(os.path.join(place, name), folder)


def _weights_seeds(folder):
    from cmr.src.utils import torch_writer
    names = ['conv1.weight', 'layer4.2.conv3.weight', 'bn1.running_mean']
    values = {name: np.ones([2, 1, 1, 1], np.float32) for name in names}
    torch_writer.write(os.path.join(folder, 'resnet.pth'), values)
    torch_writer.write(os.path.join(folder, 'cmr.pth'), {
        'graph_cnn': values, 'smpl_param_regressor': {'layer.bias': np.ones(2, np.float32)}})
    _torch_seeds(folder)


def _read_renaming(path):
    from cmr.src.utils import torch_weights
    source = os.path.join(ROOT, 'tests', 'cmr', 'torch_files', 'row.pth')
    with contextlib.redirect_stdout(io.StringIO()):
        return torch_weights._renamed(source, path)


def _read_cmr_options(path):
    from cmr import options
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            return options.parse_args(['--from_json', path])
        except SystemExit as stop:
            if stop.code == 2 and 'error: ' in said.getvalue():     # a value that no option takes
                raise errors.InputError(os.path.basename(path))
            raise errors.InputError(said.getvalue()[len('error: '):].rstrip('\n'))


def _read_cmr_sizes(path):
    from cmr import options
    return options.complete_evaluation(argparse.Namespace(
        config=path, **dict.fromkeys(options.NETWORK)), 'cpu')


def _read_body_note(path):
    from cmr import training
    return training._drawn_with(path)


_PATH = b'../../etc/passwd'
READERS = {
    'metrics': Reader(_read_metrics, '.jsonl', _metrics_seeds, JSON_WORDS, 'metrics.jsonl'),
    'results': Reader(_read_results, '.json', _json_seeds(
        {'mean': {'step': 5, 'files': ['eval/mean.json']}, 'x': {'step': 2, 'files': []}}),
        JSON_WORDS, 'results.json'),
    'config': Reader(_read_config, '.json', _json_seeds(
        {'options': {'batch_size': 2, 'settings': {'CONST': {'BATCH_SIZE': 3}, 'NET': {}}},
         'seed': 0, 'device': 'cpu'}), JSON_WORDS, 'config.json'),
    'run_state': Reader(_read_run_state, '.json', _json_seeds(
        {'step': 3, 'best_value': 0.5, 'epoch_sums': {'loss': 1.}}), JSON_WORDS),
    'weight_manifest': Reader(_read_weight_manifest, '.json', _json_seeds(
        {'files': {'a.npz': '0' * 64}, 'model': 'vsl'}), JSON_WORDS),
    'recipe': Reader(_read_recipe, '.json', _json_seeds(
        {'data': 'python a.py', 'stages': {'1': {'': 'python b.py', 'ae': 'x'}}}), JSON_WORDS,
        'recipe.json'),
    'curve': Reader(_read_curve, '.csv', _text_seeds(
        'stage,part,step,loss\n1,,1,0.5\n1,ae,20,"0.25"\n2,,3,\n', ending='.csv'),
        [b'"', b',,', b'nan', b'9' * 5000, b'\0', b'\n', b'x' * 200000], 'curve.csv'),
    'expected': Reader(_read_expected, '.json', _json_seeds(
        {'uncertainty': {'median': 0.1, 'limit': 0.2, 'samples': 30}}), JSON_WORDS,
        'expected.json'),
    'features': Reader(_read_features, '.npz', _npz_seeds(lambda: {
        'mean': np.zeros(3, np.float32), 'axes': np.eye(3, dtype=np.float32),
        'rest': np.float32(2.)}), ARCHIVE_WORDS,
                       'features.npz'),
    'weight_file': Reader(_read_weight_file, '.npz', _npz_seeds(
        lambda: {'w': np.zeros([2, 3], np.float16), 'b': np.ones(4, np.float32),
                 'p float16': np.ones([2, 3], np.uint8)}), ARCHIVE_WORDS),
    'page_table': Reader(_read_page, '.json', _json_seeds({'iou': 0.5, 'shapes': 3}), JSON_WORDS),
    'page_picture': Reader(_read_page, '.png', _page_pictures, [b'IHDR', b'IDAT', b'\xff\xda']),
    'page_metrics': Reader(_read_page_metrics, '.jsonl', _metrics_seeds, JSON_WORDS),
    'checkpoint_list': Reader(_read_state_file, '', _checkpoint_seeds('checkpoint'), [
        b'model-3', b'model-9', b'/etc/passwd', b'\xff\xfe', b'"', b'\n', b'all_', b'../', b'\0'],
        'checkpoints/checkpoint', _beside_checkpoints),
    'checkpoint_index': Reader(_read_checkpoint, '.index', _checkpoint_seeds('.index'), [
        b'\xff' * 4, b'\0' * 4, b'layer/b', b'\x08\x01', b'\x57\xfb\x80\x8b'],
        'checkpoints/model-5.index', _beside_checkpoints),
    'checkpoint_data': Reader(_read_checkpoint, '.data-00000-of-00001', _checkpoint_seeds(
        '.data-00000-of-00001'), [b'\xff' * 4, b'\0' * 4],
        'checkpoints/model-5.data-00000-of-00001', _beside_checkpoints),
    'checkpoint_old': Reader(_read_checkpoint, '', _checkpoint_seeds('model-5', write_version=1), [
        b'\xff' * 4, b'\0' * 4, b'layer/b', b'\x08\x01'], 'model-5'),
    'graph': Reader(_load_graph, '.pb', _graph_seeds, GRAPH_WORDS),
    'graph_run': Reader(_run_graph, '.pb', _graph_seeds, GRAPH_WORDS),
    'graph_lint': Reader(_lint_graph, '.pb', _graph_seeds, GRAPH_WORDS),
    'graph_text': Reader(_lint_graph, '.pbtxt', _pbtxt_seeds,
                         GRAPH_WORDS + [b'{', b'}', b'node {']),
    'graph_meta': Reader(_lint_graph, '.meta', _meta_seeds, GRAPH_WORDS),
    'manifest': Reader(_read_manifest, '.json', _manifest_seeds, JSON_WORDS, 'case.json',
                       _beside_graph),
    'sample': Reader(_read_sample, '.npz', _npz_seeds(lambda: {'x': np.zeros([2, 4], np.float32)}),
                     ARCHIVE_WORDS, 'case_sample.npz', _beside_graph),
    'atc': Reader(_read_atc, '.json', _json_seeds(
        {'outputs': [{'name': 'y', 'file': 'y.npy'}], 'inputs': []}), JSON_WORDS + [_PATH],
        'expected.json', _beside_atc),
    'atc_expected': Reader(_read_atc, '.npy', _joints_seeds, ARCHIVE_WORDS, 'y.npy',
                           lambda folder: (_beside_atc(folder), write(
                               os.path.join(folder, 'expected.json'),
                               '{"outputs": [{"name": "y", "file": "y.npy"}]}'))),
    'waivers': Reader(_read_waivers, '.json', _json_seeds(
        [{'rule': 'rule', 'node': '^no.*$', 'reason': 'x'}]), JSON_WORDS + [b'(a+)+$', b'((((']),
    'operations': Reader(_read_operations, '.json', _json_seeds({'MatMul': {}, 'Relu': {}}),
                         JSON_WORDS),
    'rank_table': Reader(_read_rank_table, '.json', _rank_seeds, JSON_WORDS),
    'ranges': Reader(_read_ranges, '.json', _ranges_seeds, JSON_WORDS),
    'command': Reader(_read_command, '.json', _json_seeds(
        {'command': ['vsl/vsl_main.py', '--seed=1'], 'options': {}}), JSON_WORDS, 'config.json'),
    'customized': Reader(_read_customized, '.txt', lambda folder: write(
        os.path.join(folder, 'a.txt'),
        'OpType::Relu:InputDtype:float16,OutputDtype:float16\nfc/MatMul::InputDtype:float32,'
        'OutputDtype:float32\n'), [b'::', b'float16,', b'InputDtype:', b'\xff', b'bfloat16']),
    'scopes': Reader(_read_scopes, '.txt', lambda folder: write(
        os.path.join(folder, 'a.txt'), 'fc\n# no\nlayer/\n'), [b'/', b'#', b'\xff\xfe']),
    'obj': Reader(_read_mesh, '.obj', _mesh_seeds('.obj'), MESH_WORDS),
    'off': Reader(_read_mesh, '.off', _mesh_seeds('.off'), MESH_WORDS),
    'ply': Reader(_read_mesh, '.ply', _mesh_seeds('.ply'), MESH_WORDS),
    'stl': Reader(_read_mesh, '.stl', _mesh_seeds('.stl'), MESH_WORDS),
    'glb': Reader(_read_mesh, '.glb', _mesh_seeds('.glb'), GLTF_WORDS),
    'gltf': Reader(_read_mesh, '.gltf', _mesh_seeds('.gltf'), GLTF_WORDS),
    'binvox': Reader(_read_binvox, '.binvox', _binvox_seeds, MESH_WORDS),
    'vsl_hdf5': Reader(_read_vsl, '.mat', _vsl_hdf5, HDF5_WORDS),
    'vsl_matlab': Reader(_read_vsl, '.mat', _vsl_matlab, [b'\x0f\0\0\0', b'\x0e\0\0\0', b'MI']),
    'vsl_images': Reader(_read_vsl_images, '.hdf5', _vsl_images, HDF5_WORDS),
    'class_names': Reader(_read_class_names, '.json', _json_seeds(
        ['chair', 'bed'], {'1': 'chair', '2': {'name': 'bed'}}), JSON_WORDS),
    'class_list': Reader(_read_class_names, '.txt', _text_seeds('chair\nbed\n'), [b'\xff\xfe']),
    'vsl_codes': Reader(_read_vsl_codes, '.txt', _text_seeds('1 2 3\n4 5,6\n'), [
        b'nan', b'1e999', b'x', b'\n'], 'train_case.txt'),
    'vsl_codes_binary': Reader(_read_vsl_codes, '.bin', _text_seeds(
        np.arange(6, dtype='<f4').tobytes(), ending='.bin'), [b'\0\0\x80\x7f'], 'train_case.bin'),
    'vsl_labels': Reader(_read_vsl_labels, '.txt', _text_seeds('1\n2\n'), [b'9' * 30, b'x'],
                         'train_labels.txt'),
    'packed_meshes': Reader(_read_packed, '.npz', _npz_seeds(_packed_arrays), ARCHIVE_WORDS),
    'shards': Reader(_read_index, '.json', _json_seeds(
        {'splits': {'train': 1, 'test': 1}, 'classes': ['a'], 'voxels': 32, 'views': 2,
         'image_size': 64, 'made_with': {'seed': 0}}), JSON_WORDS, 'set.json',
        lambda folder: write(os.path.join(folder, 'train_00000.npz'), b'')),
    'shard_arrays': Reader(_read_shard, '.npz', _shard_archives, ARCHIVE_WORDS, 'train_00000.npz',
                           _write_shard),
    'shard_inputs': Reader(_read_shard, '.bin', _shard_seeds('.bin'), [
        b'IHDR', b'IDAT', b'IEND', b'\0\0\xff\xff'], 'train_00000.bin', _write_shard),
    'shard_index': Reader(_read_shard, '.json', _json_seeds(_SHARD_INDEX), JSON_WORDS, 'set.json',
                          _write_shard),
    'points': Reader(_read_points, '.ply', _cloud_seeds, MESH_WORDS),
    'categories': Reader(_read_categories, '.json', _json_seeds(
        {'02691156': {'id': '02691156', 'name': 'airplane'}, '1': {'name': 'x'}}), JSON_WORDS),
    'settings': Reader(_read_r2n2_settings, '.yml', _settings_seeds, [
        b'&a [*a, *a]', b'*x', b'!!python/object/apply:os.system ["true"]', b'TRAIN:', b'NET:',
        b'- ' * 300, b'[' * 500, b': ', b'null', b'-1', b'1e999', b'.nan', b'? ']),
    'voc': Reader(_read_voc, '.txt', _text_seeds('2008_000001 -1\n2008_000002  1\n'), [
        b'-1', b'\n', b'\xff'], 'ImageSets/Main/aeroplane_val.txt', _beside_voc),
    'made_with': Reader(_read_made_with, '.txt', _text_seeds('{"views": 3, "up": "y", "seed": 0}'),
                        JSON_WORDS, 'made_with.txt'),
    'imnet_set': Reader(_read_imnet_set, '.hdf5', _hdf5_seeds(_imnet_arrays, compression='gzip'),
                        HDF5_WORDS),
    'imnet_codes': Reader(_read_imnet_codes, '.hdf5', _hdf5_seeds(
        lambda: {'zs': np.ones([3, 4], np.float32)}), HDF5_WORDS),
    'hsp': Reader(_read_solid, '.mat', _hsp_seeds, [b'\x0f\0\0\0', b'\x0e\0\0\0', b'MI', b'bi']),
    'solid': Reader(_read_solid, '.npz', _npz_seeds(
        lambda: {'voxels': np.pad(np.ones([3, 4, 5], np.uint8), 2, 'constant')}), ARCHIVE_WORDS),
    'joined': Reader(_read_joined, '.hdf5', _hdf5_seeds(lambda: {
        name: value for name, value in _imnet_arrays().items() if name != 'pixels'},
        compression='gzip'), HDF5_WORDS, 'category/category_vox256.hdf5', _beside_joined),
    'sampling': Reader(_read_sampling_record, '.json', _json_seeds(
        {'seed': 0, 'up': 'y', 'allow_open': False}), JSON_WORDS),
    'cloud': Reader(_read_cloud, '.ply', _cloud_seeds, MESH_WORDS),
    'samples': Reader(_read_samples, '.npz', _npz_seeds(_sample_arrays), ARCHIVE_WORDS + [_PATH]),
    'body_npz': Reader(_read_body, '.npz', _body_npz, ARCHIVE_WORDS),
    'body_pickle': Reader(_read_body, '.pkl', _body_pickle, [
        b'cposix\nsystem\n(X\x04\0\0\0trueR.', b'b', b'(', b'0', b'\x85R', b'h\0', b'v_template',
        b'c__builtin__\nset\n', b'cchumpy.ch\nCh\n', b'}', b']', b't', b's', b'u'], '',
        lambda folder: np.save(os.path.join(folder, 'J_regressor_extra.npy'), np.zeros([14, 60]))),
    'levels': Reader(_read_levels, '.npz', _levels_seeds, ARCHIVE_WORDS),
    'lsp': Reader(_read_lsp, '.mat', _lsp_seeds, [b'\x0f\0\0\0', b'\x0e\0\0\0', b'MI'],
                  'joints.mat'),
    'mpii': Reader(_read_mpii, '.hdf5', _hdf5_seeds(_mpii_arrays), HDF5_WORDS, 'train.h5'),
    'coco': Reader(_read_coco, '.json', _json_seeds(_COCO), JSON_WORDS,
                   'annotations/person_keypoints_train2014.json'),
    'openpose': Reader(functools.partial(_read_people, 'openpose'), '.json', _json_seeds(
        _OPENPOSE, _ALPHAPOSE, _COCO), JSON_WORDS),
    'bbox': Reader(functools.partial(_read_people, 'bbox'), '.json', _json_seeds(
        {'bbox': [1, 2, 30, 40]}, _ALPHAPOSE, _COCO, [{'image_id': 1, 'bbox': [1, 2, 3, 4]}]),
        JSON_WORDS),
    'up3d_list': Reader(_read_up3d, '.txt', _text_seeds('/00001_image.png\n'), [
        b'/00001_image.png\n', b'../', b'\xff'], 'list.txt', _beside_up3d),
    'up3d_joints': Reader(_read_up3d, '.npy', _joints_seeds, ARCHIVE_WORDS, '00001_joints.npy',
                          _beside_up3d),
    'masks': Reader(_read_masks, '.mat', _mask_seeds, HDF5_WORDS),
    'resnet': Reader(_read_weights, '.pth', _weights_seeds,
                     [b'}', b']', b't', b's', b'u', b'R', b'b']),
    'renaming': Reader(_read_renaming, '.json', _json_seeds({'w': 'conv1/weights', 'part': 'b'}),
                       JSON_WORDS),
    'cmr_options': Reader(_read_cmr_options, '.json', _json_seeds(
        {'batch_size': 2, 'dataset': 'up-3d', 'options': {'num_layers': 1}, 'lr': 1.}),
        JSON_WORDS),
    'cmr_sizes': Reader(_read_cmr_sizes, '.json', _json_seeds(
        {'num_layers': 1, 'num_channels': 16, 'resnet_width': 4}), JSON_WORDS),
    'body_note': Reader(_read_body_note, '.json', _json_seeds('', 'a/b'), JSON_WORDS),
    'mixlist': Reader(functools.partial(_read_mixlist, 'modify_mixlist'), '.json', _json_seeds(
        {'black-list': {'to-add': ['MatMul'], 'to-remove': []}, 'white-list': {'to-add': ['Add']}}),
        JSON_WORDS),
    'fusion_switch': Reader(functools.partial(_read_mixlist, 'fusion_switch_file'), '.json',
                            _json_seeds({'Switch': {'GraphFusion': {'ALL': 'on'}}}), JSON_WORDS)}

_MESH = 'obj off ply stl glb gltf'
_GRAPHS = 'graph graph_run graph_lint graph_text graph_meta'
_CHECKPOINT = 'checkpoint_list checkpoint_index checkpoint_data checkpoint_old'
# Which readers cover a place that reads a file; '- why' where the file is not from outside.
SITES = {
    'boot_modelarts.py:_check_options': '- the script that it is to start',
    'boot_modelarts.py:_read_marker': '- a marker of its own first process, shown as text',
    'cmr/evaluation.py:Figures': 'picture',
    'cmr/options.py:_read_json': 'cmr_options',
    'cmr/options.py:complete_evaluation': 'cmr_sizes',
    'cmr/prediction.py:people': 'picture',
    'cmr/src/dataset/datasets.py:Set': 'picture',
    'cmr/src/dataset/datasets.py:_read_rows': 'samples',
    'cmr/src/dataset/preprocess/h36m.py:_positions': '- cdflib and its files are nowhere to be had',
    'cmr/src/dataset/preprocess/h36m.py:_sequence': 'masks',
    'cmr/src/dataset/preprocess/raw.py:_pickled': 'pickle',
    'cmr/src/dataset/preprocess/raw.py:coco': 'coco',
    'cmr/src/dataset/preprocess/raw.py:lsp': 'lsp',
    'cmr/src/dataset/preprocess/raw.py:mpii': 'mpii',
    'cmr/src/dataset/preprocess/raw.py:up3d': 'up3d_list up3d_joints picture',
    'cmr/src/utils/body.py:_archive': 'body_npz levels',
    'cmr/src/utils/body.py:_is_body': 'body_npz body_pickle',
    'cmr/src/utils/body.py:load': 'body_npz body_pickle',
    'cmr/src/utils/body.py:read_array': 'npy up3d_joints',
    'cmr/src/utils/mesh_levels.py:make': _MESH,
    'cmr/src/utils/photo.py:read_people': 'openpose bbox',
    'cmr/src/utils/torch_weights.py:_content': 'torch resnet',
    'cmr/src/utils/torch_weights.py:_renamed': 'renaming',
    'cmr/src/utils/torch_weights.py:is_torch': 'resnet',
    'cmr/training.py:_drawn_with': 'body_note',
    'common/device/ge_operators.py:_rows': '- a table of the project',
    'common/device/precision_types.py:read_customized': 'customized',
    'common/device/precision_types.py:read_scopes': 'scopes',
    'common/device/ranges.py:read': 'ranges',
    'common/precision.py:cpu_seconds': "- the system's own table of processes",
    'common/precision.py:recorded_command': 'command',
    'common/precision.py:Trials': '- its own record',
    'common/device/mixlist.py:cleaned': 'mixlist fusion_switch',
    'common/device/rank_table.py:_completed': 'rank_table',
    'common/frozen/__main__.py:run_action': 'npy',
    'common/frozen/bounds.py:resident': '- what the system tells of a process',
    'common/frozen/om.py:load': 'json',
    'common/pages/figures.py:picture': 'page_picture',
    'common/pages/figures.py:read_mesh': _MESH,
    'common/pages/figures.py:table': 'page_table',
    'common/pages/report.py:_asset': '- a file of the project',
    'common/pages/report.py:_metrics': 'page_metrics',
    'common/pages/report.py:_recorded': 'json config',
    'common/training/facts.py:_add': '- a digest of bytes',
    'common/training/familiar.py:_read': 'expected',
    'common/training/familiar.py:distances': 'features',
    'common/training/pretrained.py:_with_block': 'lines',
    'common/training/recipes.py:read': 'recipe',
    'common/training/recipes.py:read_curve': 'curve',
    'common/training/pretrained.py:_write_configs': 'json config',
    'common/training/pretrained.py:sizes': 'json config',
    'common/training/records.py:Recorder': '- a picture of the run itself',
    'common/training/weight_files.py:Reader': 'weight_file',
    'common/training/weight_files.py:digest': '- a digest of bytes',
    'common/training/weight_files.py:read_manifest': 'weight_manifest',
    'common/frozen/comparison.py:_read_expected': 'atc',
    'common/frozen/comparison.py:_read_result': '- values of a size that is checked, any are right',
    'common/frozen/comparison.py:_read_array': 'atc_expected',
    'common/frozen/graph.py:read_graph': _GRAPHS,
    'common/frozen/graph.py:read_manifest': 'manifest',
    'common/frozen/graph.py:read_margins': 'sample',
    'common/frozen/graph.py:read_sample': 'sample',
    'common/frozen/guard.py:allowed': '- a list of the project',
    'common/frozen/lint.py:read_waivers': 'waivers',
    'common/frozen/lint.py:unknown_operations': 'operations',
    'common/geometry/gltf.py:_beside': 'gltf',
    'common/geometry/meshes.py:_content': _MESH + ' cloud',
    'common/geometry/voxel_grids.py:read_binvox': 'binvox',
    'common/launch_tables.py:stale': '- scripts of the project',
    'common/modelarts/copies.py:_Folder': '- copies bytes',
    'common/training/checkpoints.py:_read_list': 'checkpoint_list',
    'common/training/checkpoints.py:_reader': _CHECKPOINT,
    'common/training/checkpoints.py:note': '- a digest of bytes',
    'common/training/records.py:read_metrics': 'metrics',
    'common/training/results.py:_read': 'results',
    'common/training/runs.py:_read_state': 'run_state',
    'common/training/runs.py:read_options': 'config',
    'examples/vsl_reconstruct.py:_grid': 'npy',
    'imnet/IMSVR/photos.py:read': 'picture',
    'imnet/data_utils.py:Set': 'imnet_set lines',
    'imnet/data_utils.py:_Rows': '- a copy of its own below the output folder',
    'imnet/data_utils.py:read_codes': 'imnet_codes',
    'imnet/evaluation.py:_truth': 'cloud ' + _MESH,
    'imnet/own_set.py:_read': 'npz',
    'imnet/point_sampling/joined_sets.py:_open': 'joined',
    'imnet/point_sampling/solids.py:_from_npz': 'solid',
    'imnet/point_sampling/solids.py:from_hsp': 'hsp',
    'imnet/point_sampling/solids.py:from_mesh': _MESH,
    'imnet/point_sampling/solids.py:read': 'binvox',
    'imnet/point_sampling/tables.py:read_names': 'lines',
    'imnet/point_sampling/view_sets.py:read_views': 'picture',
    'imnet/point_sampling/voxel_sets.py:_join': 'npz',
    'imnet/point_sampling/voxel_sets.py:_recorded': 'sampling',
    'polygen/data_utils.py:load_process_mesh': _MESH,
    'polygen/data_utils.py:read_obj': _MESH,
    'polygen/mesh_sets.py:_file_reader': _MESH,
    'polygen/mesh_sets.py:_read_packed': 'packed_meshes',
    'polygen/make_dataset.py:_check_record': 'json',
    'polygen/make_dataset.py:read_mesh': _MESH,
    'polygen/make_dataset.py:read_renderings': 'picture',
    'polygen/shards.py:Inputs': 'picture shard_inputs',
    'polygen/shards.py:inputs': 'shard_arrays',
    'polygen/shards.py:left_out': 'shard_arrays',
    'polygen/shards.py:read_index': 'shards shard_index',
    'polygen/user_inputs.py:_grid': 'npy binvox ' + _MESH,
    'polygen/user_inputs.py:_image': 'picture',
    'polygen/user_inputs.py:read_vertices': 'npy points ' + _MESH,
    'r2n2/lib/config.py:merge_file': 'settings yaml',
    'r2n2/lib/data_augmentation.py:voc_backgrounds': 'voc',
    'r2n2/lib/data_io.py:read_names': 'categories',
    'r2n2/lib/data_process.py:Loader': 'picture binvox',
    'r2n2/lib/weights.py:read_list': 'weights',
    'r2n2/reconstruction.py:_read_views': 'picture',
    'r2n2/reconstruction.py:prepared': 'picture',
    'r2n2/tools/make_dataset.py:recorded': 'made_with',
    'r2n2/tools/make_dataset.py:_solid': _MESH,
    'vsl/calculate_accuracy.py:_labels': 'vsl_labels',
    'vsl/calculate_accuracy.py:_rows': 'vsl_codes vsl_codes_binary',
    'vsl/data_utils.py:_names_of_file': 'class_names class_list',
    'vsl/data_utils.py:_open': 'vsl_hdf5 vsl_matlab vsl_images',
    'vsl/make_dataset.py:read_image': 'picture',
    'vsl/make_dataset.py:voxelize_and_judge': 'binvox ' + _MESH,
    'vsl/make_dataset.py:voxelize_all': 'npy'}
