"""Tests of common/redact.py."""
import pytest

from common import redact


@pytest.mark.parametrize('name, expected', [
    ('OBS_SECRET_ACCESS_KEY', True), ('--secretAccessKey', True), ('accesskey', True),
    ('db_passwd', True), ('--dbPassword', True), ('ak', True), ('MA_TOKEN', True),
    ('authtoken', True), ('--keypoints', False), ('--max_face_tokens', False), ('seed', False),
    ('--mask_views', False), ('--keep_checkpoints', False)])
def test_names_of_credentials_are_told_from_others(name, expected):
    assert redact.is_secret(name) == expected


def test_a_command_line_shows_no_credential():
    assert redact.command([
        'a.py', '--secretkey=s3cr3t', '--token', 's3cr3t', '--seed=1', 'obs://b/x?Signature=s3cr3t',
        '--data_url=https://user:s3cr3t@host/x']) == [
            'a.py', '--secretkey=***', '--token', '***', '--seed=1', 'obs://b/x',
            '--data_url=https://***@host/x']


def test_a_message_shows_no_value_of_a_secret_variable(monkeypatch):
    monkeypatch.setenv('MY_SECRET', 's3cr3t')
    assert redact.message('denied: s3cr3t at https://host/x?a=s3cr3t') == (
        'denied: *** at https://host/x')
