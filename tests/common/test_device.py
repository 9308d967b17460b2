"""Tests of common/device/ and of launch.Context; npu_bridge is the double in fake_npu/."""
import importlib
import json
import os
import platform
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig

from common import errors
from common.device import choice, npu, session
from common.training import launch

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'fake_npu')


def forget_npu_bridge():
    for name in list(sys.modules):
        if name.split('.')[0] == 'npu_bridge':
            del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def adapter(tmp_path, monkeypatch):
    """Puts a copy of the double on the path; gives the folder of its package."""
    shutil.copytree(FAKE, str(tmp_path / 'adapter'))
    monkeypatch.syspath_prepend(str(tmp_path / 'adapter'))
    forget_npu_bridge()
    yield tmp_path / 'adapter' / 'npu_bridge'
    forget_npu_bridge()


def calls(name=None):
    recorded = sys.modules['npu_bridge'].calls
    return [arguments for called, arguments in recorded if called == name] if name else recorded


def parameters(proto):
    """Gives {key: value} of the one NpuOptimizer entry of a configuration."""
    entries = proto.graph_options.rewrite_options.custom_optimizers
    assert [entry.name for entry in entries] == ['NpuOptimizer']
    return {key: getattr(value, value.WhichOneof('value'))
            for key, value in entries[0].parameter_map.items()}


def test_a_device_that_is_not_there_is_refused_with_what_is_missing():
    with pytest.raises(errors.InputError, match='npu_bridge.*set_env.sh'):
        choice.choose('npu')
    with pytest.raises(errors.InputError, match='no GPU'):
        choice.choose('gpu')


def test_auto_takes_the_npu_then_the_gpu_then_the_cpu(monkeypatch):
    assert choice.choose('auto') == 'cpu'
    monkeypatch.setattr(tf.config.experimental, 'list_physical_devices', lambda kind: ['GPU:0'])
    assert choice.choose('auto') == 'gpu'
    assert choice.choose('gpu') == 'gpu'
    monkeypatch.setattr(npu, 'is_installed', lambda: True)
    assert choice.choose('auto') == 'npu'
    assert choice.choose('cpu') == 'cpu'


def test_choosing_does_not_import_npu_bridge(adapter):
    assert choice.choose('auto') == 'npu'
    assert choice.choose('cpu') == 'cpu'
    session.session_config('cpu')
    npu.explain_ignored(npu.NpuOptions(), 'npu')
    assert 'npu_bridge' not in sys.modules


def test_a_session_on_the_cpu_has_its_threads_and_no_gpu():
    proto = session.session_config('cpu', threads=3)
    assert proto.allow_soft_placement and dict(proto.device_count) == {'GPU': 0}
    assert (proto.intra_op_parallelism_threads, proto.inter_op_parallelism_threads) == (3, 3)
    assert not proto.graph_options.rewrite_options.custom_optimizers


def test_a_session_on_a_gpu_takes_memory_as_it_needs_it():
    proto = session.session_config('gpu')
    assert proto.gpu_options.allow_growth and 'GPU' not in proto.device_count


def test_a_session_on_the_npu_is_what_the_adapter_asks_for(adapter):
    proto = session.session_config('npu')
    rewrites = proto.graph_options.rewrite_options
    assert rewrites.remapping == RewriterConfig.OFF
    assert rewrites.memory_optimization == 2  # the vendor's value, called MANUAL here
    assert proto.allow_soft_placement and not proto.log_device_placement
    assert parameters(proto) == {
        'use_off_line': True, 'graph_run_mode': 1, 'iterations_per_loop': 1,
        'mix_compile_mode': False, 'hcom_parallel': False, 'precision_mode': b'allow_mix_precision'}
    before = tf.ConfigProto()
    before.ParseFromString(calls('npu_config_proto')[0]['proto'])
    assert parameters(before) == parameters(proto)  # the adapter's own part comes last
    assert len(calls('npu_config_proto')) == 1


