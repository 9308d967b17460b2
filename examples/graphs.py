"""Where the scripts of this folder take frozen graphs from: a folder, or the weights that ship."""
import os
import subprocess
import sys
from typing import Sequence

from common import cli, errors

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = 'pb_model'
UNSET = ('unset: those in {}, else the weights that ship with the model are frozen, once'
         .format(FOLDER))


def find(model: str, names: Sequence[str], given: str, om: str) -> str:
    """Returns the folder of a model's frozen graphs; freezes the weights that ship if need be.

    Args:
      model: str, its folder; names: files that are to be there.
      given: str, folder that the user named, or ''; om: str, of --om, which needs its own graphs.
    Raises:
      errors.InputError: the weights could not be frozen.
    """
    from common.training import pretrained, weight_files  # here, since --help needs none of them
    if given or om or any(os.path.exists(os.path.join(FOLDER, name)) for name in names):
        return given or FOLDER
    shipped = os.path.join(_ROOT, model, pretrained.FOLDER)
    if not pretrained.available(shipped):
        return FOLDER
    digest = weight_files.digest(os.path.join(shipped, weight_files.MANIFEST))[:8]
    folder = os.path.join(FOLDER, '{}-pretrained-{}'.format(model, digest))
    cli.say('note: no --graphs, and none of {} in {}: taking the weights that ship, frozen in {} '
            '({} says what to expect)'.format(model, FOLDER, folder, os.path.join(
                shipped, pretrained.CARD)))
    if not all(os.path.exists(os.path.join(folder, name)) for name in names):
        sys.stdout.flush()
        command = [sys.executable, os.path.join(_ROOT, 'freeze_graph.py'), '--model=' + model,
                   '--pretrained', '--output=' + folder, '--device=cpu']
        if subprocess.run(command, stdin=subprocess.DEVNULL).returncode:
            raise errors.InputError('the weights that ship with {} could not be frozen. Freeze '
                                    'others by freeze_graph.py, and give --graphs.'.format(model))
    return folder
