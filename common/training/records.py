"""What a run writes down: metrics.jsonl, first_steps.jsonl, TensorBoard's events, its options."""
import argparse
import json
import os
import struct
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from common import files, redact
from common.ops import runtime  # noqa: F401  # TensorFlow 2 in graph mode
from common.pages import figures
from common.readers import text

FIRST = 'first_steps.jsonl'     # losses of the first steps, all of them, to rebuild a run by
FIRST_STEPS = 10


def read_metrics(path: str) -> List[Dict[str, Any]]:
    """Reads a metrics.jsonl file; a last line cut short by a killed run is left out.

    Args:
      path: str; a file that does not exist counts as empty.
    Returns:
      list of dicts, each with "step".
    Raises:
      errors.InputError: it may not be read, or is no regular file.
    """
    if not os.path.exists(path):
        return []
    rows = []
    for row in text.read_json_rows(path, 'the rows of a run', 'Remove it to let them start anew.'):
        if row is None:
            break  # A torn line is the last one; the resumed run writes it anew.
        if isinstance(row, dict) and isinstance(row.get('step'), int):
            rows.append(row)    # others are not of a run
    return rows


class Recorder:
    """Appends rows to metrics.jsonl and scalars to TensorBoard's event files.

    Args:
      folder: str, where `metrics.jsonl` and `events*` lie.
      start_step: int, the step the run goes on from; recorded rows beyond it are dropped.
    """

    def __init__(self, folder: str, start_step: int = 0):
        self.path = os.path.join(folder, 'metrics.jsonl')
        self._folder = folder
        self._start_step = start_step
        self._writer: Any = None
        rows = [row for row in read_metrics(self.path) if row['step'] <= start_step]
        files.write_text(self.path, ''.join(json.dumps(row) + '\n' for row in rows))
        # What is measured again at the step that the run goes on from.
        self._recorded = {json.dumps(row) for row in rows if row['step'] == start_step}

    def add(self, step: int, values: Dict[str, float]) -> None:
        """Records the numbers of one step.

        Args:
          step: int.
          values: dict {name: int or float}.
        """
        line = json.dumps(dict(values, step=step))
        if line in self._recorded:
            return
        with open(self.path, 'a', encoding='utf-8') as stream:
            stream.write(line + '\n')
        self._summarize(step, tf.Summary(value=[
            tf.Summary.Value(tag=name, simple_value=value) for name, value in values.items()]))

    def add_first(self, step: int, values: Dict[str, float]) -> None:
        """Records the losses of one of the first steps in first_steps.jsonl, reported or not.

        Args:
          step: int, from 1; values: dict {name: number}.
        """
        if step > FIRST_STEPS:
            return
        path = os.path.join(self._folder, FIRST)
        rows = [row for row in read_metrics(path) if row['step'] < step]
        files.write_text(path, ''.join(json.dumps(row) + '\n'
                                       for row in rows + [dict(values, step=step)]))

    def show(self, step: int, tag: str, picture: str,
             mesh: Optional[Tuple[np.ndarray, np.ndarray]] = None) -> None:
        """Shows a picture, and a mesh in the tab of TensorBoard's mesh plugin where that is there.

        Args:
          step: int; tag: str; picture: str, a .png file.
          mesh: (vertices [V, 3], triangles [T, 3]), or None.

        What is made again at the step that the run goes on from was shown before.
        """
        if step <= self._start_step:
            return
        with open(picture, 'rb') as stream:
            data = stream.read()
        width, height = struct.unpack('>II', data[16:24])   # of a PNG's first chunk
        self._summarize(step, tf.Summary(value=[tf.Summary.Value(tag=tag, image=tf.Summary.Image(
            width=width, height=height, colorspace=4, encoded_image_string=data))]))
        if mesh is None or not len(mesh[1]):
            return
        try:
            from tensorboard.plugins.mesh import summary
        except ImportError:     # TensorFlow 2 comes without TensorBoard
            return
        vertices, triangles = figures.decimated(np.asarray(mesh[0], np.float64),
                                                np.asarray(mesh[1]))
        self._summarize(step, tf.Summary.FromString(summary.pb(
            tag + '_mesh', vertices[None].astype(np.float32),
            triangles[None].astype(np.int32)).SerializeToString()))

    def _summarize(self, step, summary):
        if self._writer is None:
            self._writer = tf.summary.FileWriter(self._folder)
            # Tells TensorBoard to drop what a run that was cut off had shown beyond this step.
            self._writer.add_session_log(
                tf.SessionLog(status=tf.SessionLog.START), self._start_step + 1)
        self._writer.add_summary(summary, step)
        self._writer.flush()

    def close(self) -> None:
        """Writes what is still in memory."""
        if self._writer is not None:
            self._writer.close()


def num_parameters(variables: Sequence[tf.Variable]) -> int:
    """Counts the numbers that a list of variables holds."""
    return sum(variable.shape.num_elements() for variable in variables)


def options_of(options: argparse.Namespace) -> Dict[str, Any]:
    """Returns the options of a namespace as JSON values, without those that hold secrets."""
    return {name: _json_value(value) for name, value in vars(options).items()
            if not redact.is_secret(name)}


def _json_value(value):
    if isinstance(value, (list, tuple)):
        return [_json_value(part) for part in value]
    if isinstance(value, dict):
        return {str(key): _json_value(part) for key, part in value.items()}
    if isinstance(value, (bool, int, float, type(None))):
        return value
    return redact.url(str(value))
