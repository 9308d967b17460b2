"""Copies between folders and object storage; moxing is the double in fake_obs/."""
import errno
import os
import shutil
import time

import pytest

from common import errors
from common.modelarts import copies, storage

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
    contents = {}
    for place, _, names in os.walk(str(folder)):
        for name in names:
            path = os.path.join(place, name)
            with open(path, encoding='utf-8') as stream:
                contents[os.path.relpath(path, str(folder))] = stream.read()
    return contents


@pytest.fixture
def buckets(tmp_path, monkeypatch):
    """Puts the double on the path of the process that imports moxing; gives its buckets."""
    log = tmp_path / 'calls.txt'
    log.write_text('')
    (tmp_path / 'buckets' / 'b').mkdir(parents=True)
    monkeypatch.setenv('PYTHONPATH', FAKE)
    monkeypatch.setenv('FAKE_OBS_ROOT', str(tmp_path / 'buckets'))
    monkeypatch.setenv('FAKE_OBS_LOG', str(log))
    monkeypatch.setattr(storage, '_PAUSE', 0.001)
    return tmp_path / 'buckets'


def calls(buckets):
    return (buckets.parent / 'calls.txt').read_text().split()


@pytest.mark.parametrize('kind', ['{}', 'file://{}', 'mapped'])
def test_a_tree_is_copied_overwritten_and_nothing_is_deleted(kind, tmp_path, monkeypatch, capsys):
    files = dict.fromkeys(ODD_NAMES, 'text')
    source = write(tmp_path / 'buckets' / 'b' / 'in put', files)
    target = write(tmp_path / 'target', {'a b.txt': 'older', 'kept.txt': 'kept'})
    monkeypatch.setenv('PORT_OBS_ROOT', str(tmp_path / 'buckets'))
    url = 'obs://b/in put/' if kind == 'mapped' else kind.format(source.replace(' ', '%20')
                                                                 if '://' in kind else source)
    done = copies.copy_tree(url, target)
    assert (done.files, done.bytes) == (len(files), 4 * len(files))
    assert read(target) == dict(files, **{'kept.txt': 'kept'})
    assert 'copied 11 files, 0.0 MB, in' in capsys.readouterr().out
    assert copies.list_files(url) == {name: 4 for name in files}
    assert copies.size(url) == 44 and copies.exists(url) and not copies.exists(url + '/none')


def test_object_storage_is_read_and_written_by_moxing(buckets, tmp_path):
    files = dict.fromkeys([name for name in ODD_NAMES], 'text')
    source = write(tmp_path / 'source', files)
    (tmp_path / 'source' / 'empty folder').mkdir()
    copies.copy_tree(source, 'obs://b/out')
    assert read(buckets / 'b' / 'out') == files
    (buckets / 'b' / 'out' / 'empty folder').mkdir()
    assert copies.list_files('s3://b/out') == {name: 4 for name in files}
    copies.copy_tree('obs://b/out', str(tmp_path / 'back'))
    assert read(tmp_path / 'back') == files
    copies.copy_tree('obs://b/out', 's3://b/again')
    assert read(buckets / 'b' / 'again') == files
    assert copies.exists('obs://b/out') and not copies.exists('obs://b/none')


def test_many_files_come_by_one_parallel_copy(buckets, tmp_path):
    files = {'{}/{}.txt'.format(number % 3, number): 'x' * number for number in range(40)}
    write(buckets / 'b' / 'many', files)
    assert copies.copy_tree('obs://b/many', str(tmp_path / 'target')).files == 40
    assert read(tmp_path / 'target') == files
    assert calls(buckets).count('copy_parallel') == 1 and 'copy' not in calls(buckets)


@pytest.mark.parametrize('fault', ['every_other', 'truncate_once', 'hang_once'])
@pytest.mark.parametrize('count', [3, 40])
def test_faults_that_pass_are_overcome(fault, count, buckets, tmp_path, monkeypatch):
    monkeypatch.setenv('FAKE_OBS_FAULT', fault)
    # Long enough for the start of moxing's process on a busy machine, which is no hang.
    patience = storage.Patience(timeout=4.0 if fault == 'hang_once' else 60.0)
    files = {'{}.txt'.format(number): 'some text' for number in range(count)}
    write(buckets / 'b' / 'in', files)
    copies.copy_tree('obs://b/in', str(tmp_path / 'target'), patience=patience)
    assert read(tmp_path / 'target') == files
    if count == 3:
        (buckets.parent / 'calls.txt').write_text('')
        copies.copy_tree(str(tmp_path / 'target'), 'obs://b/out', patience=patience)
        assert read(buckets / 'b' / 'out') == files