def test_an_older_adapter_without_npu_config_proto_gets_the_same_session(adapter):
    new = session.session_config('npu')
    forget_npu_bridge()
    (adapter / 'npu_init.py').unlink()
    old = session.session_config('npu', options=npu.NpuOptions(autotune=True))
    assert 'npu_bridge.estimator.npu_ops' in sys.modules  # registers the NpuOptimizer
    assert parameters(old) == dict(parameters(new), auto_tune_mode=b'RL,GA')
    rewrites = old.graph_options.rewrite_options
    assert rewrites.remapping == RewriterConfig.OFF and rewrites.memory_optimization == 2


def test_an_adapter_whose_npu_init_lacks_the_function_counts_as_older(adapter):
    (adapter / 'npu_init.py').write_text('')
    assert 'precision_mode' in parameters(session.session_config('npu'))


def test_a_package_that_the_adapter_misses_is_named_and_other_errors_stay(adapter):
    (adapter / 'npu_init.py').write_text('import hccl_that_is_missing')
    with pytest.raises(errors.InputError, match='hccl_that_is_missing'):
        session.session_config('npu')
    forget_npu_bridge()
    (adapter / 'npu_init.py').write_text('raise RuntimeError("driver not started")')
    with pytest.raises(RuntimeError, match='driver not started'):
        session.session_config('npu')


@pytest.mark.parametrize('mode, value', [
    (None, b'allow_mix_precision'), ('mix', b'allow_mix_precision'), ('default', None),
    ('must_keep_origin_dtype', b'must_keep_origin_dtype'), ('force_fp32', b'force_fp32')])
def test_precision_modes_become_the_parameter(mode, value):
    assert written(precision_mode=mode).get('precision_mode') == value


def written(**options):
    """Gives the parameters that NpuOptions of the given fields write."""
    entry = RewriterConfig.CustomGraphOptimizer(name='NpuOptimizer')
    npu_options = npu.NpuOptions(**options)
    npu_options.validate()
    npu.write_parameter_map(entry, npu_options)
    return {key: getattr(value, value.WhichOneof('value'))
            for key, value in entry.parameter_map.items()}


def test_every_option_has_its_parameters_in_the_right_field(tmp_path):
    for name in ('mix.json', 'dtypes.txt'):
        (tmp_path / name).write_text('{}')
    (tmp_path / 'fusion.cfg').write_text('{"Switch": {}}')
    output = tmp_path / 'out'
    actual = written(
        precision_mode='mix', profiling=True, autotune=True, mix_compile_mode=True,
        hcom_parallel=True, deterministic=True, data_dump_flag=True, data_dump_step='0|3-5',
        modify_mixlist=str(tmp_path / 'mix.json'), fusion_switch_file=str(tmp_path / 'fusion.cfg'),
        customize_dtypes=str(tmp_path / 'dtypes.txt'), op_cache_dir=str(tmp_path / 'cache'),
        output_path=str(output))
    profiling = json.loads(actual.pop('profiling_options').decode())
    assert profiling['output'] == str(output / 'profiling')
    assert profiling['training_trace'] == profiling['task_trace'] == 'on'
    expected = {
        'use_off_line': True, 'graph_run_mode': 1, 'iterations_per_loop': 1,
        'mix_compile_mode': True, 'hcom_parallel': True, 'deterministic': 1,
        'precision_mode': b'allow_mix_precision', 'profiling_mode': True,
        'aoe_mode': b'2', 'work_path': str(output / 'autotune_dump').encode(),
        'enable_dump': True, 'dump_mode': b'all', 'dump_step': b'0|3-5',
        'dump_path': str(output / 'data_dump').encode(),
        'modify_mixlist': str(tmp_path / 'mix.json').encode(),
        'fusion_switch_file': str(tmp_path / 'fusion.cfg').encode(),
        'customize_dtypes': str(tmp_path / 'dtypes.txt').encode(),
        'op_compiler_cache_mode': b'enable',
        'op_compiler_cache_dir': str(tmp_path / 'cache').encode()}
    assert actual == expected
    assert {key: type(value) for key, value in actual.items()} == {
        key: type(value) for key, value in expected.items()}
    for folder in ('profiling', 'autotune_dump', 'data_dump'):
        assert (output / folder).is_dir()  # the adapter wants them to exist
    assert (tmp_path / 'cache').is_dir()


