"""What a training of PolyGen starts from: networks of other runs, or parts of them."""
from typing import Dict, List, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, errors
from common.training import checkpoints
from polygen import conditions, networks
from polygen import options as options_lib

# The tables of positions: their rows are --max_vertices and --max_face_tokens.
_POSITIONS = {'face_model': 'coord_embeddings/embeddings',
              'vertex_model': 'coord_embeddings_1/embeddings'}


class Start:
    """What is taken from other runs before the first step.

    A face model is taken as it is and not trained; a decoder is a start. `runs.start` takes all of
    --checkpoint but what is told here: embeddings of other classes begin anew, tables of positions
    keep the rows that both sizes have.

    Attributes:
      notes: lines to print.
      anew: names of the variables that are not to be taken from --checkpoint.
    """

    def __init__(self, options: cli.Options, models: networks.Models):
        """
        Raises:
          errors.InputError: no such model there, or one of other sizes.
        """
        self._values: Dict[tf.Variable, np.ndarray] = {}
        self._face: Tuple[str, Sequence[tf.Variable]] = ('', ())
        self.notes: List[str] = []
        self.anew: List[str] = []
        if options.checkpoint:
            prefix = checkpoints.latest(options.checkpoint)
            self._values.update(resized_tables(prefix, {
                variable: variable.op.name
                for variable in list(models.vertex.variables) + list(models.face.variables)}))
            self.anew = [table.op.name for table in self._values] + _of_other_classes(options)
        if options.face_checkpoint:
            self._face = checkpoints.latest(options.face_checkpoint), models.face.variables
        if options.decoder_checkpoint:
            values, note = decoder_start(options, models.vertex.variables)
            self._values.update(values)
            self.notes.append(note)
        self._partial = [variable for variable, value in self._values.items()
                         if list(value.shape) != variable.shape.as_list()]
        self.notes += ['{}: {} of {} rows are taken over'.format(
            table.op.name, len(self._values[table]), table.shape[0]) for table in self._partial]

    def set(self, sess: tf.Session) -> None:
        """Sets the variables, which have their initial values."""
        prefix, variables = self._face
        if prefix:
            checkpoints.restore(sess, prefix, variables)
        values = dict(self._values)
        for table in self._partial:
            rows = values[table]
            values[table] = np.concatenate([rows, sess.run(table)[len(rows):]])
        checkpoints.assign(sess, list(values), list(values.values()))


def resized_tables(prefix: str, names: Dict[tf.Variable, str]) -> Dict[tf.Variable, np.ndarray]:
    """Reads the tables of positions that have another number of rows in a checkpoint.

    Args:
      prefix: of the checkpoint.
      names: dict {variable: its name in the checkpoint}.
    Returns:
      dict {table [N, h]: its first rows in the checkpoint, [at most N, h]}.
    """
    there, tables = checkpoints.variables_of(prefix), {}
    for variable, name in names.items():
        scope, _, table = variable.op.name.partition('/')
        own, stored = variable.shape.as_list(), there.get(name, [])
        if (table == _POSITIONS.get(scope, _POSITIONS['vertex_model']) and stored
                and stored != own and stored[1:] == own[1:]):
            tables[variable] = checkpoints.read(prefix, [name])[name][:own[0]]
    return tables


def _of_other_classes(options):
    """Variables that depend on the classes, where the weights to start from know others."""
    try:
        before = networks.recorded(options)
    except errors.InputError:   # weights without a record: they have to fit
        return []
    if all(before.get(name) == vars(options)[name] for name in ('num_classes', 'class_names')):
        return []
    return ['{}_model/class_label/embeddings'.format(part) for part in options_lib.PARTS]


def decoder_start(options: cli.Options, variables: Sequence[tf.Variable]
                  ) -> Tuple[Dict[tf.Variable, np.ndarray], str]:
    """Finds what a vertex model has in common with another one, told something else.

    Both decoders have the same names below the model's scope. What takes in the condition (encoder,
    cross-attention) is missing in the other; its branches are scaled by zero at first, so that the
    model starts where the other one stands. A class `any` gives the first embedding.

    Args:
      options: settled options with `decoder_checkpoint`.
      variables: of the vertex model.
    Returns:
      ({variable: value, of a table of positions the rows that both have}, line that says what
      begins anew).
    Raises:
      errors.InputError: no vertex model there, or one of other sizes.
    """
    prefix = checkpoints.latest(options.decoder_checkpoint)
    there = checkpoints.variables_of(prefix)
    scopes = [scope for scope in ('vertex_model', *conditions.SCOPES.values())
              if scope + '/transformer_decoder/layer_0/self_attention/alpha' in there]
    if not scopes:
        raise errors.InputError('--decoder_checkpoint: {} holds no vertex model; give a run of '
                                'polygen/train.py.'.format(prefix))
    own = conditions.of_options(options).scope
    names = {variable: scopes[0] + variable.op.name[len(own):] for variable in variables}
    values = resized_tables(prefix, names)
    known = {variable: name for variable, name in names.items()
             if name in there and variable not in values}
    if _classes_of(options) != options.class_names:
        known = {variable: name for variable, name in known.items()
                 if not name.endswith('/class_label/embeddings')}
    misfits = [name for variable, name in known.items()
               if there[name] != variable.shape.as_list()]
    if misfits:
        raise errors.InputError(
            '--decoder_checkpoint: {} has other sizes ({} is {}). Give the sizes that it was '
            'trained with (config.json of its run holds them).'.format(
                prefix, misfits[0], there[misfits[0]]))
    stored = checkpoints.read(prefix, list(known.values()))
    values.update((variable, stored[name]) for variable, name in known.items())
    values.update(_first_of_any(options, scopes[0], prefix, there,
                                [variable for variable in variables if variable not in values]))
    return values, '{} of {} variables of the vertex model from {}; the others begin anew'.format(
        len(values), len(variables), prefix)


def _classes_of(options):
    """Names of the classes of --decoder_checkpoint, None where there is no record of them."""
    try:
        return networks.recorded(options.replace(checkpoint=options.decoder_checkpoint)).get(
            'class_names')
    except errors.InputError:       # weights without a record
        return None


def _first_of_any(options, scope, prefix, there, missing):
    """The first embedding of a model that is told no class: that of the other's class `any`."""
    table = scope + '/class_label/embeddings'
    first = [variable for variable in missing if variable.op.name.endswith('/embed_zero')]
    if not first or table not in there:
        return {}
    classes = _classes_of(options)
    if not classes or classes[-1] != options_lib.ANY:
        return {}
    return {first[0]: checkpoints.read(prefix, [table])[table][-1][None, None]}
