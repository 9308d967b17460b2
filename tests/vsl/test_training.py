"""Tests of vsl/training.py."""
import types

from vsl import training


def a_run(folder):
    return types.SimpleNamespace(output_path=str(folder), eval_dir=str(folder))


def test_without_figures_no_curves_are_drawn(tmp_path):
    assert training.draw_curves(a_run(tmp_path)) == [] and list(tmp_path.iterdir()) == []


def test_curves_leave_out_a_last_line_cut_short_by_a_killed_run(tmp_path):
    (tmp_path / 'metrics.jsonl').write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    training.draw_curves(a_run(tmp_path))
    assert (tmp_path / 'losses.png').exists() and not (tmp_path / 'measures.png').exists()
