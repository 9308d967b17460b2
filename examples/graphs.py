"""Where the scripts of this folder take frozen graphs from: a folder, or the weights that ship."""
import hashlib
import os
from typing import Sequence

from common import cli, collection, errors

FOLDER = 'pb_model'
UNSET = ('unset: those in {}, else the weights that ship with the model are frozen, once'
         .format(FOLDER))


def find(model: str, names: Sequence[str], given: str, om: str) -> str:
    """Returns the folder of a model's frozen graphs; freezes the weights that ship if need be.

    Args:
      model: str, of `collection.NAMES`; names: files that are to be there.
      given: str, folder that the user named, or ''; om: str, of --om, which needs its own graphs.
    Raises:
      errors.InputError: the weights could not be frozen.
    """
    from common.training import pretrained, weight_files  # here, since --help needs none of them
    if given or om or any(os.path.exists(os.path.join(FOLDER, name)) for name in names):
        return given or FOLDER
    shipped = os.path.join(collection.ROOT, model, pretrained.FOLDER)
    if not pretrained.available(shipped):
        return FOLDER
    with open(os.path.join(shipped, weight_files.MANIFEST), 'rb') as stream:
        digest = hashlib.sha256(stream.read()).hexdigest()[:8]
    folder = os.path.join(FOLDER, '{}-pretrained-{}'.format(model, digest))
    cli.say('note: no --graphs, and none of {} in {}: taking the weights that ship, frozen in {} '
            '({} says what to expect)'.format(model, FOLDER, folder, os.path.join(
                shipped, pretrained.CARD)))
    if not all(os.path.exists(os.path.join(folder, name)) for name in names):
        import freeze_graph
        if freeze_graph.main(['--model=' + model, '--pretrained', '--output=' + folder,
                              '--device=cpu']):
            raise errors.InputError('the weights that ship with {} could not be frozen. Freeze '
                                    'others by freeze_graph.py, and give --graphs.'.format(model))
    return folder
