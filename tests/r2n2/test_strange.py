"""Tests of what 3D-R2N2 records and tells of strange pictures, without a network."""
import types

import numpy as np
import pytest

from common.training import familiar, launch
from r2n2 import evaluation, reconstruction
from r2n2.lib import data_augmentation

SIDE, VIEWS, BATCH = 20, 2, 3


class Predictor:
    """Its features are the mean levels of a picture."""

    features = types.SimpleNamespace(shape=[types.SimpleNamespace(value=VIEWS)])

    def encode(self, sess, images):
        assert sess == 'session' and images.shape == (VIEWS, BATCH, SIDE, SIDE, 3)
        return images.astype(np.float64).mean(axis=(2, 3))


def picture(number):
    """A block of a colour of its own, off the centre, before light grey."""
    image = np.full([SIDE, SIDE, 3], data_augmentation.GREY, np.uint8)
    image[2:12, 3:8] = np.random.RandomState(number).randint(0, 180, 3)
    return image


def loader(first, count):
    settings = types.SimpleNamespace(CONST=types.SimpleNamespace(BATCH_SIZE=BATCH),
                                     TRAIN=types.SimpleNamespace(NUM_RENDERING=5))

    def batch(indices, views, rng_of, ids_of):
        images = np.zeros([views, BATCH, SIDE, SIDE, 3], np.uint8)
        for place, index in enumerate(indices):
            assert len(ids_of(index)) == views
            images[:, place] = picture(first + index)
        return images, None

    return types.SimpleNamespace(pairs=[None] * count, settings=settings, batch=batch)


@pytest.fixture
def recorded(tmp_path):
    evaluation._record_features('session', Predictor(), (loader(0, 7), loader(50, 4)),
                                launch.Context(output_path=str(tmp_path)))
    return str(tmp_path)


def test_features_are_of_pictures_as_the_demo_prepares_them():
    found = evaluation._features('session', Predictor(), loader(0, 4), 0)
    assert found.shape == (4 * VIEWS, 3)    # what fills the last batch is left out
    image = picture(0)
    mask = (image != data_augmentation.GREY).any(axis=2)
    centred = data_augmentation.centred(image, mask, SIDE)
    assert found[0] == pytest.approx(centred.astype(np.float64).mean(axis=(0, 1)))
    # 10 x 5 pixels become 14.4 x 7.2 (0.72 of 20), with a blurred pixel around them at most.
    assert 14 * 7 <= (centred != data_augmentation.GREY).any(axis=2).sum() <= 16 * 9


def test_the_strangest_picture_is_told_beside_those_held_out(recorded, capsys):
    weights = recorded + '/checkpoints/model-1'
    reconstruction._tell_strangest(weights, np.array([[200., 200, 200], [9000., 0, 0]]),
                                   ['a/usual.png', 'a/odd.png'])
    said = capsys.readouterr().out
    assert said.startswith('odd.png: distance of its features from those of the training pictures')
    assert 'on 8 held-out samples' in said and 'unlike anything that was trained on' in said
    reconstruction._tell_strangest(weights, familiar_mean(recorded), [])
    said = capsys.readouterr().out
    assert said.startswith('the views: ') and 'unlike' not in said


def familiar_mean(folder):
    with np.load(folder + '/' + familiar.FEATURES) as arrays:
        return arrays['mean'][None]


def test_without_a_record_nothing_is_told(tmp_path, capsys):
    reconstruction._tell_strangest(str(tmp_path / 'model-1'), np.zeros([1, 3]), ['a.png'])
    assert capsys.readouterr().out == ''


def test_of_many_views_some_are_drawn_from_the_first_to_the_last(tmp_path, monkeypatch):
    """150 pictures took 44 s and ended in matplotlib's ValueError, behind the mesh."""
    drawn = []
    monkeypatch.setattr(evaluation.plots, 'mesh_grid', lambda path, fields, captions, *more, **kind:
                        drawn.append((fields, captions)))
    images = np.arange(150, dtype=np.uint8)[:, None, None, None] * np.ones([1, 1, 1, 3], np.uint8)
    evaluation.draw('a.png', [(images, None, np.zeros([150, 2, 2, 2]))])
    (fields, captions), = drawn
    assert len(fields) == len(captions) == 48
    assert captions[:2] == ['view 1', 'after 1'] and captions[-2:] == ['view 150', 'after 150']
    assert [int(one[0, 0, 0]) + 1 for one in fields[::2]] == [
        int(one[len('view '):]) for one in captions[::2]]
    evaluation.draw('a.png', [(images[:3], None, np.zeros([3, 2, 2, 2]))])
    assert drawn[1][1] == ['view 1', 'after 1', 'view 2', 'after 2', 'view 3', 'after 3']