def test_overflow_dumps_switch_the_debug_dump_on(tmp_path):
    actual = written(over_dump=True, output_path=str(tmp_path))
    assert actual['enable_dump_debug'] is True and 'enable_dump' not in actual
    assert actual['dump_debug_mode'] == b'all'
    assert actual['dump_path'] == str(tmp_path / 'overflow_dump').encode()


def test_the_second_precision_option_replaces_the_first(tmp_path):
    (tmp_path / 'mix.json').write_text('{}')
    actual = written(precision_mode_v2='mixed_float16', modify_mixlist=str(tmp_path / 'mix.json'))
    assert actual['precision_mode_v2'] == b'mixed_float16' and 'precision_mode' not in actual


def test_inference_has_its_own_run_mode():
    assert written(training=False)['graph_run_mode'] == 0


@pytest.mark.parametrize('options, message', [
    ({'over_dump': True, 'data_dump_flag': True}, '--over_dump and --data_dump_flag'),
    ({'precision_mode': 'mix', 'precision_mode_v2': 'fp16'}, 'exclude each other'),
    ({'precision_mode': 'fp16'}, '--precision_mode must be'),
    ({'precision_mode_v2': 'force_fp16'}, '--precision_mode_v2 must be'),
    ({'modify_mixlist': __file__, 'precision_mode': 'force_fp32'}, '--modify_mixlist'),
    ({'modify_mixlist': __file__, 'precision_mode': 'default'}, '--modify_mixlist'),
    ({'modify_mixlist': __file__, 'precision_mode_v2': 'mixed_hif8'}, 'not with mixed_hif8'),
    ({'data_dump_step': '1,2'}, '--data_dump_step'),
    ({'data_dump_step': ''}, '--data_dump_step'),
    ({'loss_scale': '0.5'}, '--loss_scale')])
def test_values_that_would_abort_the_process_are_refused(options, message):
    with pytest.raises(errors.UsageError, match=message):
        npu.NpuOptions(**options).validate()


@pytest.mark.parametrize('name', ['modify_mixlist', 'fusion_switch_file', 'customize_dtypes'])
def test_a_file_that_is_missing_is_named(name):
    with pytest.raises(errors.InputError, match='--{} there/no.json'.format(name)):
        npu.NpuOptions(**{name: 'there/no.json'}).validate()


def test_files_that_cann_refuses_are_handed_on_cleaned_and_told(tmp_path):
    mix, switch = tmp_path / 'mix.json', tmp_path / 'fusion.cfg'
    mix.write_text('{ // loss\n"black-list": {"to-add": ["Sub"]}}')
    switch.write_bytes('\ufeff{"Switch": {"UBFusion": {"ALL": "off"}}}'.encode('utf-8'))
    options = dict(modify_mixlist=str(mix), fusion_switch_file=str(switch),
                   output_path=str(tmp_path / 'out'))
    names = [str(tmp_path / 'out' / name)
             for name in ('modify_mixlist.json', 'fusion_switch_file.json')]
    assert npu.explain_ignored(npu.NpuOptions(**options), 'npu') == [
        '--modify_mixlist {}: CANN refuses comments in it and gets {} without'.format(
            mix, names[0]),
        '--fusion_switch_file {}: CANN refuses a byte order mark in it and gets {} without'.format(
            switch, names[1])]
    actual = written(**options)
    assert [actual[name].decode() for name in ('modify_mixlist', 'fusion_switch_file')] == names
    with open(names[0], 'rb') as stream:
        assert json.loads(stream.read().decode('utf-8')) == {'black-list': {'to-add': ['Sub']}}
    with open(names[1], 'rb') as stream:
        assert json.loads(stream.read().decode('utf-8'))['Switch'] == {'UBFusion': {'ALL': 'off'}}


@pytest.mark.parametrize('device', ['cpu', 'npu'])
def test_operators_of_a_mixlist_that_cann_does_not_have_are_told(tmp_path, device):
    mix = tmp_path / 'mix.json'
    mix.write_text(json.dumps({'black-list': {'to-add': ['MatMulV2', 'AddN', 'FusedBatchNorm']},
                               'white-list': {'to-remove': ['Conv2D ']}}))
    options = npu.NpuOptions(modify_mixlist=str(mix), emulate_precision=device == 'cpu')
    # FusedBatchNorm is TensorFlow's name; a blank belongs to no name.
    assert [line for line in npu.explain_ignored(options, device) if 'table' in line] == [
        '--modify_mixlist {}: CANN\'s table has no "Conv2D", "FusedBatchNorm" (of CANN: '
        'BatchNorm); what it does not know has no effect'.format(mix)]


