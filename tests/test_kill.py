"""The kills of tests/kill.py, a few of the toy; by hand more of all models."""
import json
import os
import subprocess
import sys

import pytest

from tests import kill

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def run(folder, kills):
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-m', 'tests.kill', '--model=toy', '--folder', str(folder),
         '--kills', str(kills)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        universal_newlines=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow      # a SIGINT while Python ends still prints a traceback, rarely
def test_killed_runs_of_the_toy_end_equal_to_the_unbroken_one_and_the_count_goes_on(tmp_path):
    code, text = run(tmp_path, 5)
    assert code == 0 and 'toy: 5 kills' in text, text
    code, text = run(tmp_path, 8)
    assert code == 0 and 'toy: 8 kills' in text, text


def test_what_a_kill_could_leave_is_a_finding(tmp_path):
    code, text = run(tmp_path, 0)
    assert code == 0, text
    folder = tmp_path / 'toy'
    case = kill.Case(None, [], [''])

    def findings():
        return kill.differences(case, str(folder / 'other'), str(folder / 'unbroken'),
                                {'report.html'})      # it has times in it

    assert findings() == []
    (folder / 'other' / 'eval' / '.mean.tmp-12345678.json').write_text('half')
    assert any('temporary' in line for line in findings())
    (folder / 'other' / 'eval' / '.mean.tmp-12345678.json').unlink()
    record = folder / 'other' / 'results.json'
    record.write_text(json.dumps({'mean': {'step': 3, 'files': ['eval/mean.json']}}))
    assert findings() == ['differs: results.json']
    (folder / 'other' / 'eval' / 'mean.json').unlink()
    assert 'missing: eval/mean.json' in findings()


@pytest.mark.parametrize('name', sorted(kill.CASES))
def test_every_model_can_be_killed(name):
    from common import collection
    assert name == 'toy' or name.split('-')[0] in [model.name for model in collection.MODELS]
    assert {model.name for model in collection.MODELS} < set(kill.CASES)
