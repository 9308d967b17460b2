"""Training, measuring, demo and freezing of 3D-R2N2 on tiny data."""
import json
import os
import re
import shutil

import numpy as np
import pytest
import scipy.io
import tensorflow.compat.v1 as tf

import freeze_graph
from common import cli, errors, frozen
from common.geometry import meshes
from common.readers import text
from common.training import launch, records
from r2n2 import demo, networks, reconstruction, training
from r2n2 import main as main_script
from r2n2 import options as options_lib
from r2n2.lib import config as config_lib
from r2n2.lib import data_io, layers
from r2n2.tools import make_dataset
from tests.r2n2 import tiny


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return tiny.make_data(tmp_path_factory.mktemp('set'))


@pytest.fixture(scope='module')
def run(tmp_path_factory, data):
    """A run of 4 steps with everything at its end: (folder, what it printed)."""
    folder = str(tmp_path_factory.mktemp('run'))
    code, out, _ = tiny.train(folder, data, 4, '--evaluate', '--views=2', '--freeze',
                              '--save_every=2')
    assert code == 0
    return folder, out


def losses(folder):
    return {row['step']: row['loss'] for row in
            records.read_metrics(os.path.join(folder, 'metrics.jsonl')) if 'loss' in row}


def test_a_run_leaves_weights_figures_pictures_and_a_graph(run):
    folder, out = run
    for name in ('checkpoints/model-4.index', 'checkpoints/weights.npy', 'r2n2_2_views.pb',
                 'eval/test/result.mat', 'eval/test/models.csv', 'eval/test/table.md',
                 'eval/test/reconstructions.png'):
        assert os.path.exists(os.path.join(folder, name)), name
    with open(os.path.join(folder, 'eval', 'test', 'result.json')) as stream:
        actual = json.load(stream)
    assert set(actual['iou_by_views']) == {'1', '2'} and 0 < actual['mean_shape_iou'] <= 1
    assert actual['views'] == 2 and actual['iou'] == actual['iou_by_views']['2']
    with open(os.path.join(folder, 'eval', 'test', 'table.md')) as stream:
        text = stream.read()
    for title in ('IoU at threshold 0.4', 'Average precision (mAP)', 'Loss'):
        table = text.split(title + '\n')[1].strip().split('\n\n')[0].split('\n')
        assert '1 view | 2 views |' in table[0]
        assert [row.split(' | ')[0] for row in table[2:]] == ['| chair', '| table', '| all']
    last = float(table[-1].split(' | ')[-1].strip(' |'))
    assert abs(last - actual['loss']) < 1e-4
    mat = scipy.io.loadmat(os.path.join(folder, 'eval', 'test', 'result.mat'))
    assert mat['views'].ravel().tolist() == [1, 2] * actual['models']
    assert mat['0.4'].shape == (2 * actual['models'], 1, 5)
    assert 'Total mAP' in out and 'mean shape' in out


def shown(folder):
    """Tags of the pictures and meshes that TensorBoard gets, without the meshes' parts."""
    paths = [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names
             if 'events.' in name]
    values = [value for path in paths for event in tf.train.summary_iterator(path)
              for value in event.summary.value if value.WhichOneof('value') != 'simple_value']
    return sorted({re.sub('_mesh_.*', '_mesh', value.tag) for value in values})


def test_a_validation_shows_a_model_in_tensorboard(data, tmp_path):
    folder = str(tmp_path / 'run')
    assert tiny.train(folder, data, 2, settings=[
        'TRAIN.VALIDATION_FREQ', '2', 'TEST.VOXEL_THRESH', '[0.0]'])[0] == 0     # every cell is in
    assert shown(folder)[0] == 'reconstruction' and os.path.exists(
        os.path.join(folder, 'samples', 'validation-000002.png'))


def test_figures_and_frozen_graph_are_of_the_last_checkpoint_not_of_one_chosen_on_test_models(run):
    folder, out = run
    assert os.path.exists(os.path.join(folder, 'checkpoints', 'best-4.index'))
    used = [line for line in out.splitlines() if line.startswith('weights of ')]
    assert used == ['weights of ' + os.path.join(folder, 'checkpoints', 'model-4')] * 2