@pytest.mark.parametrize('device', ['cpu', 'npu'])
def test_files_of_options_are_checked_on_every_device(tmp_path, device):
    (tmp_path / 'mix.json').write_text('{"whitelist": {}}')
    with pytest.raises(errors.InputError, match='unknown key "whitelist"'):
        npu.check(npu.NpuOptions(modify_mixlist=str(tmp_path / 'mix.json')), device)
    with pytest.raises(errors.InputError, match='no such file'):
        npu.check(npu.NpuOptions(fusion_switch_file=str(tmp_path / 'no.cfg')), device)


def test_a_session_on_the_npu_checks_its_options(adapter):
    with pytest.raises(errors.UsageError):
        session.session_config('npu', options=npu.NpuOptions(over_dump=True, data_dump_flag=True))


@pytest.mark.parametrize('mode, name, expected', [
    (None, 'cpu', (None, 'float32', None)),
    ('default', 'gpu', ('default', 'float32', None)),
    (None, 'npu', (None, 'allow_mix_precision', None)),
    ('mix', 'npu', ('mix', 'allow_mix_precision', None)),
    ('default', 'npu', ('default', 'default', None)),
    ('force_fp32', 'npu', ('force_fp32', 'force_fp32', None))])
def test_the_effective_precision_is_told(mode, name, expected):
    assert npu.precision_of(mode, None, name) == expected


def test_a_mode_of_the_npu_computes_in_float32_elsewhere_and_says_so():
    asked, effective, message = npu.precision_of('mix', None, 'gpu')
    assert (asked, effective) == ('mix', 'float32')
    assert message == 'precision: mix was asked for; the gpu computes in float32'


def test_each_option_without_effect_has_its_line():
    options = npu.NpuOptions(over_dump=True, data_dump_step='3', loss_scale='128',
                           precision_mode='mix', output_path='x')
    assert npu.explain_ignored(options, 'cpu') == [
        '--loss_scale has no effect on the cpu', '--over_dump has no effect on the cpu',
        '--data_dump_step has no effect on the cpu']
    assert npu.explain_ignored(options, 'npu') == [
        '--data_dump_step has no effect without --data_dump_flag']
    assert npu.explain_ignored(
        npu.NpuOptions(data_dump_step='3', data_dump_flag=True), 'npu') == []
    options = npu.NpuOptions(customize_dtypes='x', precision_mode='must_keep_origin_dtype')
    assert npu.explain_ignored(options, 'npu') == [
        '--customize_dtypes has no effect with the precision must_keep_origin_dtype']


@pytest.mark.parametrize('options', [{'precision_mode': 'half'}, {'loss_scale': 'much'},
                                   {'data_dump_step': 'all'}])
def test_values_of_a_wrong_form_are_refused_on_every_device(options):
    with pytest.raises(errors.UsageError, match='--' + list(options)[0]):
        npu.check(npu.NpuOptions(**options), 'cpu')


@pytest.mark.parametrize('text, value', [
    (None, None), ('', None), ('False', None), ('no', None), (False, None), ('True', 'dynamic'),
    ('dynamic', 'dynamic'), ('128', 128.0), ('1', 1.0), (2 ** 15, 2.0 ** 15)])
def test_loss_scales_are_read(text, value):
    assert npu.parse_loss_scale(text) == value


@pytest.mark.parametrize('text', ['0.5', '-1', 'x', 'inf', 'nan', '0'])
def test_loss_scales_below_one_and_words_are_refused(text):
    with pytest.raises(errors.UsageError, match='--loss_scale'):
        npu.parse_loss_scale(text)


def test_dropout_on_the_npu_hands_over_the_probability_to_keep(adapter):
    npu.dropout(tf.ones([4]), 0.25, seed=3)
    npu.dropout(tf.ones([4]), 0.0)
    assert calls() == [('dropout', {'keep_prob': 0.75, 'seed': 3})]


def marked():
    """Names of the operations that the adapter is told to keep in float32."""
    return [node.name for node in tf.get_default_graph().as_graph_def().node
            if node.attr['_keep_dtype'].b]


