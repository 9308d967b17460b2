"""The newcomer's trial: commands read from the READMEs, the same in both languages, and all run."""
import os
import subprocess
import sys

import pytest

from tests import trial


@pytest.mark.parametrize('part', (trial.PROJECT,) + trial.MODELS)
def test_both_languages_show_the_same_commands(part):
    commands = trial.commands(trial.ROOT, part)
    assert commands == trial.commands(trial.ROOT, part, 'README_CN.md')
    if part != trial.PROJECT:
        assert any(part + '/test/train_full_1p.sh' in command for command in commands)


def test_a_readme_without_commands_is_an_error(tmp_path):
    (tmp_path / 'README.md').write_text('## Two commands\n\nnone\n\n## Other\n\n```bash\nls\n```\n')
    with pytest.raises(ValueError, match='no ```bash command'):
        trial.commands(str(tmp_path), trial.PROJECT)


def test_run_tells_exit_code_and_memory(tmp_path):
    code, seconds, peak = trial.run(
        '{} -c "x = bytes([1]) * 2 ** 28; import time; time.sleep(3)"; exit 4'.format(
            sys.executable), str(tmp_path), subprocess.DEVNULL)
    assert code == 4 and seconds > 3 and 256 < peak < 400


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir(os.path.join(trial.ROOT, '.git')), reason='no repository')
@pytest.mark.parametrize('part', trial.MODELS)
def test_quick_start_runs_in_a_clone_and_leaves_pictures_meshes_and_graphs(part, tmp_path):
    environment = os.path.join(trial.ROOT, '.venv')
    more = ['--environment', environment] if os.path.isdir(environment) else []
    assert trial.main(['--folder', str(tmp_path / 'clone'), '--parts', part] + more) == 0
