"""Tests of golden_adapters.py on cases of other sizes than the golden ones."""
import numpy as np
import pytest

from tests import golden
from tests.vsl import golden_adapters
from vsl import data_utils


def case(config, inputs):
    return golden.Case('vsl', '', '', config, inputs, {}, {}, {}, {}, '')


@pytest.mark.parametrize('classes, shape', [(2, (5,)), (3, (5, 3))])
def test_classification_takes_two_classes_and_leaves_the_last_smaller_batch_out(classes, shape):
    rng = np.random.RandomState(0)
    inputs = {}
    for name, count in (('train', 24), ('test', 13)):
        ids = 1 + np.arange(count) % classes
        inputs[name + '_id'] = ids
        inputs[name + '_feature'] = ids[:, None] + rng.normal(0, 0.01, [count, 4])
    outputs = golden_adapters.classify(case({'batch_size': 5, 'gamma': 'auto'}, inputs), 'plain')
    assert outputs['decision_first'].shape == shape
    assert outputs['pred_train'].shape == (20,) and outputs['pred_test'].shape == (10,)
    assert outputs['train_accuracy'] == outputs['test_accuracy'] == 1
    if classes == 2:
        assert ((outputs['decision_first'] > 0) == (outputs['pred_test'][:5] == 2)).all()


def test_sums_of_images_between_0_and_1_keep_their_fractions():
    rng = np.random.RandomState(0)
    inputs = {}
    for split in ('train', 'test'):
        inputs['h5_model_' + split] = (rng.rand(data_utils.ROW, 3) < 0.1).astype(float)
        inputs['h5_model_' + split][0] = 1
        inputs['h5_image_' + split] = rng.rand(3, 100, 100, 3)
    outputs = golden_adapters.dataset_rec(
        case({'batch_size': 2, 'numpy_seed': 0, 'epochs': 1, 'class_id': 1}, inputs), 'plain')
    np.testing.assert_allclose(outputs['test_image_sums'],
                               inputs['h5_image_test'].sum(axis=(0, 1, 2)), rtol=1e-6)
