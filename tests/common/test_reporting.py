"""Tests of common/training/reporting.py."""
import glob
import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

from common.training import records, reporting


def test_the_progress_line_has_the_agreed_form():
    values = {'loss_vertices': 0.01838, 'loss_faces': 0.0131}
    assert reporting.progress_line(1200, 5000, values, 0.109) == (
        'step 1200/5000  24.0%  loss_vertices 0.0184  loss_faces 0.0131  0.109 s/step  eta 6m54s')


def test_the_line_of_the_first_step_has_no_estimate():
    assert reporting.progress_line(1, 10, {}, None, first_seconds=2.5) == (
        'step 1/10  10.0%  2.500 s/step  eta ?')


def test_a_line_without_times_ends_behind_the_values():
    line = reporting.progress_line(5, 10, {'validation': 0.5})
    assert line == 'step 5/10  50.0%  validation 0.5000'


@pytest.mark.parametrize('seconds, text', [
    (0, '0s'), (54.4, '54s'), (59.6, '1m00s'), (414, '6m54s'), (3600, '1h00m00s'),
    (7390, '2h03m10s'), (360000, '100h00m00s')])
def test_durations_are_in_hours_minutes_and_seconds(seconds, text):
    assert reporting.format_duration(seconds) == text


@pytest.mark.parametrize('value, text', [
    (0.0184, '0.0184'), (0.0, '0.0000'), (-3.5, '-3.5000'), (1234.56, '1234.6'),
    (3.1e-6, '3.10e-06'), (-2e9, '-2.00e+09'), (7, '7')])
def test_values_take_few_characters(value, text):
    assert reporting.format_value(value) == text


def test_lines_for_modelzoo_end_in_the_value():
    lines = [reporting.step_time_line(0.109), reporting.accuracy_line(0.93),
             reporting.accuracy_line(0.93, 'vertices')]
    lines += reporting.loss_lines({'loss_a': 0.5, 'bits_a': 3.0, 'loss': 0.25})
    assert lines[0].startswith('StepTime: ') and lines[1].startswith('Accuracy: ')
    assert lines[3].startswith('Loss (a): ') and lines[4].startswith('Loss: ')
    assert [float(line.split()[-1]) for line in lines] == [0.109, 0.93, 0.93, 0.5, 0.25]


class FakeTime:
    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


def test_the_share_of_waiting_needs_a_pace():
    assert reporting.wait_line(3., 10, 2.) == 'batches took 15.00% of the time of a step'
    assert reporting.wait_line(3., 0, 2.) is None
    assert reporting.wait_line(3., 10, None) is None


def test_the_clock_leaves_out_the_first_step_pauses_and_the_time_between_steps():
    now = FakeTime()
    clock = reporting.StepClock(now)
    for seconds in (60.0, 1.0, 3.0):
        clock.begin()
        now.seconds += seconds
        with clock.paused():
            now.seconds += 100.0
        clock.end()
        now.seconds += 1000.0
        clock.end()  # a second call for the same step counts nothing
    assert clock.count == 3
    assert clock.first_seconds == 60.0
    assert clock.seconds_per_step == 2.0


def test_the_clock_knows_no_mean_after_one_step():
    clock = reporting.StepClock(FakeTime())
    assert clock.seconds_per_step is None
    clock.begin()
    clock.end()
    assert clock.seconds_per_step is None


def test_metrics_are_appended_and_rows_beyond_the_resumed_step_go(tmp_path):
    recorder = records.Recorder(str(tmp_path))
    for step in (10, 20, 30):
        recorder.add(step, {'loss': 1.0 / step})
    recorder.close()
    with open(recorder.path, 'a') as stream:
        stream.write('{"step": 40, "lo')  # a killed run
    recorder = records.Recorder(str(tmp_path), start_step=20)
    recorder.add(30, {'loss': 7.0})
    recorder.close()
    with open(recorder.path) as stream:
        rows = [json.loads(line) for line in stream]
    assert rows == [{'step': 10, 'loss': 0.1}, {'step': 20, 'loss': 0.05},
                    {'step': 30, 'loss': 7.0}]
    assert rows == records.read_metrics(recorder.path)


def test_tensorboard_gets_the_same_numbers(tmp_path):
    recorder = records.Recorder(str(tmp_path), start_step=4)
    recorder.add(5, {'loss': 0.25, 'count': 3})
    recorder.close()
    events = [event for path in glob.glob(str(tmp_path / 'events*'))
              for event in tf.train.summary_iterator(path)]
    assert [(event.step, {value.tag: value.simple_value for value in event.summary.value})
            for event in events if event.HasField('summary')] == [(5, {'loss': 0.25, 'count': 3.0})]
    starts = [event.step for event in events
              if event.session_log.status == tf.SessionLog.START]
    assert starts == [5]  # TensorBoard drops what an earlier run had shown from there on


def test_a_run_that_reports_nothing_leaves_no_event_file(tmp_path):
    records.Recorder(str(tmp_path)).close()
    assert glob.glob(str(tmp_path / 'events*')) == []


def test_pictures_and_meshes_reach_tensorboard(tmp_path):
    Image.new('RGB', (7, 5), (200, 0, 0)).save(str(tmp_path / 'red.png'))
    recorder = records.Recorder(str(tmp_path))
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.]])
    recorder.show(3, 'samples', str(tmp_path / 'red.png'), (vertices, np.array([[0, 1, 2]])))
    recorder.show(4, 'samples', str(tmp_path / 'red.png'), (vertices, np.zeros([0, 3], int)))
    recorder.close()
    values = [(event.step, value) for path in glob.glob(str(tmp_path / 'events*'))
              for event in tf.train.summary_iterator(path) for value in event.summary.value]
    images = [(step, value.image) for step, value in values if value.HasField('image')]
    assert [(step, image.width, image.height) for step, image in images] == [(3, 7, 5), (4, 7, 5)]
    assert images[0][1].encoded_image_string == (tmp_path / 'red.png').read_bytes()
    tags = {value.tag for step, value in values if not value.HasField('image')}
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        assert tags == set()
        return
    assert tags == {'samples_mesh_VERTEX', 'samples_mesh_FACE'}
    (placed,) = [tf.make_ndarray(value.tensor) for _, value in values
                 if value.HasField('tensor') and tf.make_ndarray(value.tensor).dtype == np.float32]
    np.testing.assert_array_equal(placed[0], vertices)
