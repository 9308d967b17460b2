"""Classes of shapes: by name, by number, and the class that stands for any."""
import numpy as np
import pytest

from common import cli, errors
from polygen import drawing
from polygen import options as options_lib

EXAMPLES = [{'class_label': label} for label in (0, 2, 1)]


def model(class_dropout, class_names=('bed', 'chair', 'sofa')):
    return options_lib.with_classes(
        cli.Options(class_dropout=class_dropout, num_classes=0, class_conditional=True,
                    face_class_conditional=False, class_names=None),
        EXAMPLES, class_names and list(class_names))


def test_the_class_any_comes_last():
    options = model(0.1)
    assert (options.num_classes, options.class_names) == (4, ['bed', 'chair', 'sofa', 'any'])
    assert model(0.1, None).class_names == ['0', '1', '2', 'any']
    options = model(0.)
    assert (options.num_classes, options.class_names) == (3, ['bed', 'chair', 'sofa'])


@pytest.mark.parametrize('classes, dropout, labels', [
    (None, 0.1, [3, 3, 3]), (None, 0., [0, 1, 2]), (['sofa', '0'], 0., [2, 0, 2]),
    (['any', 'bed'], 0.1, [3, 0, 3])])
def test_labels_of_samples(classes, dropout, labels):
    assert drawing.labels_to_draw(classes, model(dropout), 3) == labels


@pytest.mark.parametrize('classes', [['lamp'], ['3'], ['-1'], [], ['any']])
def test_a_class_that_is_not_there_is_refused_with_the_list(classes):
    with pytest.raises(errors.UsageError, match='0 to 2, bed, chair, sofa') as caught:
        drawing.labels_to_draw(classes, model(0.), 3)
    assert ' '.join(classes) in caught.value.args[0]


@pytest.mark.parametrize('label, name, text', [
    (2, 'any', 'any: 3 vertices, 1 faces (cut off)'),
    (2, '', 'class 2: 3 vertices, 1 faces (cut off)'), (None, '', '3 vertices, 1 faces (cut off)')])
def test_a_sample_is_captioned_by_the_name_of_its_class(label, name, text):
    assert str(drawing.Sample(label, np.zeros([3, 3]), [[0, 1, 2]], False, name)) == text