def test_storage_that_fails_half_its_calls_is_overcome(buckets, tmp_path, monkeypatch):
    monkeypatch.setenv('FAKE_OBS_FAULT', 'half')
    files = {'{}.txt'.format(number): 'some text' for number in range(12)}
    copies.copy_tree(write(tmp_path / 'source', files), 'obs://b/out')
    assert read(buckets / 'b' / 'out') == files
    copies.copy_tree('obs://b/out', str(tmp_path / 'target'))
    assert read(tmp_path / 'target') == files
    assert len(calls(buckets)) > 2 * 12 * 3


def test_failures_count_for_one_operation_and_the_pauses_grow(monkeypatch, capsys):
    pauses = []
    monkeypatch.setattr(storage.time, 'sleep', pauses.append)
    attempts = storage.Attempts('obs://b/in', 10)
    for _ in range(5):
        attempts.failed(storage.Failed('refused'))
    attempts.succeeded()
    for _ in range(4):
        attempts.failed(storage.Failed('refused'))
    assert pauses == [0.5, 1, 2, 4, 8, 0.5, 1, 2, 4]
    assert capsys.readouterr().out == 'note: obs://b/in: refused; trying again in 8 s\n'
    with pytest.raises(errors.InputError, match='refused .gave up after 10 attempts'):
        attempts.failed(storage.Failed('refused'))


@pytest.mark.parametrize('fault, message', [
    ('always', r'failed at "exists": ConnectionError.*gave up after 2 attempts'),
    ('truncate', r'did not arrive whole \(2 of 4 bytes\) \(gave up after 2 attempts'),
    ('hang', 'no sign of life for 1 s'), ('full', 'disk that holds .* is full')])
def test_faults_that_stay_are_told_and_no_part_is_left(fault, message, buckets, tmp_path,
                                                       monkeypatch):
    monkeypatch.setenv('FAKE_OBS_FAULT', fault)
    write(buckets / 'b' / 'in', {'a.txt': 'text'})
    with pytest.raises(errors.InputError, match=message):
        copies.copy_tree('obs://b/in', str(tmp_path / 'target'), patience=storage.Patience(2, 1.0))
    assert read(tmp_path / 'target') == {}


def test_an_upload_cut_short_is_never_under_its_final_name(buckets, tmp_path, monkeypatch):
    monkeypatch.setenv('FAKE_OBS_FAULT', 'truncate')
    with pytest.raises(errors.InputError, match='did not arrive whole'):
        copies.copy_tree(write(tmp_path / 'in', {'a.txt': 'text'}), 'obs://b/out',
                         patience=storage.Patience(2))
    assert list(read(buckets / 'b' / 'out')) == ['.part-upload/a.txt']
    monkeypatch.delenv('FAKE_OBS_FAULT')
    assert copies.list_files('obs://b/out') == {}
    copies.copy_tree(str(tmp_path / 'in'), 'obs://b/out')
    assert read(buckets / 'b' / 'out') == {'a.txt': 'text'}


def test_storage_that_renames_onto_no_older_file_gets_a_copy(buckets, tmp_path, monkeypatch):
    monkeypatch.setenv('FAKE_OBS_FAULT', 'no_overwrite')
    source = write(tmp_path / 'in', {'checkpoint': 'older'})
    copies.copy_tree(source, 'obs://b/out', patience=storage.Patience(2))
    write(tmp_path / 'in', {'checkpoint': 'newest'})
    copies.copy_tree(source, 'obs://b/out', patience=storage.Patience(2))
    assert read(buckets / 'b' / 'out') == {'checkpoint': 'newest'}


def test_a_long_listing_is_no_hanging_one(buckets, monkeypatch):
    monkeypatch.setenv('FAKE_OBS_FAULT', 'slow_listing')
    files = {'{}.txt'.format(number): 'text' for number in range(120)}
    write(buckets / 'b' / 'in', files)      # 120 sizes of 0.3 s, 16 at a time
    sizes = copies.list_files('obs://b/in', storage.Patience(1, 1.5))
    assert sizes == dict.fromkeys(files, 4)