@pytest.mark.slow
def test_weight_lists_of_any_width_are_measured_and_shown(run, data, tmp_path):
    folder, _ = run
    listed = os.path.join(folder, 'checkpoints', 'weights.npy')
    arguments = ['--data_path=' + data, '--model=ResidualGRUNet', '--test', '--views=2',
             '--batch_size=2', '--device=cpu', '--output_path={}'.format(tmp_path)]
    code, _, _ = tiny.call(main_script, *arguments, '--weights=' + listed, '--set', *tiny.SET)
    actual = [text.read_json(os.path.join(place, 'eval', 'test', 'result.json'))['iou']
             for place in (folder, str(tmp_path))]
    assert code == 0 and abs(actual[0] - actual[1]) < 1e-6
    picture = os.path.join(data, 'ShapeNetRendering', 'chair', '0000', 'rendering', '00.png')
    given_demo = [picture, '--weights=' + listed, '--output={}'.format(tmp_path / 'a.obj'),
                  '--threshold=0.01']
    cfg = '--cfg=' + tiny.write_settings(tmp_path)
    assert tiny.call(demo, *given_demo, cfg)[0] == 0
    code, _, err = tiny.call(demo, *given_demo, cfg, '--network=GRUNet')
    assert code == 1 and '--network' in err
    arguments[1] = '--model=LSTM1Net'
    code, _, err = tiny.call(main_script, *arguments, '--checkpoint=' + folder)
    assert code == 2 and 'is a ResidualGRUNet, not LSTM1Net' in err


@pytest.mark.slow
def test_a_resumed_run_equals_the_unbroken_one(run, data, tmp_path):
    folder, _ = run
    assert tiny.train(tmp_path, data, 2)[0] == 0
    code, out, _ = tiny.train(tmp_path, data, 4)
    assert code == 0 and 'goes on from step 2' in out and 'NUM_ITERATION' in out
    assert losses(str(tmp_path)) == losses(folder)


def trained(*arguments):
    """What networks.trained finds for demo.py: (options, path of the weights)."""
    return networks.trained(cli.settled(demo.parse_args(list(arguments))), 'cpu')


def test_the_demo_finds_the_run_of_the_launch_script(run, tmp_path, monkeypatch):
    folder, _ = run
    monkeypatch.setattr(options_lib, 'LAUNCHED', folder)
    monkeypatch.setattr(options_lib, 'PRETRAINED', str(tmp_path / 'none'))
    monkeypatch.setattr(options_lib, 'OUTPUT_PATH', str(tmp_path / 'output'))
    options, path = trained()
    assert path == os.path.join(folder, 'checkpoints', 'model-4')
    assert options.output_path == folder
    os.makedirs(str(tmp_path / 'output' / 'checkpoints'))   # an own run goes first
    with pytest.raises(errors.InputError, match='no checkpoint'):
        trained()


def test_the_shipped_settings_fit_the_networks(data):
    place = os.path.dirname(options_lib.QUICK_CONFIG)
    names = sorted(os.listdir(place))
    assert {'quick.yaml', 'short.yaml'} <= set(names)
    for name in names:
        for model in ('GRUNet', 'ResidualGRUNet'):
            settings = options_lib.complete(main_script.parse_args(
                ['--cfg=' + os.path.join(place, name), '--model=' + model]), 'cpu').settings
            with tf.Graph().as_default():
                net = networks.build(settings, False)
                net.build(tf.zeros([1, 1, 127, 127, 3]))
            assert type(net).__name__ == model
            assert net.params['conv1/W' if model == 'GRUNet' else 'conv1a/W'].shape[-1] == (
                settings.NET.N_CONVFILTER[0])


