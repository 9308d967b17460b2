"""Measuring: sets, annotations and tables, with a predictor that is told what to predict."""
import argparse
import json
import os
import types

import cv2
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from cmr import eval as eval_script
from cmr import evaluation, networks, options
from cmr.src.dataset import datasets
from cmr.src.models import cmr
from cmr.src.netCell import evalNet
from cmr.src.utils import imutils, pose_utils, renderer
from common import errors
from common.training import familiar
from tests.cmr import tiny

SIZE = 64
CAMERA = np.float32([0.8, 0., 0.])


class Predictor:
    """Predicts the body at rest for every picture."""

    batch = 2

    def __init__(self, arrays):
        self.vertices = np.float32(arrays['v_template'])
        body = types.SimpleNamespace(faces=np.asarray(arrays['f'], np.int64))
        self.network = types.SimpleNamespace(body=body, arrays=arrays,
                                             options=argparse.Namespace(img_res=SIZE))

    def predict(self, images):
        """The same vertices and camera for each of n pictures."""
        vertices = np.repeat(self.vertices[None], len(images), axis=0)
        return types.SimpleNamespace(vertices=vertices, vertices_smpl=vertices,
                                     camera=np.repeat(CAMERA[None], len(images), axis=0))


@pytest.fixture(scope='module')
def arrays():
    return tiny.arrays()


def _measured(place, dataset, predictor, tables=()):
    """Figures of a set that `place` holds."""
    for name, table in tables:
        np.save(os.path.join(place, 'extras', name + '.npy'), table)
    actual = datasets.open_set(place, dataset, False)
    config = argparse.Namespace(shuffle=False, seed=0, img_res=SIZE, stretch=True)
    make, total = evaluation.batches(actual, predictor.batch, config)
    return evaluation.measure(predictor, actual, dataset, map(make, range(total)), 1,
                              os.path.join(place, 'upi-s1h'))


def _lsp_set(place, arrays):
    """Three pictures in the short layout, their annotations those of the body at rest."""
    predictor, faces = Predictor(arrays), np.asarray(arrays['f'], np.int64)
    visible = renderer.silhouette(predictor.vertices, faces, CAMERA, SIZE)
    labels = np.where(visible >= 0, 1 + visible % 6, 0).astype(np.uint8)
    masks = os.path.join(place, 'upi-s1h', 'data', 'lsp')
    for folder in (os.path.join(place, 'lsp_dataset', 'images'), masks,
                   os.path.join(place, 'extras')):
        os.makedirs(folder)
    rng, rows = np.random.RandomState(0), {'center': [], 'scale': []}
    for number in range(3):
        box = rng.uniform(40, 60, 2), 0.4 + 0.1 * number
        rows['center'].append(box[0])
        rows['scale'].append(box[1])
        cv2.imwrite(os.path.join(place, 'lsp_dataset', 'images', '{}.jpg'.format(number)),
                    rng.randint(0, 255, [90, 110, 3]).astype(np.uint8))
        mask = imutils.uncrop(255 * (visible >= 0).astype(np.uint8), *box, (90, 110))
        red = np.stack([0 * mask, 0 * mask, mask], axis=2)     # OpenCV writes blue first
        cv2.imwrite(os.path.join(masks, '{}_mask.png'.format(number)), red)
        cv2.imwrite(os.path.join(masks, '{}_part.png'.format(number)),
                    imutils.uncrop(labels, *box, (90, 110)))
    for name, form in (('imgname', 'images/{}.jpg'), ('maskname', 'data/lsp/{}_mask.png'),
                       ('partname', 'data/lsp/{}_part.png')):
        rows[name] = [form.format(number) for number in range(3)]
    np.savez(os.path.join(place, 'extras', 'lsp_dataset_test.npz'), **rows)
    # Colours that lead to parts 1 to 6, face after face.
    texture, cube = np.zeros([1, len(faces), 2, 2, 2, 3], np.float32), np.zeros([100, 92, 17])
    texture[..., 0] = ((np.arange(len(faces)) % 6 + 0.5) / 100)[None, :, None, None, None]
    cube[:6, 0, 0] = np.arange(1, 7)
    return predictor, texture, cube


def test_silhouettes_and_parts_that_are_right_have_full_marks(arrays, tmp_path):
    predictor, texture, cube = _lsp_set(str(tmp_path), arrays)
    actual = _measured(str(tmp_path), 'lsp', predictor,
                       [('vertex_texture', texture), ('cube_parts', cube)])
    assert actual == {'Accuracy (mask)': 1, 'Accuracy (parts)': 1, 'F1 (mask)': 1, 'F1 (parts)': 1}
    predictor.vertices = predictor.vertices * np.float32([0.5, 0.5, 1])
    actual = _measured(str(tmp_path), 'lsp', predictor)
    assert all(0 < value < 1 for value in actual.values())