def test_a_broken_moxing_is_told_as_it_is(buckets, tmp_path, monkeypatch):
    write(tmp_path / 'broken', {'moxing/__init__.py': 'raise RuntimeError("no region is set")'})
    monkeypatch.setenv('PYTHONPATH', str(tmp_path / 'broken'))
    with pytest.raises(errors.InputError, match='cannot be used: RuntimeError: no region is set'):
        copies.exists('obs://b/in')


def test_a_machine_out_of_processes_or_of_room_is_told_in_a_line(buckets, tmp_path, monkeypatch):
    source = write(tmp_path / 'in', {'checkpoint': 'list'})

    def fail(*args, **kwargs):
        raise OSError(errno.ENOMEM, 'Cannot allocate memory')

    with monkeypatch.context() as patch:
        patch.setattr(copies.tempfile, 'mkdtemp', fail)
        with pytest.raises(errors.InputError, match='no temporary folder .*: Cannot allocate'):
            copies.copy_tree(source, 'obs://b/out')
    monkeypatch.setattr(storage.subprocess, 'Popen', fail)
    with pytest.raises(errors.InputError, match='can be started: .*Cannot allocate memory'):
        copies.exists('obs://b/out', storage.Patience(2))


def test_names_that_lead_out_are_refused_and_the_others_copied(buckets, tmp_path, monkeypatch):
    write(buckets, {'stolen.txt': 'secret'})
    write(buckets / 'b' / 'in', {'a.txt': 'text'})
    monkeypatch.setenv('FAKE_OBS_FAULT', 'traversal')
    with pytest.raises(errors.InputError, match='lead out of the folder: .*stolen'):
        copies.copy_tree('obs://b/in', str(tmp_path / 'x' / 'target'))
    assert read(tmp_path / 'x') == {'target/a.txt': 'text'}
    with pytest.raises(errors.InputError, match='leads out of its bucket'):
        copies.copy_tree('obs://b/../c', str(tmp_path / 'target'))


def test_links_out_of_source_or_target_are_refused(tmp_path):
    write(tmp_path, {'outside/secret.txt': 'secret'})
    source = write(tmp_path / 'source', {'a.txt': 'text', 'deep/b.txt': 'text'})
    os.symlink('a.txt', os.path.join(source, 'inner.txt'))
    os.symlink('../outside/secret.txt', os.path.join(source, 'stolen.txt'))
    os.symlink(str(tmp_path / 'outside'), os.path.join(source, 'stolen'))
    with pytest.raises(errors.InputError, match="lead out of the folder: stolen, stolen.txt"):
        copies.copy_tree(source, str(tmp_path / 'target'))
    assert read(tmp_path / 'target') == {'a.txt': 'text', 'deep/b.txt': 'text', 'inner.txt': 'text'}
    trap = write(tmp_path / 'trap', {'c.txt': ''})
    os.symlink(str(tmp_path / 'outside'), os.path.join(trap, 'deep'))
    os.unlink(os.path.join(source, 'stolen'))
    os.unlink(os.path.join(source, 'stolen.txt'))
    with pytest.raises(errors.InputError, match='by a link'):
        copies.copy_tree(source, trap)
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
        copies.copy_tree(url, 'target')
    assert 'pass' not in str(caught.value)


def test_without_moxing_a_bucket_is_an_error_that_names_it(tmp_path):
    with pytest.raises(errors.InputError, match='need the package moxing'):
        copies.copy_tree('obs://b/in', str(tmp_path))


def test_the_same_folder_is_left_alone_and_a_folder_inside_refused(tmp_path):
    source = write(tmp_path / 'source', {'a.txt': 'text'})
    assert copies.copy_tree(source, 'file://' + source + '/') == (0, 0, 0.0)
    with pytest.raises(errors.InputError, match='lies inside'):
        copies.copy_tree(source, os.path.join(source, 'below'))
    assert read(source) == {'a.txt': 'text'}


def test_a_full_disk_is_told_before_and_while_copying(tmp_path, monkeypatch):
    source, target = write(tmp_path / 'source', {'a.txt': 'text'}), tmp_path / 'target'
    usage = shutil.disk_usage(source)._replace(free=3)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, 'disk_usage', lambda path: usage)
        with pytest.raises(errors.InputError, match=r'is full \(0.0 MB free, 0.0 MB needed\)'):
            copies.copy_tree(source, str(target))

    def copyfile(source, path):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(shutil, 'copyfile', copyfile)
    with pytest.raises(errors.InputError, match='is full'):
        copies.copy_tree(source, str(target))
    assert read(target) == {} and os.listdir(str(target)) == []