def test_the_frozen_graph_gives_what_the_checkpoint_gives(run):
    folder, _ = run
    with frozen.load(os.path.join(folder, 'r2n2_2_views.pb')) as graph:
        views = np.random.RandomState(0).uniform(size=graph.inputs['views'][0])
        actual = graph.predict(views=views.astype(np.float32))
    assert actual['occupancy'].shape == (1, 32, 32, 32)
    options, path = trained('--output_path=' + folder)
    with tf.Graph().as_default(), tf.Session(config=launch.Context().session_config()) as sess:
        net = networks.build(options.settings, True)
        occupancy = layers.loss(net.build(tf.constant(views.astype(np.float32))).logits, 0.)[0]
        networks.restore(sess, net, path)
        np.testing.assert_allclose(actual['occupancy'], sess.run(occupancy), rtol=1e-4, atol=1e-6)
    assert np.ptp(actual['occupancy']) > 1e-3
    code, out, _ = tiny.call(freeze_graph, '--model=r2n2', '--output_path=' + folder, '--views=1',
                             '--output=' + os.path.join(folder, 'again'))
    assert code == 0 and 'occupancy' in out


def test_the_demo_makes_a_mesh_of_pictures(run, data, tmp_path):
    folder, _ = run
    place = os.path.join(data, 'ShapeNetRendering', 'chair', '0000', 'rendering')
    output = str(tmp_path / 'a.obj')
    code, out, _ = tiny.call(demo, os.path.join(place, '00.png'), os.path.join(place, '01.png'),
                             '--output_path=' + folder, '--output=' + output, '--threshold=0.01')
    assert code == 0 and 'cells occupied' in out
    assert len(meshes.read(output).faces) and os.path.exists(str(tmp_path / 'a.png'))
    code, _, err = tiny.call(demo, os.path.join(place, '00.png'), '--output_path=' + folder,
                             '--output=' + output, '--threshold=1')
    assert code == 1 and 'no cell is above' in err


def test_a_picture_is_centred_before_grey(tmp_path):
    import cv2
    image = np.full([90, 150, 3], 250, np.uint8)
    image[10:40, 100:120] = 30, 60, 200
    path = str(tmp_path / 'photo.png')
    cv2.imwrite(path, image)
    actual = reconstruction.prepared(path, 127)
    rows, columns = np.nonzero((actual != 240).any(axis=2))
    assert abs(rows.mean() - 63) < 2 and abs(columns.mean() - 63) < 2
    assert 85 < np.ptp(rows) < 95       # 72 % of 127
    cv2.imwrite(path, np.full([90, 150, 3], 250, np.uint8))
    with pytest.raises(errors.InputError, match='shows no object'):
        reconstruction.prepared(path, 127)


def test_photos_may_be_grey_or_turned_by_the_camera(tmp_path):
    from PIL import Image
    image = np.full([90, 150, 3], 250, np.uint8)
    image[20:70, 30:40] = 40
    for name, mode, exif in [('grey.jpg', 'L', False), ('turned.jpg', 'RGB', True)]:
        path, tags = str(tmp_path / name), Image.Exif()
        tags[0x0112] = 6 if exif else 1     # turned by 90 degrees
        Image.fromarray(image).convert(mode).save(path, quality=95, exif=tags)
        rows, columns = np.nonzero((reconstruction.prepared(path, 127) < 120).all(axis=2))
        assert (np.ptp(columns) > np.ptp(rows)) == exif


def test_settings_of_the_original_become_options_or_are_noted(tmp_path, capsys):
    path = tmp_path / 'a.yaml'
    path.write_text('TRAIN: {SAVE_FREQ: 7, PRINT_FREQ: 3, RESUME_TRAIN: true}\n'
                    'CONST: {RNG_SEED: 5, WEIGHTS: a.npy}\nDATASET: b.json\n')
    options = options_lib.complete(main_script.parse_args(
        ['--cfg', str(path), '--seed=0', '--set', 'DIR.OUT_PATH', 'x']), 'cpu')
    assert (options.save_every, options.report_every, options.seed) == (7, 3, 0)    # given: stays
    assert (options.checkpoint, options.dataset) == ('a.npy', 'b.json')
    out = capsys.readouterr().out
    assert out == ('note: DIR.OUT_PATH has no effect here\n'
                   'note: TRAIN.RESUME_TRAIN has no effect here\n')
    assert options_lib.complete(main_script.parse_args(['--cfg', str(path)]), 'cpu').seed == 5


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_with_3_and_keeps_the_last_good_checkpoint(data, tmp_path):
    assert tiny.train(tmp_path, data, 1)[0] == 0
    code, _, err = tiny.train(tmp_path, data, 9, '--learning_rate=1e30')
    assert code == 3 and err.count('\n') == 1 and re.search(r'\b(nan|inf|NaN)\b', err)
    assert [path.name for path in (tmp_path / 'checkpoints').glob('model-*.index')] == [
        'model-1.index']