def test_float32_is_kept_on_the_npu_inside_the_scope_only(adapter):
    built = npu.float32_scope()(lambda x: tf.log(x, name='log'))
    x = tf.ones([2], name='x')
    built(x)
    assert marked() == []   # this run is not on an NPU
    npu.load_adapter()
    tf.exp(built(x), name='exp')
    built(x)
    assert marked() == ['log_1', 'log_2']


@pytest.mark.parametrize('change', ['import', 'function'])
def test_an_adapter_without_the_scope_builds_all_the_same(change, adapter):
    text = (adapter / 'npu_init.py').read_text()
    (adapter / 'npu_init.py').write_text(
        text.replace('from npu_bridge.estimator.npu import npu_scope', '') if change == 'import'
        else text.replace('def npu_config_proto', 'def other'))
    npu.load_adapter()
    with npu.float32_scope():
        tf.log(tf.ones([2]), name='log')
    assert marked() == []


def _vsl():
    from vsl import vsl
    return vsl.reconstruction_loss(tf.ones([1, 30, 30, 30, 1]), tf.ones([1, 30, 30, 30, 1]))


def _vsl_codes():
    from vsl import vsl
    return vsl.kl_divergence(tf.ones([1, 3]), tf.ones([1, 3]))


def _r2n2():
    from r2n2.lib import layers
    return layers.loss(tf.ones([1, 4, 4, 4, 2]), tf.ones([1, 4, 4, 4]))[1]


def _polygen():
    from polygen import layers, measures
    ones = tf.ones([1, 2])
    return measures.sequence_loss(layers.Categorical(logits=tf.ones([1, 2, 3])),
                                  {'faces': ones, 'faces_mask': ones}, 'faces')[0]


def _imnet():
    from imnet.IMGAN import ops
    return ops.squared_error(tf.ones([2]), tf.ones([2]))


def _cmr():
    from cmr.src.loss import loss
    return loss.shape(tf.ones([1, 5, 3]), tf.zeros([1, 5, 3]), tf.ones([1]))


@pytest.mark.parametrize('build', [_vsl, _vsl_codes, _r2n2, _polygen, _imnet, _cmr])
def test_the_losses_of_every_model_keep_float32_on_the_npu(build, adapter):
    npu.load_adapter()
    assert build().op.name in marked()


def on(device, loss_scale):
    return launch.Context(device=device, npu_options=npu.NpuOptions(loss_scale=loss_scale))


def test_the_optimizer_stays_bare_without_loss_scale_or_npu(adapter):
    optimizer = tf.train.AdamOptimizer()
    assert on('npu', 'False').wrap_optimizer(optimizer) is optimizer
    assert on('cpu', '128').wrap_optimizer(optimizer) is optimizer
    assert 'npu_bridge' not in sys.modules


def test_a_fixed_loss_scale_makes_its_manager(adapter):
    on('npu', '128').wrap_optimizer(tf.train.AdamOptimizer())
    assert calls() == [
        ('FixedLossScaleManager', {'loss_scale': 128.0, 'enable_overflow_check': True}),
        ('NPULossScaleOptimizer', {'opt': 'AdamOptimizer', 'manager': 'FixedLossScaleManager',
                                   'is_distributed': False})]


def test_a_manager_of_an_older_adapter_gets_no_overflow_check(adapter):
    path = adapter / 'estimator' / 'npu' / 'npu_loss_scale_manager.py'
    path.write_text(path.read_text().replace(', enable_overflow_check=True', '').replace(
        'enable_overflow_check=enable_overflow_check', 'older=True'))
    on('npu', '128').wrap_optimizer(tf.train.AdamOptimizer())
    assert calls('FixedLossScaleManager') == [{'loss_scale': 128.0, 'older': True}]


def test_the_variables_of_a_manager_can_be_initialised_under_control_dependencies(adapter, run):
    with tf.control_dependencies([tf.placeholder(tf.float32, [])]):  # the double refuses that
        on('npu', 'True').wrap_optimizer(tf.train.AdamOptimizer())
    assert sorted(variable.op.name for variable in tf.global_variables()) == [
        'bad_steps', 'loss_scale']
    assert run(tf.get_collection(tf.GraphKeys.GLOBAL_VARIABLES, 'loss_scale')) == [2.0 ** 16]
    assert calls('ExponentialUpdateLossScaleManager')[0]['init_loss_scale'] == 2 ** 16


