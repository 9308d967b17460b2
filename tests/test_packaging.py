"""Version, change log, conda environment and image go by the same lock and the same setup.sh."""
import os
import re

import pytest
import yaml

import common

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def text(name):
    with open(os.path.join(ROOT, name), encoding='utf-8') as stream:
        return stream.read()


def test_the_change_log_begins_with_the_version():
    assert re.findall(r'^## (\d+\.\d+\.\d+)', text('CHANGELOG.md'), re.M)[0] == common.__version__
    others = [name for name in ('pyproject.toml', 'setup.sh', 'environment.yml', 'Dockerfile')
              if common.__version__ in text(name)]
    assert others == []     # one place


@pytest.mark.parametrize('name', ['requirements.txt', 'requirements-tf2.txt'])
def test_the_lock_is_complete_and_pins_every_package(name):
    lines = [line for line in text(name).splitlines() if line and not line.startswith('#')]
    assert len(lines) > 40
    assert all(re.fullmatch(r'[\w.-]+==[\w.]+(; .*)?', line) for line in lines)
    assert len({line.split('==')[0].lower() for line in lines}) == len(lines)


@pytest.mark.parametrize('name, lock, python, tools', [
    ('environment.yml', 'requirements.txt', '3.7', 'tools'),
    ('environment-tf2.yml', 'requirements-tf2.txt', '3.12', 'tools_2')])
def test_the_conda_environment_takes_the_lock_and_the_tools_of_setup_sh(name, lock, python, tools):
    environment = yaml.safe_load(text(name))
    *pins, packages = environment['dependencies']
    assert packages == {'pip': ['-r ' + lock]}
    tools = re.search(r'^{}=\((.*?)\)'.format(tools), text('setup.sh'), re.M).group(1).split()
    assert pins == ['python=' + python] + [tool.replace('==', '=') for tool in tools]
    assert 'PIP_NO_DEPS=1 conda env create -f ' + name in text(name)


def test_the_image_is_made_by_setup_sh_from_the_locks_alone():
    steps = [line.split(None, 1) for line in text('Dockerfile').splitlines()
             if line and not line.startswith('#')]
    assert steps[:2] == [['ARG', 'PYTHON=python:3.7-slim-bullseye'], ['FROM', '$PYTHON']]
    assert '--build-arg PYTHON=python:3.12-slim ' in text('Dockerfile')
    assert [argument for name, argument in steps if name == 'RUN'] == ['bash setup.sh']
    copied = [argument for name, argument in steps if name == 'COPY']
    assert copied == ['setup.sh requirements.txt requirements-tf2.txt ./', '. .']
    # What lies in the image must not be overwritten by what lies in the folder.
    ignored = set(text('.dockerignore').split())
    assert {'.venv', '.venv-tf1', '.venv-tf2', '.git', '**/output'} <= ignored
    assert ['ENV', 'PATH=/project/.venv/bin:$PATH'] in steps and ['WORKDIR', '/project'] in steps
