"""Which step each result of a run is of: exported weights, pictures, figures, frozen graphs.

A kill may fall between the last checkpoint and what is written behind it. `results.json` in the
output folder, {name: {"step": 200, "files": [...]}}, tells the next run what is missing or older.
"""
import os
from typing import Any, Callable, Dict, Optional, Sequence

from common import errors, files
from common.readers import text

FILE = 'results.json'


def of_folder(path: str) -> 'Results':
    """Opens the record of an output folder that no run holds, such as that of an evaluation alone.

    The folder is made where it does not exist.

    Raises:
      errors.InputError: it cannot be made.
    """
    files.make_folder(path)
    return Results(path)


class Results:
    """The record of an output folder; without a folder (another process writes) it does nothing.

    Args:
      folder: str or None.
      last_step: int, the step the run goes on from; results of later steps count as missing. None:
        all count.
    """

    def __init__(self, folder: Optional[str], last_step: Optional[int] = None):
        self._folder = folder
        self._rows: Dict[str, Any] = {}
        if folder is None:
            return
        rows = _read(os.path.join(folder, FILE))
        self._rows = {name: row for name, row in rows.items()
                      if last_step is None or 0 < row['step'] <= last_step}
        if self._rows != rows:
            self._write()

    def is_of(self, name: str, step: Optional[int]) -> bool:
        """Says whether a result is there, with all its files, and of a step."""
        row = self._rows.get(name)
        return row is not None and row['step'] == step and all(
            os.path.exists(os.path.join(self._folder or '', path)) for path in row['files'])

    def once(self, name: str, step: Optional[int], write: Callable[[], Optional[Sequence[str]]],
             again: bool = False) -> bool:
        """Writes a result unless it is there and of this step; then records it.

        Args:
          name: str, such as 'weights.npy'.
          step: int, the step of the variables that it is made of. None: of others than those of
            this run; it is written, and what was recorded of it no longer holds.
          write: function () -> the files that it wrote, or None; each appears as a whole.
          again: bool, whether it is written in any case.
        Returns:
          bool, whether it was written.
        """
        if self._folder is None or (self.is_of(name, step) and not again):
            return False
        if not os.path.isdir(self._folder):
            raise errors.InputError('the folder {} is gone: it was removed or renamed while the '
                                    'run wrote to it. Give the same command again.'.format(
                                        self._folder))
        before = self._rows.pop(name, None)
        if before and step is None:
            self._write()
        paths = write() or ()
        if step is not None:
            self._rows[name] = {'step': step, 'files': [os.path.relpath(path, self._folder)
                                                        for path in paths]}
            self._write()
        return True

    def _write(self):
        files.write_json(os.path.join(self._folder, FILE), self._rows)


def _read(path):
    """The rows of a record; those that are damaged count as missing."""
    if not os.path.exists(path):
        return {}
    try:
        rows = text.read_json(path)
    except errors.InputError:
        return {}
    return {name: row for name, row in (rows.items() if isinstance(rows, dict) else ())
            if isinstance(row, dict) and isinstance(row.get('step'), int)
            and isinstance(row.get('files'), list)
            and all(isinstance(name, str) for name in row['files'])}