def test_a_step_with_loss_scale_equals_the_bare_one_and_an_overflow_is_left_out(adapter, run):
    def step(scale, name):
        with tf.variable_scope(name):
            x = tf.placeholder(tf.float32, [])
            weight = tf.get_variable('w', [], initializer=tf.ones_initializer())
            count = tf.get_variable('count', [], tf.int64, tf.zeros_initializer(), trainable=False)
            optimizer = on('npu', scale).wrap_optimizer(
                tf.train.MomentumOptimizer(0.5, 0.9))
            train_op = optimizer.minimize(tf.square(weight * x - 3.0), count, [weight])
        return x, train_op, (weight, count)

    bare, scaled = step('False', 'a'), step('True', 'b')
    for value in (1.0, 0.5, -2.0):
        for x, train_op, _ in (bare, scaled):
            run(train_op, {x: value})
    assert run(bare[2]) == run(scaled[2])
    before = run(scaled[2])
    run(scaled[1], {scaled[0]: np.inf})
    assert run(scaled[2]) == before


def test_a_script_trains_with_the_double_from_first_line_to_last(tmp_path):
    environment = dict(os.environ, PYTHONPATH=FAKE)
    arguments = [sys.executable, '-W', 'ignore', '-m', 'tests.common.toy_training',
                 '--device=auto', '--precision_mode=mix', '--loss_scale=True', '--over_dump',
                 '--training_steps=2', '--output_path={}'.format(tmp_path)]
    done = subprocess.run(arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 0, done.stderr
    assert 'npu (allow_mix_precision)' in done.stdout.splitlines()[0]
    assert 'no effect' not in done.stdout
    record = json.loads((tmp_path / 'config.json').read_text())
    assert record['device'] == 'npu'
    assert record['precision'] == {'asked': 'mix', 'effective': 'allow_mix_precision'}
    assert (tmp_path / 'overflow_dump').is_dir()
    contradiction = subprocess.run(
        arguments + ['--data_dump_flag'], cwd=ROOT, env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, universal_newlines=True)
    assert contradiction.returncode == 2 and '--over_dump' in contradiction.stderr


def _faults(command):
    """Page faults of the second of two rounds in which an array of 64 MiB comes and goes."""
    code = ('import resource, sys; sys.path.insert(0, {!r}); import ctypes; {}\n'
            'c = ctypes.CDLL(None); c.malloc.restype = ctypes.c_void_p\n'
            'def round():\n'
            '    block = ctypes.c_void_p(c.malloc(ctypes.c_size_t(1 << 26)))\n'
            '    c.memset(block, 1, ctypes.c_size_t(1 << 26)); c.free(block)\n'
            'round(); before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n'
            'round(); print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)')
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith('MALLOC_')}
    return int(subprocess.run(
        [sys.executable, '-c', code.format(ROOT, command)], stdout=subprocess.PIPE, check=True,
        env=environment).stdout.split()[-1])


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='another C library')
def test_memory_that_was_freed_is_not_faulted_in_again():
    assert _faults('') > 1000
    assert _faults('from common.device import session; assert session.keep_freed_memory()') < 100


_ARENAS = """
import ctypes, sys, threading
import common
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
barrier = threading.Barrier(4)
def work():
    libc.malloc(1000)
    barrier.wait()
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
stream = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b'w'))
libc.malloc_info(0, stream)
libc.fclose(stream)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='Is about glibc.')
def test_threads_share_one_arena_unless_the_environment_says_otherwise(tmp_path):
    def arenas(**environment):
        path = str(tmp_path / 'info.xml')
        plain = {name: value for name, value in os.environ.items() if name != 'MALLOC_ARENA_MAX'}
        subprocess.run([sys.executable, '-c', _ARENAS, path], cwd=ROOT, check=True,
                       env=dict(plain, **environment))
        with open(path) as stream:
            return stream.read().count('<heap nr=')

    assert arenas() == 1 and arenas(MALLOC_ARENA_MAX='4') > 1