def test_tables_and_annotations_of_lsp_that_do_not_fit_are_named(arrays, tmp_path):
    place = str(tmp_path)
    predictor, texture, cube = _lsp_set(place, arrays)
    with pytest.raises(errors.InputError, match='vertex_texture.npy of the original is missing'):
        _measured(place, 'lsp', predictor)
    for tables, message in (
            ((texture[:, :-1], cube), r'vertex_texture.npy is \(1, 319, .*expected \(1, 320'),
            ((texture, cube[0]), 'cube_parts.npy has 2 axes'),
            ((texture, np.array(['a'])), 'cube_parts.npy cannot be read as an array of numbers')):
        with pytest.raises(errors.InputError, match=message):
            _measured(place, 'lsp', predictor, zip(('vertex_texture', 'cube_parts'), tables))
    os.remove(os.path.join(place, 'upi-s1h', 'data', 'lsp', '1_part.png'))
    with pytest.raises(errors.InputError, match='cannot read .*1_part.png.*UPi-S1h'):
        _measured(place, 'lsp', predictor, [('cube_parts', cube)])


def test_joints_of_human36m_are_measured_from_the_root(arrays, tmp_path):
    place, predictor = str(tmp_path), Predictor(arrays)
    os.makedirs(os.path.join(place, 'extras'))
    os.makedirs(os.path.join(place, 'h36m', 'images'))
    cv2.imwrite(os.path.join(place, 'h36m', 'images', 'a.jpg'), np.zeros([90, 90, 3], np.uint8))
    joints = arrays['J_regressor_h36m'].dot(predictor.vertices)
    joints = (joints - joints[0])[list(pose_utils.H36M_TO_J14)]
    truth = np.zeros([3, 24, 4])
    truth[:, list(pose_utils.J24_TO_J14), :3] = joints + [0, 0, 0.1]
    np.savez(os.path.join(place, 'extras', 'h36m_valid_protocol2.npz'), S=truth,
             imgname=['images/a.jpg'] * 3, center=np.full([3, 2], 45.), scale=np.full(3, 0.4))
    actual = _measured(place, 'h36m-p2', predictor)
    for kind in ('NonParam', 'Param'):
        np.testing.assert_allclose(actual['MPJPE ({})'.format(kind)], 100, rtol=1e-5)
        assert actual['Reconstruction Error ({})'.format(kind)] < 0.01
    predictor.network.arrays = {}
    with pytest.raises(errors.InputError, match='J_regressor_h36m.npy'):
        _measured(place, 'h36m-p2', predictor)


def test_a_network_that_has_diverged_is_told():
    predictor = evalNet.Predictor.__new__(evalNet.Predictor)
    predictor.batch, predictor._images, predictor._outputs = 2, 'images', None
    for value, is_bad in ((1., False), (np.nan, True), (np.inf, True)):
        outputs = cmr.Outputs(*[np.full([2, 3], 1.) for _ in cmr.Outputs._fields])._replace(
            vertices_smpl=np.full([2, 3], value))
        predictor.sess = types.SimpleNamespace(run=lambda fetches, feed, outputs=outputs: outputs)
        if is_bad:
            with pytest.raises(errors.InputError, match='vertices_smpl that are not finite'):
                predictor.predict(np.zeros([1, 3]))
        else:
            assert predictor.predict(np.zeros([1, 3])).vertices.shape == (1, 3)


class Set:
    """Pictures of 2 x 2 pixels of one colour each, of two channels."""

    def __init__(self, colors):
        self.colors = np.float32(colors)
        self.rows = {'imgname': np.array([str(number) for number in range(len(colors))])}

    def __len__(self):
        return len(self.colors)

    def sample(self, index, draws, size, stretch):
        """A picture."""
        del draws, size, stretch
        return {'img': np.tile(self.colors[index], [2, 2, 1])}


class Looks:
    """Predicts the mean colours of pictures, and nothing else."""

    batch = 16

    def predict(self, images):
        """As the network's second stage would."""
        return types.SimpleNamespace(looks=np.mean(images, axis=(1, 2)))


