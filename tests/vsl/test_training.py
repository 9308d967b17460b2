"""Tests of vsl/training.py."""
import types

from common import device
from vsl import training


def test_a_process_without_figures_draws_no_curves(tmp_path, monkeypatch):
    monkeypatch.setattr(device, '_ranks', device.Ranks('hccl', 1, 2, 1))
    training.draw_curves(types.SimpleNamespace(output_path=str(tmp_path)))
    assert list(tmp_path.iterdir()) == []
