"""Copies between folders and object storage; moxing is the double in fake_obs/."""
import errno
import os
import shutil
import time

import pytest

from common import errors
from common.modelarts import obs

FAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'fake_obs')
ODD_NAMES = ['a b.txt', "quo'te\"s.txt", 'semi;colon.txt', '点云/形状.txt', 'dots..txt',
             '..b/c.txt', '%41.txt', '-rf', 'new\nline', 'back\\slash', '$(id)']


def write(folder, files):
    """Writes {name: text} below a folder; returns it."""
    for name, text in files.items():
        path = os.path.join(str(folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as stream:
            stream.write(text)
    return str(folder)


def read(folder):
    """Gives {name: text} of all files below a folder, also of unfinished ones."""
    found = {}
    for place, _, names in os.walk(str(folder)):
        for name in names:
            path = os.path.join(place, name)
            with open(path, encoding='utf-8') as stream:
                found[os.path.relpath(path, str(folder))] = stream.read()
    return found


@pytest.fixture
def storage(tmp_path, monkeypatch):
    """Puts the double on the path of the process that imports moxing; gives its buckets."""
    log = tmp_path / 'calls.txt'
    log.write_text('')
    (tmp_path / 'buckets' / 'b').mkdir(parents=True)
    monkeypatch.setenv('PYTHONPATH', FAKE)
    monkeypatch.setenv('FAKE_OBS_ROOT', str(tmp_path / 'buckets'))
    monkeypatch.setenv('FAKE_OBS_LOG', str(log))
    monkeypatch.setattr(obs, '_PAUSE', 0.001)
    return tmp_path / 'buckets'


def calls(storage):
    return (storage.parent / 'calls.txt').read_text().split()


@pytest.mark.parametrize('kind', ['{}', 'file://{}', 'mapped'])
def test_a_tree_is_copied_overwritten_and_nothing_is_deleted(kind, tmp_path, monkeypatch, capsys):
    files = dict.fromkeys(ODD_NAMES, 'text')
    source = write(tmp_path / 'buckets' / 'b' / 'in put', files)
    target = write(tmp_path / 'target', {'a b.txt': 'older', 'kept.txt': 'kept'})
    monkeypatch.setenv('PORT_OBS_ROOT', str(tmp_path / 'buckets'))
    url = 'obs://b/in put/' if kind == 'mapped' else kind.format(source.replace(' ', '%20')
                                                                 if '://' in kind else source)
    done = obs.copy_tree(url, target)
    assert (done.files, done.bytes) == (len(files), 4 * len(files))
    assert read(target) == dict(files, **{'kept.txt': 'kept'})
    assert 'copied 11 files, 0.0 MB, in' in capsys.readouterr().out
    assert obs.list_files(url) == {name: 4 for name in files}
    assert obs.size(url) == 44 and obs.exists(url) and not obs.exists(url + '/none')


def test_object_storage_is_read_and_written_by_moxing(storage, tmp_path):
    files = dict.fromkeys([name for name in ODD_NAMES], 'text')
    source = write(tmp_path / 'source', files)
    (tmp_path / 'source' / 'empty folder').mkdir()
    obs.copy_tree(source, 'obs://b/out')
    assert read(storage / 'b' / 'out') == files
    (storage / 'b' / 'out' / 'empty folder').mkdir()
    assert obs.list_files('s3://b/out') == {name: 4 for name in files}
    obs.copy_tree('obs://b/out', str(tmp_path / 'back'))
    assert read(tmp_path / 'back') == files
    obs.copy_tree('obs://b/out', 's3://b/again')
    assert read(storage / 'b' / 'again') == files
    assert obs.exists('obs://b/out') and not obs.exists('obs://b/none')


def test_many_files_come_by_one_parallel_copy(storage, tmp_path):
    files = {'{}/{}.txt'.format(number % 3, number): 'x' * number for number in range(40)}
    write(storage / 'b' / 'many', files)
    assert obs.copy_tree('obs://b/many', str(tmp_path / 'target')).files == 40
    assert read(tmp_path / 'target') == files
    assert calls(storage).count('copy_parallel') == 1 and 'copy' not in calls(storage)


@pytest.mark.parametrize('fault', ['every_other', 'truncate_once', 'hang_once'])
@pytest.mark.parametrize('count', [3, 40])
def test_faults_that_pass_are_overcome(fault, count, storage, tmp_path, monkeypatch):
    monkeypatch.setenv('FAKE_OBS_FAULT', fault)
    files = {'{}.txt'.format(number): 'some text' for number in range(count)}
    write(storage / 'b' / 'in', files)
    obs.copy_tree('obs://b/in', str(tmp_path / 'target'), timeout=1.0)
    assert read(tmp_path / 'target') == files
    if count == 3:
        (storage.parent / 'calls.txt').write_text('')
        obs.copy_tree(str(tmp_path / 'target'), 'obs://b/out', timeout=1.0)
        assert read(storage / 'b' / 'out') == files


@pytest.mark.parametrize('fault, message', [
    ('always', 'failed in 2 attempts at "exists": ConnectionError'),
    ('truncate', r'did not arrive whole in 2 attempts \(2 of 4 bytes\)'),
    ('hang', 'no sign of life for 1 s'), ('full', 'disk that holds .* is full')])
def test_faults_that_stay_are_told_and_no_part_is_left(fault, message, storage, tmp_path,
                                                       monkeypatch):
    monkeypatch.setenv('FAKE_OBS_FAULT', fault)
    write(storage / 'b' / 'in', {'a.txt': 'text'})
    with pytest.raises(errors.InputError, match=message):
        obs.copy_tree('obs://b/in', str(tmp_path / 'target'), attempts=2, timeout=1.0)
    assert read(tmp_path / 'target') == {}


def test_an_upload_cut_short_is_never_under_its_final_name(storage, tmp_path, monkeypatch):
    monkeypatch.setenv('FAKE_OBS_FAULT', 'truncate')
    with pytest.raises(errors.InputError, match='did not arrive whole'):
        obs.copy_tree(write(tmp_path / 'in', {'a.txt': 'text'}), 'obs://b/out', attempts=2)
    assert list(read(storage / 'b' / 'out')) == ['.part-upload/a.txt']
    monkeypatch.delenv('FAKE_OBS_FAULT')
    assert obs.list_files('obs://b/out') == {}
    obs.copy_tree(str(tmp_path / 'in'), 'obs://b/out')
    assert read(storage / 'b' / 'out') == {'a.txt': 'text'}


def test_storage_that_renames_onto_no_older_file_gets_a_copy(storage, tmp_path, monkeypatch):
    monkeypatch.setenv('FAKE_OBS_FAULT', 'no_overwrite')
    source = write(tmp_path / 'in', {'checkpoint': 'older'})
    obs.copy_tree(source, 'obs://b/out', attempts=2)
    write(tmp_path / 'in', {'checkpoint': 'newest'})
    obs.copy_tree(source, 'obs://b/out', attempts=2)
    assert read(storage / 'b' / 'out') == {'checkpoint': 'newest'}


def test_a_long_listing_is_no_hanging_one(storage, monkeypatch):
    monkeypatch.setenv('FAKE_OBS_FAULT', 'slow_listing')
    files = {'{}.txt'.format(number): 'text' for number in range(120)}
    write(storage / 'b' / 'in', files)      # 120 sizes of 0.3 s, 16 at a time
    assert obs.list_files('obs://b/in', attempts=1, timeout=1.5) == dict.fromkeys(files, 4)


def test_a_broken_moxing_is_told_as_it_is(storage, tmp_path, monkeypatch):
    write(tmp_path / 'broken', {'moxing/__init__.py': 'raise RuntimeError("no region is set")'})
    monkeypatch.setenv('PYTHONPATH', str(tmp_path / 'broken'))
    with pytest.raises(errors.InputError, match='cannot be used: RuntimeError: no region is set'):
        obs.exists('obs://b/in')


def test_a_machine_out_of_processes_or_of_room_is_told_in_a_line(storage, tmp_path, monkeypatch):
    source = write(tmp_path / 'in', {'checkpoint': 'list'})

    def fail(*args, **kwargs):
        raise OSError(errno.ENOMEM, 'Cannot allocate memory')

    with monkeypatch.context() as patch:
        patch.setattr(obs.tempfile, 'mkdtemp', fail)
        with pytest.raises(errors.InputError, match='no temporary folder .*: Cannot allocate'):
            obs.copy_tree(source, 'obs://b/out')
    monkeypatch.setattr(obs.subprocess, 'Popen', fail)
    with pytest.raises(errors.InputError, match='can be started: .*Cannot allocate memory'):
        obs.exists('obs://b/out', attempts=2)


def test_names_that_lead_out_are_refused_and_the_others_copied(storage, tmp_path, monkeypatch):
    write(storage, {'stolen.txt': 'secret'})
    write(storage / 'b' / 'in', {'a.txt': 'text'})
    monkeypatch.setenv('FAKE_OBS_FAULT', 'traversal')
    with pytest.raises(errors.InputError, match='lead out of the folder: .*stolen'):
        obs.copy_tree('obs://b/in', str(tmp_path / 'x' / 'target'))
    assert read(tmp_path / 'x') == {'target/a.txt': 'text'}
    with pytest.raises(errors.InputError, match='leads out of its bucket'):
        obs.copy_tree('obs://b/../c', str(tmp_path / 'target'))


def test_links_out_of_source_or_target_are_refused(tmp_path):
    write(tmp_path, {'outside/secret.txt': 'secret'})
    source = write(tmp_path / 'source', {'a.txt': 'text', 'deep/b.txt': 'text'})
    os.symlink('a.txt', os.path.join(source, 'inner.txt'))
    os.symlink('../outside/secret.txt', os.path.join(source, 'stolen.txt'))
    os.symlink(str(tmp_path / 'outside'), os.path.join(source, 'stolen'))
    with pytest.raises(errors.InputError, match="lead out of the folder: 'stolen', 'stolen.txt'"):
        obs.copy_tree(source, str(tmp_path / 'target'))
    assert read(tmp_path / 'target') == {'a.txt': 'text', 'deep/b.txt': 'text', 'inner.txt': 'text'}
    trap = write(tmp_path / 'trap', {'c.txt': ''})
    os.symlink(str(tmp_path / 'outside'), os.path.join(trap, 'deep'))
    os.unlink(os.path.join(source, 'stolen'))
    os.unlink(os.path.join(source, 'stolen.txt'))
    with pytest.raises(errors.InputError, match='by a link'):
        obs.copy_tree(source, trap)
    assert read(tmp_path / 'outside') == {'secret.txt': 'secret'}


@pytest.mark.parametrize('url, message', [
    ('no/such/folder', 'does not exist'), ('empty', 'holds no files'), ('a.txt', 'is a file'),
    ('http://host/x', 'scheme obs, s3 or file'), ('file://host/x', 'whole path'),
    ('obs://user:pass@bucket/x', 'without credentials'), ('obs:///x', 'no bucket')])
def test_sources_that_give_nothing_are_errors(url, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {'a.txt': 'text'})
    (tmp_path / 'empty').mkdir()
    with pytest.raises(errors.InputError, match=message) as caught:
        obs.copy_tree(url, 'target')
    assert 'pass' not in str(caught.value)


def test_without_moxing_a_bucket_is_an_error_that_names_it(tmp_path):
    with pytest.raises(errors.InputError, match='need the package moxing'):
        obs.copy_tree('obs://b/in', str(tmp_path))


def test_the_same_folder_is_left_alone_and_a_folder_inside_refused(tmp_path):
    source = write(tmp_path / 'source', {'a.txt': 'text'})
    assert obs.copy_tree(source, 'file://' + source + '/') == (0, 0, 0.0)
    with pytest.raises(errors.InputError, match='lies inside'):
        obs.copy_tree(source, os.path.join(source, 'below'))
    assert read(source) == {'a.txt': 'text'}


def test_a_full_disk_is_told_before_and_while_copying(tmp_path, monkeypatch):
    source, target = write(tmp_path / 'source', {'a.txt': 'text'}), tmp_path / 'target'
    usage = shutil.disk_usage(source)._replace(free=3)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, 'disk_usage', lambda path: usage)
        with pytest.raises(errors.InputError, match=r'is full \(0.0 MB free, 0.0 MB needed\)'):
            obs.copy_tree(source, str(target))

    def copyfile(source, path):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(shutil, 'copyfile', copyfile)
    with pytest.raises(errors.InputError, match='is full'):
        obs.copy_tree(source, str(target))
    assert read(target) == {} and os.listdir(str(target)) == []


def test_credentials_of_the_environment_are_never_told(storage, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv('FAKE_OBS_FAULT', 'leak')
    monkeypatch.setenv('OBS_SECRET_ACCESS_KEY', 'hunter2hunter2')
    with pytest.raises(errors.InputError, match=r'signed with \*\*\*') as caught:
        obs.copy_tree('obs://b/in', str(tmp_path / 'target'), attempts=2)
    assert 'hunter2' not in str(caught.value) + ''.join(capfd.readouterr())


def test_only_what_has_changed_is_copied_again(tmp_path):
    source = write(tmp_path / 'source', {'a.txt': 'text', 'b.txt': 'text'})
    known = {}
    assert obs.copy_tree(source, str(tmp_path / 'target'), known=known).files == 2
    assert obs.copy_tree(source, str(tmp_path / 'target'), known=known).files == 0
    write(source, {'b.txt': 'more text'})
    assert obs.copy_tree(source, str(tmp_path / 'target'), known=known).files == 1
    assert read(tmp_path / 'target')['b.txt'] == 'more text'


def test_files_to_skip_are_left_out(tmp_path):
    source = write(tmp_path / 'source', {'a.txt': 'text', '.lock': '1'})
    obs.copy_tree(source, str(tmp_path / 'target'), skip=lambda name: name.startswith('.'))
    assert read(tmp_path / 'target') == {'a.txt': 'text'}


def test_a_list_of_checkpoints_is_copied_last_and_as_it_was_at_the_start(tmp_path, monkeypatch):
    source = write(tmp_path / 'source', {
        'checkpoint': 'model-1', 'model-1.index': 'i', 'model-1.data': 'd', 'z.txt': ''})
    order, copyfile = [], shutil.copyfile

    def training_goes_on(source_path, path):
        order.append(os.path.basename(source_path))
        write(source, {'checkpoint': 'model-2'})
        return copyfile(source_path, path)

    monkeypatch.setattr(shutil, 'copyfile', training_goes_on)
    obs.copy_tree(source, str(tmp_path / 'target'))
    assert order == ['model-1.data', 'z.txt', 'model-1.index']
    assert read(tmp_path / 'target')['checkpoint'] == 'model-1'


def test_a_file_that_goes_while_it_is_copied_makes_another_round(tmp_path, monkeypatch):
    source = write(tmp_path / 'source', {'a.data': 'd', 'b.data': 'd'})
    copyfile = shutil.copyfile

    def training_goes_on(source_path, path):
        if os.path.exists(os.path.join(source, 'b.data')):
            os.remove(os.path.join(source, 'b.data'))
            write(source, {'c.data': 'd'})
        return copyfile(source_path, path)

    monkeypatch.setattr(shutil, 'copyfile', training_goes_on)
    assert obs.copy_tree(source, str(tmp_path / 'target')).files == 2
    assert sorted(read(tmp_path / 'target')) == ['a.data', 'c.data']


def test_a_log_that_grows_meanwhile_is_no_error(tmp_path, monkeypatch):
    source = write(tmp_path / 'source', {'a.log': 'line\n'})
    copyfile = shutil.copyfile

    def grows(source_path, path):
        with open(source_path, 'a') as stream:
            stream.write('line\n')
        return copyfile(source_path, path)

    monkeypatch.setattr(shutil, 'copyfile', grows)
    assert obs.copy_tree(source, str(tmp_path / 'target')).bytes == 10


def test_a_long_copy_tells_how_far_it_is(capsys):
    progress = obs._Progress(4, every=0.01)
    time.sleep(0.02)
    progress.tell({'a': 1000000, 'b': 500000})
    progress.tell({'a': 1000000, 'b': 500000, 'c': 1})
    assert capsys.readouterr().out == 'copying: 2 of 4 files, 1.5 MB\n'
