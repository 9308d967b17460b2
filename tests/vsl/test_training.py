"""Tests of vsl/training.py."""
import types

from common.device import ranks
from common.training import launch
from vsl import training


def test_a_process_without_figures_draws_no_curves(tmp_path):
    context = launch.Context(ranks=ranks.Ranks('hccl', 1, 2, 1))
    training.draw_curves(types.SimpleNamespace(output_path=str(tmp_path)), context)
    assert list(tmp_path.iterdir()) == []


def test_curves_leave_out_a_last_line_cut_short_by_a_killed_run(tmp_path):
    (tmp_path / 'metrics.jsonl').write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    training.draw_curves(types.SimpleNamespace(output_path=str(tmp_path), eval_dir=str(tmp_path)),
                         launch.Context())
    assert (tmp_path / 'losses.png').exists() and not (tmp_path / 'measures.png').exists()
