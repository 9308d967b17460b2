"""Special files: every reader answers what is no data file in one line, at once."""
import os
import tempfile

import pytest

from tests import fuzz, special_files

# Where a file may be missing or damaged: what is beside it, or nothing, is taken.
_LENIENT = {'body_note', 'checkpoint_list', 'page_metrics', 'page_picture', 'page_table', 'results'}
_NOBODY = 65534
_ODD = 'odd \x1b[31m\nname'


def _as_nobody(reader, monkeypatch):
    """Lets a reader read without the rights of the superuser, who may read everything."""
    read = fuzz.READERS[reader].read

    def call(path):
        if os.path.isfile(path) and not os.stat(path).st_mode & 0o777:
            os.seteuid(_NOBODY)
        try:
            return read(path)
        finally:
            os.seteuid(0)

    monkeypatch.setitem(fuzz.READERS, reader, fuzz.READERS[reader]._replace(read=call))


@pytest.mark.parametrize('reader', sorted(fuzz.READERS))
def test_every_reader_answers_what_is_no_data_file_in_one_line(reader, monkeypatch):
    if os.geteuid() == 0:
        _as_nobody(reader, monkeypatch)
    monkeypatch.setattr(fuzz, '_CLOCK', 30)
    fuzz.child.start()
    kinds = sorted(special_files.MAKERS, key=lambda kind: (kind == 'unreadable', kind))
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        odd = os.path.join(folder, _ODD)
        os.mkdir(odd)
        found = dict(zip(kinds, fuzz.outcomes(
            reader, [special_files.MAKERS[kind] for kind in kinds], odd)))
    assert set(found) == set(kinds)
    assert {kind: one for kind, one in found.items() if one not in ('value', 'refused')} == {}
    taken = {kind for kind in special_files.NEVER if found[kind] == 'value'}
    assert not taken or reader in _LENIENT