def test_a_loss_above_the_limit_ends_with_3(data, tmp_path):
    code, _, err = tiny.train(tmp_path, data, 2, settings=['TRAIN.LOSS_LIMIT', '0'])
    assert code == 3 and 'TRAIN.LOSS_LIMIT 0' in err


def test_options_that_do_not_fit_are_refused(data, tmp_path):
    assert 'no such network' in tiny.train(tmp_path, data, 1, '--model=VGG')[2]
    code, _, err = tiny.train(tmp_path, data, 1, settings=['NET.N_DECONVFILTER', '[4,4,6,4,4,2]'])
    assert code == 2 and 'N_DECONVFILTER' in err
    code, _, err = tiny.train(tmp_path, data, 1, '--evaluate', '--views=4')
    assert code == 2 and 'TRAIN.NUM_RENDERING 3' in err
    code, _, err = tiny.call(main_script, '--data_path=' + data, '--batch_size=99',
                             '--output_path={}'.format(tmp_path))
    assert code == 1 and 'fewer than a batch of 99' in err


def test_rates_change_after_the_steps_of_the_original():
    train = config_lib.defaults().TRAIN
    assert [training.rate_at(train, step) for step in (1, 20001, 20002, 60001, 60002)] == [
        1e-4, 1e-4, 1e-5, 1e-5, 1e-6]


def test_own_meshes_become_a_data_set(tmp_path):
    box = [(x, y, z) for x in (0., 1) for y in (0., 3) for z in (0., 1)]
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    meshes.write(str(tmp_path / 'in' / 'tower' / 'a.obj'), np.array(box), faces)
    (tmp_path / 'in' / 'tower' / 'b.obj').write_text('nothing')
    output = str(tmp_path / 'out')
    arguments = ['--meshes={}'.format(tmp_path / 'in'), '--output=' + output, '--views=2',
                 '--workers=1']
    code, out, _ = tiny.call(make_dataset, *arguments)
    assert code == 0 and 'left out tower/b' in out and '1 models of 1 categories' in out
    grid = make_dataset.voxel_grids.read_binvox(
        os.path.join(output, 'ShapeNetVox32', 'tower', 'a', 'model.binvox'))
    assert grid.any(axis=(0, 2)).sum() == 32 and 8 < grid.any(axis=(1, 2)).sum() < 14   # y is up
    picture = os.path.join(output, 'ShapeNetRendering', 'tower', 'a', 'rendering', '01.png')
    (tmp_path / 'in' / 'tower' / 'a').mkdir()
    shutil.copy(str(tmp_path / 'in' / 'tower' / 'a.obj'),
                str(tmp_path / 'in' / 'tower' / 'a' / 'model.obj'))
    before = os.stat(picture).st_mtime_ns
    code, out, _ = tiny.call(make_dataset, *arguments)
    assert code == 0 and os.stat(picture).st_mtime_ns == before     # nothing is made twice
    assert 'another mesh is tower/a already' in out     # a.obj and a/model.obj
    for option in ('--views=3', '--up=z', '--seed=1'):
        code, _, err = tiny.call(make_dataset, *arguments, option)
        assert code == 2 and option.strip('-').split('=')[0] in err and err.count('\n') == 1
    assert list(data_io.find(output).names) == ['tower']
