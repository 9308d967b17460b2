"""Tests of common/training/results.py."""
import json
import os

import pytest

from common import errors, files
from common.training import locks, results
from tests.common import test_runs


def once(folder, step, text, last_step=None, **options):
    """Writes a result into weights.txt; returns whether it was written."""
    path = folder / 'weights.txt'

    def write():
        path.write_text(text)
        return [str(path)]

    return results.Results(str(folder), last_step).once('weights', step, write, **options)


def test_a_result_is_written_once_for_each_step(tmp_path):
    assert once(tmp_path, 4, 'first')
    assert not once(tmp_path, 4, 'again') and (tmp_path / 'weights.txt').read_text() == 'first'
    assert once(tmp_path, 6, 'later') and (tmp_path / 'weights.txt').read_text() == 'later'
    assert json.loads((tmp_path / results.FILE).read_text()) == {
        'weights': {'step': 6, 'files': ['weights.txt']}}
    assert once(tmp_path, 6, 'asked for', again=True)


def test_a_result_that_lost_a_file_is_written_again(tmp_path):
    once(tmp_path, 4, 'first')
    (tmp_path / 'weights.txt').unlink()
    assert once(tmp_path, 4, 'again')


def test_a_result_that_was_cut_off_is_not_recorded(tmp_path):
    once(tmp_path, 4, 'first')

    def interrupted():
        raise KeyboardInterrupt

    record = results.Results(str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        record.once('weights', 6, interrupted)
    assert results.Results(str(tmp_path)).once('weights', 6, lambda: [])


def test_results_of_steps_that_were_lost_count_as_missing(tmp_path):
    once(tmp_path, 4, 'first')
    assert once(tmp_path, 4, 'again', last_step=3)
    assert not once(tmp_path, 4, 'again', last_step=4)
    assert once(tmp_path, 4, 'of a new run', last_step=0)


def test_what_other_weights_wrote_is_no_result_of_a_step(tmp_path):
    once(tmp_path, 4, 'first')
    assert once(tmp_path, None, 'of another checkpoint')
    assert once(tmp_path, 4, 'again')


@pytest.mark.parametrize('text', ['', '[]', '{"weights": 3}', '{"weights": {"step": "4"}}', '\0',
                                  '{"weights": {"step": 4, "files": [1]}}', '[' * 100000])
def test_a_damaged_record_counts_as_empty(tmp_path, text):
    (tmp_path / results.FILE).write_text(text)
    assert once(tmp_path, 4, 'again')


def test_without_a_folder_nothing_is_written():
    assert not results.Results(None).once('weights', 4, pytest.fail)


def test_a_run_that_is_done_writes_what_a_kill_left_out(tmp_path, capsys):
    test_runs.train(tmp_path, 4)
    mean = tmp_path / 'eval' / 'mean.json'
    expected = mean.read_text()
    mean.unlink()
    test_runs.train(tmp_path, 4)
    assert mean.read_text() == expected and 'nothing to do' in capsys.readouterr().out
    (tmp_path / results.FILE).unlink()      # as if the record were of before, or never written
    mean.write_text(json.dumps({'step': 2}))
    test_runs.train(tmp_path, 4)
    assert mean.read_text() == expected
    test_runs.train(tmp_path, 6)
    assert json.loads(mean.read_text())['step'] == 6


def test_noresume_sets_the_record_aside(tmp_path):
    test_runs.train(tmp_path, 4)
    test_runs.train(tmp_path, 2, resume=False)
    assert json.loads((tmp_path / results.FILE).read_text())['mean']['step'] == 2
    assert (tmp_path / 'checkpoints-1' / results.FILE).exists()


def test_an_evaluation_alone_may_write_into_a_folder_that_is_not_there_yet(tmp_path):
    folder = tmp_path / 'new' / 'folder'
    record = results.of_folder(str(folder))
    assert record.once('figures', None, lambda: (folder / 'figures.json').write_text('{}') and [])
    (tmp_path / 'file').write_text('')
    with pytest.raises(errors.InputError, match='file'):
        results.of_folder(str(tmp_path / 'file' / 'below'))


@pytest.mark.parametrize('make', [
    lambda path, victim: os.symlink(str(victim), path), lambda path, victim: os.mkfifo(path),
    lambda path, victim: os.mkdir(path)])
def test_a_lock_that_leads_elsewhere_is_told_and_not_followed(tmp_path, make):
    victim = tmp_path / 'victim'
    victim.write_text('mine')
    folder = tmp_path / 'run'
    folder.mkdir()
    make(str(folder / '.lock'), victim)
    with pytest.raises(errors.InputError, match='run/.lock: it is no regular file. Remove it'):
        with locks.hold(str(folder)):
            pass
    assert victim.read_text() == 'mine'


@pytest.mark.parametrize('write', [files.make_folder, lambda path: files.write_text(path, 'a')])
def test_a_place_that_cannot_be_written_is_told_with_a_remedy(tmp_path, write):
    (tmp_path / 'file').write_text('')
    with pytest.raises(errors.InputError, match='/below.*: Not a directory. Choose another '):
        write(str(tmp_path / 'file' / 'below' / 'name'))
    (tmp_path / 'folder' / 'name').mkdir(parents=True)
    with pytest.raises(errors.InputError, match='/folder/name: Is a directory. Choose another '):
        files.write_text(str(tmp_path / 'folder' / 'name'), 'a')
    assert os.listdir(str(tmp_path / 'folder')) == ['name']
