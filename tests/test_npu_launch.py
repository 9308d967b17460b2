"""Each model's launch script with --device npu; npu_bridge is the double in common/fake_npu."""
import json
import os
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FAKE = os.path.join(ROOT, 'tests', 'common', 'fake_npu')
DEVICE = '97'   # the number of a device that nobody has; its folder of logs goes afterwards


def polygen(folder):
    from tests.polygen import tiny
    return ['--data_path=' + tiny.write_solids(folder), '--sample=False', '--freeze=False',
            '--hidden_size=16', '--fc_size=16', '--num_heads=2', '--vertex_layers=1',
            '--encoder_layers=1', '--face_layers=1', '--max_vertices=12', '--max_face_tokens=40']


def vsl(folder):
    return ['--stages=train', '--batch_size=1', '--print_step=0']


def imnet(folder):
    from tests.imnet import tiny
    points, tiny.POINTS = tiny.POINTS, {16: 4096, 32: 4096, 64: 16384}    # as many as it trains on
    try:
        return ['--data_path=' + tiny.write(str(folder)), '--stages=ae16'] + tiny.SIZES
    finally:
        tiny.POINTS = points


def r2n2(folder):
    from tests.r2n2 import tiny
    return ['--data_path=' + tiny.make_data(folder / 'data'), '--batch_size=2', '--workers=0',
            '--cfg=' + tiny.write_settings(folder), '--evaluate=False', '--freeze=False']


def cmr(folder):
    from tests.cmr import tiny
    body = tiny.make_body(folder / 'body')
    return ['--data_path=' + tiny.make_set(folder / 'data', body), '--dataset=up-3d',
            '--body=' + body, '--batch_size=4', '--num_workers=0', '--evaluate=False',
            '--freeze=False'] + tiny.NETWORK


@pytest.mark.parametrize('options', [polygen] + [
    pytest.param(model, marks=pytest.mark.slow) for model in (vsl, imnet, r2n2, cmr)])
def test_the_launch_script_trains_two_steps_with_the_session_that_the_npu_asks_for(
        options, tmp_path):
    model = options.__name__
    (tmp_path / 'in').mkdir()
    log, output = tmp_path / 'sessions.jsonl', tmp_path / 'out'
    logs = os.path.join(ROOT, model, 'test', 'output', DEVICE)
    command = ['bash', os.path.join(ROOT, model, 'test', 'train_full_1p.sh'), '--device=npu',
               '--precision_mode=allow_mix_precision', '--training_steps=2',
               '--output_path={}'.format(output)] + options(tmp_path / 'in')
    try:
        done = subprocess.run(
            command, cwd=str(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            universal_newlines=True, env=dict(
                os.environ, PYTHON=sys.executable, PYTHONPATH=FAKE, FAKE_NPU_LOG=str(log),
                ASCEND_DEVICE_ID=DEVICE, ASCEND_HOME_PATH=str(tmp_path)))
        assert done.returncode == 0, done.stdout
        results = [name for name in os.listdir(logs) if name.endswith('_1p_acc.log')]
        assert len(results) == 1 and results[0].startswith(model + '_bs')
    finally:
        shutil.rmtree(logs, ignore_errors=True)
    assert 'INFO, the Ascend NPU was used.' in done.stdout
    sessions = [json.loads(line) for line in log.read_text().splitlines()]
    assert sessions
    for session in sessions:
        fusion = session.pop('fusion_switch_file', None)
        assert (fusion is not None) == (model == 'polygen')
        assert session == {
            'use_off_line': True, 'graph_run_mode': 1, 'iterations_per_loop': 1,
            'mix_compile_mode': False, 'hcom_parallel': False,
            'precision_mode': 'allow_mix_precision', 'remapping': 2, 'memory_optimization': 2,
            'entries': 1}
    records = [json.loads(path.read_text()) for path in output.rglob('config.json')]
    assert records and all(record['device'] == 'npu' and record['precision'] == {
        'asked': 'allow_mix_precision', 'effective': 'allow_mix_precision'} for record in records)