def test_credentials_of_the_environment_are_never_told(buckets, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv('FAKE_OBS_FAULT', 'leak')
    monkeypatch.setenv('OBS_SECRET_ACCESS_KEY', 'hunter2hunter2')
    with pytest.raises(errors.InputError, match=r'signed with \*\*\*') as caught:
        copies.copy_tree('obs://b/in', str(tmp_path / 'target'), patience=storage.Patience(2))
    assert 'hunter2' not in str(caught.value) + ''.join(capfd.readouterr())


def test_only_what_has_changed_is_copied_again(tmp_path):
    source = write(tmp_path / 'source', {'a.txt': 'text', 'b.txt': 'text'})
    known = {}
    assert copies.copy_tree(source, str(tmp_path / 'target'), known=known).files == 2
    assert copies.copy_tree(source, str(tmp_path / 'target'), known=known).files == 0
    write(source, {'b.txt': 'more text'})
    assert copies.copy_tree(source, str(tmp_path / 'target'), known=known).files == 1
    assert read(tmp_path / 'target')['b.txt'] == 'more text'


def test_files_to_skip_are_left_out(tmp_path):
    source = write(tmp_path / 'source', {'a.txt': 'text', '.lock': '1'})
    copies.copy_tree(source, str(tmp_path / 'target'), skip=lambda name: name.startswith('.'))
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
    copies.copy_tree(source, str(tmp_path / 'target'))
    assert order == ['model-1.data', 'z.txt', 'model-1.index']
    assert read(tmp_path / 'target')['checkpoint'] == 'model-1'


def test_a_list_written_anew_while_the_files_are_listed_comes_with_the_next_copy(
        tmp_path, monkeypatch):
    source = write(tmp_path / 'in', {'checkpoint': 'model-55', 'model-55.index': ''})
    listed = []

    def and_a_checkpoint_comes(self):
        listed.append(self)
        if len(listed) == 2:    # the list of checkpoints has been read
            write(source, {'checkpoint': 'model-60', 'model-60.index': ''})
        return files(self)

    files = copies._Folder.files
    monkeypatch.setattr(copies._Folder, 'files', and_a_checkpoint_comes)
    known = {}
    copies.copy_tree(source, str(tmp_path / 'target'), known=known)
    assert read(tmp_path / 'target')['checkpoint'] == 'model-55'
    copies.copy_tree(source, str(tmp_path / 'target'), known=known)
    assert read(tmp_path / 'target')['checkpoint'] == 'model-60'


def test_a_file_that_goes_while_it_is_copied_makes_another_round(tmp_path, monkeypatch):
    source = write(tmp_path / 'source', {'a.data': 'd', 'b.data': 'd'})
    copyfile = shutil.copyfile

    def training_goes_on(source_path, path):
        if os.path.exists(os.path.join(source, 'b.data')):
            os.remove(os.path.join(source, 'b.data'))
            write(source, {'c.data': 'd'})
        return copyfile(source_path, path)

    monkeypatch.setattr(shutil, 'copyfile', training_goes_on)
    assert copies.copy_tree(source, str(tmp_path / 'target')).files == 2
    assert sorted(read(tmp_path / 'target')) == ['a.data', 'c.data']


def test_a_log_that_grows_meanwhile_is_no_error(tmp_path, monkeypatch):
    source = write(tmp_path / 'source', {'a.log': 'line\n'})
    copyfile = shutil.copyfile

    def grows(source_path, path):
        with open(source_path, 'a') as stream:
            stream.write('line\n')
        return copyfile(source_path, path)

    monkeypatch.setattr(shutil, 'copyfile', grows)
    assert copies.copy_tree(source, str(tmp_path / 'target')).bytes == 10


def test_a_long_copy_tells_how_far_it_is(capsys):
    progress = copies._Progress(4, every=0.01)
    time.sleep(0.02)
    progress.tell({'a': 1000000, 'b': 500000})
    progress.tell({'a': 1000000, 'b': 500000, 'c': 1})
    assert capsys.readouterr().out == 'copying: 2 of 4 files, 1.5 MB\n'
