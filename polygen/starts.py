"""What a training of PolyGen starts from: networks of other runs, or parts of them."""
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, errors
from common.training import checkpoints, frozen_layers
from polygen import conditions, networks
from polygen import options as options_lib

# The tables of positions: their rows are --max_vertices and --max_face_tokens.
_POSITIONS = {'face_model': 'coord_embeddings/embeddings',
              'vertex_model': 'coord_embeddings_1/embeddings'}
_OF_CLASSES = ('class_label/embeddings', 'class_of_context/kernel', 'class_of_context/bias')


class Rows(NamedTuple):
    """Some rows of a table, float32 [n, h], from `begin` on."""

    begin: int
    values: np.ndarray


class Start:
    """What is taken from other runs before the first step.

    A face model is taken as it is and not trained; a decoder is a start. `runs.start` takes all of
    --checkpoint but what is told here: what belongs to other classes begins anew, tables of
    positions keep the rows that both sizes have.

    Args:
      options: settled options.
      models: networks.Models.
      restarted: scopes whose variables begin anew whatever --checkpoint holds.

    Attributes:
      notes: lines to print.
      anew: dict {name of a variable that is not to be taken from --checkpoint: what becomes of it,
        '': it comes from elsewhere}.

    Raises:
      errors.InputError: no such model there, or one of other sizes.
    """

    def __init__(self, options: cli.Options, models: networks.Models,
                 restarted: Sequence[str] = ()):
        self._values: Dict[tf.Variable, np.ndarray] = {}
        self._rows: Dict[tf.Variable, Rows] = {}
        self._face: Tuple[str, Sequence[tf.Variable]] = ('', ())
        self.notes: List[str] = []
        self.anew: Dict[str, str] = {}
        if options.checkpoint:
            self._rows = _resized_tables(checkpoints.latest(options.checkpoint), {
                variable: variable.op.name
                for variable in _variables(models)
                if not frozen_layers.lies_in(variable.op.name, restarted)})
            self.anew = {table.op.name: _taken_over(table, rows)
                         for table, rows in self._rows.items()}
            known = _classes_of(options, options.checkpoint)
            if known is not None and known != _classes(options):
                self.anew.update((name, 'begins anew, since the data has other classes')
                                 for name in _names_of_classes(models))
        if options.face_checkpoint:
            self._face = _face_model(options, models)
            self.anew.update((variable.op.name, '') for variable in self._face[1])
        if options.decoder_checkpoint:
            self._values, rows, notes = decoder_start(options, models.vertex.trainable_variables)
            self._rows.update(rows)
            self.notes += notes

    def set(self, sess: tf.Session) -> None:
        """Sets the variables, which have their initial values."""
        prefix, variables = self._face
        if prefix:
            checkpoints.restore(sess, prefix, variables)
        values = dict(self._values)
        for table, rows in self._rows.items():
            values[table] = sess.run(table)
            values[table][rows.begin:rows.begin + len(rows.values)] = rows.values
        checkpoints.assign(sess, list(values), list(values.values()))


def _variables(models):
    """The networks' variables; `variables` on TensorFlow 2 are Adam's moments too."""
    return list(models.vertex.trainable_variables) + list(models.face.trainable_variables)


def _resized_tables(prefix, names):
    """Tables of positions that have another number of rows in a checkpoint: {variable: Rows}.

    Args: `names` is {variable: its name in the checkpoint}.
    """
    there, tables = checkpoints.variables_of(prefix), {}
    for variable, name in names.items():
        scope, _, table = variable.op.name.partition('/')
        own, stored = variable.shape.as_list(), there.get(name, [])
        if (table == _POSITIONS.get(scope, _POSITIONS['vertex_model']) and stored
                and stored != own and stored[1:] == own[1:]):
            tables[variable] = Rows(0, checkpoints.read(prefix, [name])[name][:own[0]])
    return tables


def _taken_over(table, rows):
    return 'keeps {} of {} rows'.format(len(rows.values), table.shape[0])


def _classes(options):
    """Names of the classes of a network's tables, from settled or recorded options."""
    values = options if isinstance(options, dict) else vars(options)
    names = values.get('class_names') or [str(label) for label in range(values['num_classes'] or 0)]
    return list(names) + [options_lib.ANY] * bool(values.get('summary_classes'))


def _classes_of(options, checkpoint) -> Optional[List[str]]:
    """`_classes` of another run's network; None where there is no record: it has to fit."""
    try:
        return _classes(networks.recorded(options.replace(checkpoint=checkpoint)))
    except errors.InputError:
        return None


def _names_of_classes(models):
    """Names of the variables that depend on the classes."""
    return [variable.op.name
            for variable in _variables(models)
            if variable.op.name.endswith(_OF_CLASSES)]


def _face_model(options, models):
    """(Prefix, variables) of --face_checkpoint."""
    prefix = checkpoints.latest(options.face_checkpoint)
    name = 'face_model/' + _POSITIONS['face_model']
    rows = checkpoints.variables_of(prefix).get(name, [0])[0]
    if rows and rows != options.max_face_tokens:
        raise errors.InputError(
            '--face_checkpoint: {} has room for {} face tokens and is taken as it is: give '
            '--max_face_tokens={} instead of {}.'.format(prefix, rows, rows,
                                                         options.max_face_tokens))
    return prefix, models.face.trainable_variables


def decoder_start(options: cli.Options, variables: Sequence[tf.Variable]
                  ) -> Tuple[Dict[tf.Variable, np.ndarray], Dict[tf.Variable, Rows], List[str]]:
    """Finds what a vertex model has in common with another one, told something else.

    Both decoders have the same names below the model's scope. What takes in the condition (encoder,
    cross-attention) is missing in the other; its branches are scaled by zero at first, so that the
    model starts where the other one stands, told the class `any` if it knows that: it gives the
    first embedding, or the last class of a summary, by which the sequence starts.

    Args:
      options: settled options with `decoder_checkpoint`.
      variables: of the vertex model.
    Returns:
      ({variable: value}, {table: what is taken of it}, lines that say what begins anew).
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
    rows = _resized_tables(prefix, names)
    notes = ['{} {}'.format(table.op.name, _taken_over(table, part))
             for table, part in rows.items()]
    known = {variable: name for variable, name in names.items()
             if name in there and variable not in rows}
    classes = _classes_of(options, options.decoder_checkpoint)
    if classes is not None and classes != _classes(options):
        known = {variable: name for variable, name in known.items()
                 if not name.endswith(_OF_CLASSES)}
    misfits = [name for variable, name in known.items()
               if there[name] != variable.shape.as_list()]
    if misfits:
        raise errors.InputError(
            '--decoder_checkpoint: {} has other sizes ({} is {}). Give the sizes that it was '
            'trained with (config.json of its run holds them).'.format(
                prefix, misfits[0], there[misfits[0]]))
    stored = checkpoints.read(prefix, list(known.values()))
    values: Dict[tf.Variable, Any] = {variable: stored[name] for variable, name in known.items()}
    table = scopes[0] + '/class_label/embeddings'
    if classes and classes[-1] == options_lib.ANY and table in there:
        of_any = checkpoints.read(prefix, [table])[table][-1]
        for variable in [variable for variable in variables if variable not in values]:
            if variable.op.name.endswith('/embed_zero'):
                values[variable] = of_any[None, None]
            elif options.summary_classes and variable.op.name.endswith('/class_label/embeddings'):
                rows[variable] = Rows(variable.shape.as_list()[0] - 1, of_any[None])
    notes.append('{} of {} variables of the vertex model from {}; the others begin anew'.format(
        len(values), len(variables), prefix))
    return values, rows, notes