def test_pictures_unlike_the_training_are_recorded_by_hand(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluation, '_whole', evaluation._boxed)
    config = argparse.Namespace(img_res=2, stretch=True)
    training = Set([[2., 5.], [0., 5.], [1., 7.], [1., 3.]] * 25)
    held_out = Set([[1., 5.], [4., 9.], [4., 9.]])
    # Mean (1, 5), variances 0.5 and 2, to each a hundredth of their mean 1.25 more.
    far = np.sqrt((9 / 0.5125 + 16 / 2.0125) / 2)
    run = tmp_path / 'run'
    paths = evaluation.record_features(Looks(), held_out, training, config, str(run))
    assert sorted(map(os.path.basename, paths)) == sorted(familiar.FILES)
    assert json.loads((run / familiar.FILE).read_text()) == {familiar.STRANGENESS: {
        'median': pytest.approx(far, rel=1e-5), 'limit': pytest.approx(far, rel=1e-5),
        'samples': 6}}
    # Weights that ship with a record are measured by that, whatever the training set is.
    (tmp_path / 'model-3.weights').write_bytes(b'')
    familiar.record_features(str(tmp_path), 2 * training.colors)
    paths = evaluation.record_features(Looks(), Set([[2., 10.]]), held_out, config, str(
        tmp_path / 'other'), str(tmp_path / 'model-3'))
    assert list(map(os.path.basename, paths)) == [familiar.FILE]
    known = json.loads((tmp_path / 'other' / familiar.FILE).read_text())
    assert known[familiar.STRANGENESS]['median'] == pytest.approx(0, abs=1e-6)
    assert capsys.readouterr().out.count('too few') == 0
    assert evaluation.record_features(Looks(), held_out, held_out, config, str(run)) == []
    assert '3 training pictures are too few' in capsys.readouterr().out


def test_what_tells_a_strange_picture_is_the_second_stage(tmp_path):
    settled = options.network_options('--body=' + tiny.make_body(tmp_path), *tiny.NETWORK)
    with tf.Graph().as_default():
        network = networks.Network(settled, False)
        # Width 4: the stages have 16, 32, 64 and 128 channels.
        assert network.build(network.images(2)).looks.shape.as_list() == [2, 32]


def _options(tmp_path, text, *arguments):
    path = tmp_path / 'config.json'
    path.write_text(text)
    return options.complete_evaluation(
        eval_script.parse_args(['--config={}'.format(path)] + list(arguments)), 'cpu')


def test_sizes_come_from_a_file_where_the_command_line_gives_none(tmp_path):
    settled = _options(tmp_path, '{"num_layers": 3, "num_channels": 64, "rot_factor": 30}',
                       '--num_layers=7')
    assert (settled.num_layers, settled.num_channels, settled.img_res) == (7, 64, None)
    for text in ('{"num_layers": "3"}', '{"img_res": 0}', '[1]', '{"num_channels": true}'):
        with pytest.raises(errors.InputError, match='config.json'):
            _options(tmp_path, text)


@pytest.mark.parametrize('channels, fits', [(256, True), (24, True), (8, False), (17, False)])
def test_channels_that_do_not_fall_into_groups_are_refused(channels, fits):
    argument = '--num_channels={}'.format(channels)
    if fits:
        options.network_options(argument)
    else:
        with pytest.raises(errors.UsageError, match='multiple of 16'):
            options.network_options(argument)


def test_options_come_from_the_run_whose_checkpoint_is_given(tmp_path):
    def options_of(*parts):
        prefix = str(tmp_path.joinpath(*parts))
        settled, weights = networks.trained(eval_script.parse_args(['--checkpoint', prefix]), 'cpu')
        assert weights == prefix
        return settled.num_layers

    for folder, layers in (('run', 3), ('run/checkpoints-1', 4), ('other', None)):
        (tmp_path / folder / 'checkpoints').mkdir(parents=True)
        for place in (folder, folder + '/checkpoints'):
            (tmp_path / place / 'model-1.index').write_text('')
        record = {'num_layers': 5} if layers is None else {'options': {'num_layers': layers}}
        (tmp_path / folder / 'config.json').write_text(json.dumps(record))
    assert options_of('run', 'checkpoints', 'model-1') == 3
    assert options_of('run', 'checkpoints-1', 'model-1') == 4       # set aside by --noresume
    assert options_of('other', 'model-1') == 5


def test_a_place_that_cannot_be_written_to_is_told_before_anything_is_measured(tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    assert eval_script.main(['--checkpoint', str(tmp_path / 'none.pt'), '--device=cpu',
                             '--output_path', str(tmp_path / 'file' / 'x')]) == 1
    assert 'cannot write to the output folder' in capsys.readouterr().err
