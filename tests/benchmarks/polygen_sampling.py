"""Times whole runs of PolyGen's sampling: static cache, growing cache, and none.

All three ways draw with the same weights and the same noise, and cannot draw the stop symbol. First
it is checked that they draw the same tokens.

static: `sample_tokens`, what the project uses. growing: as the original, a cache that each step
lengthens; the whole prefix is embedded again, and the keys and values of the context are computed
again, in each step. uncached: the whole prefix goes through the network in each step.

Example: python -m tests.benchmarks.polygen_sampling --tokens 200 1000 --batch 1 8
"""
import functools
import importlib.util
import sys

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli
from common.device import session as session_lib
from polygen import blocks, layers, modules, sampling
from polygen import options as options_lib
from tests.benchmarks import timing

LOOPS = ('static', 'growing', 'uncached')
if not importlib.util.find_spec('tensor2tensor'):   # whose attention has the growing cache
    LOOPS = ('static', 'uncached')
_FULL_UNCACHED = 200    # tokens up to which the uncached loop is run from end to end
_SAMPLED_STEPS = 4      # else its steps are timed so many at a time
_SAMPLED_LENGTHS = 7    # at so many lengths of the prefix
_CLASSES = 4


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--tokens', type=cli.positive_int, nargs='+', default=[200, 1000, 2000],
                        help='lengths of the sequences')
    parser.add_argument('--batch', type=cli.positive_int, nargs='+', default=[1, 8],
                        help='sequences drawn at a time')
    parser.add_argument('--loops', choices=LOOPS, nargs='+', default=list(LOOPS),
                        help='ways to compare; static always runs')
    parser.add_argument('--models', choices=('vertex', 'face'), nargs='+',
                        default=['vertex', 'face'], help='networks')
    parser.add_argument('--vertices', type=cli.positive_int, default=200,
                        help='that the face model points at')
    parser.add_argument('--repetitions', type=cli.positive_int, default=5,
                        help='of which the median counts')
    parser.add_argument('--threads', type=cli.non_negative_int, default=0,
                        help='CPU threads of an operation; 0 leaves the choice to TensorFlow')
    cli.add_flag(parser, '--uncached_full', help='run the uncached loop from end to end however '
                 'long it takes, instead of timing a sample of its steps')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


class Network:
    """A model at the seed's width with tables long enough, and the three ways to draw from it.

    Args:
      kind: 'vertex' or 'face'.
      batch: int, B.
      tokens: int, L.
      num_vertices: int, for the face model.
    """

    def __init__(self, kind, batch, tokens, num_vertices=200):
        self.batch = batch
        self.tokens = tokens
        # [B, L] uniform in [0, 1); the whole prefix [B, n] and how many tokens to draw behind it.
        self.noise = tf.placeholder(tf.float32, [batch, tokens], name='noise')
        self.prefix = tf.placeholder(tf.int32, [batch, None], name='prefix')
        self.steps = tf.placeholder(tf.int32, [], name='steps')
        rng = np.random.RandomState(0)
        labels = tf.constant(rng.randint(_CLASSES, size=batch), tf.int32)
        if kind == 'vertex':
            self._model = _EndlessVertices(_stack('vertex_layers'), 8, True, _CLASSES,
                                           max_num_input_verts=tokens // 3 + 1)
            self._context = {'class_label': labels}
            prepared = self._model._prepare_context(self._context)
            self._logits = functools.partial(self._vertex_logits, *prepared)
        else:
            self._model = _EndlessFaces(_stack('encoder_layers'), _stack('face_layers'), False,
                                        max_seq_length=tokens)
            self._context = {'vertices': tf.constant(rng.uniform(-.5, .5, [batch, num_vertices, 3]),
                                                     tf.float32),
                             'vertices_mask': tf.ones([batch, num_vertices])}
            prepared = self._model._prepare_context(self._context)
            self._logits = functools.partial(self._face_logits, *prepared)
        self.is_vertex = kind == 'vertex'

    def static(self):
        """int32 [B, L], drawn by `sample_tokens`."""
        if self.is_vertex:
            # A sequence of vertices has 3 n + 1 tokens: draw as many as fit, at least L, then cut.
            most = -(-(self.tokens - 1) // 3)
            noise = tf.pad(self.noise, [[0, 0], [0, 3 * most + 1 - self.tokens]])
            tokens = self._model.sample_tokens(self.batch, self._context, most, noise)
            return tokens[:, :self.tokens]
        return self._model.sample_tokens(self._context, self.tokens, self.noise)

    def growing(self):
        """int32 [B, L], drawn with a cache that grows."""
        decoder = self._model.decoder
        empty = tf.zeros([self.batch, decoder.num_heads, 0, decoder.head_size])
        free = tf.TensorShape([self.batch, decoder.num_heads, None, decoder.head_size])
        pairs = [{'k': empty, 'v': empty} for _ in range(decoder.num_layers)]

        def body(index, tokens, cache):
            cache = [dict(pair) for pair in cache]
            drawn = self._draw(self._logits(tokens, cache), index)
            return [index + 1, tf.concat([tokens, drawn], axis=1), cache]

        return tf.while_loop(
            lambda index, tokens, cache: _any_unfinished(tokens), body,
            [tf.constant(0), tf.zeros([self.batch, 0], tf.int32), pairs],
            shape_invariants=[tf.TensorShape([]), tf.TensorShape([self.batch, None]),
                              [{'k': free, 'v': free}] * decoder.num_layers],
            maximum_iterations=self.tokens, parallel_iterations=1, back_prop=False)[1]

    def uncached(self):
        """int32 [B, n + steps]: the prefix and tokens behind it, each drawn from its whole past."""
        def body(index, tokens):
            drawn = self._draw(self._logits(tokens, None), index)
            return [index + 1, tf.concat([tokens, drawn], axis=1)]

        start = tf.shape(self.prefix)[1]
        return tf.while_loop(
            lambda index, tokens: tf.logical_and(index < start + self.steps,
                                                 _any_unfinished(tokens)),
            body, [start, self.prefix],
            shape_invariants=[tf.TensorShape([]), tf.TensorShape([self.batch, None])],
            parallel_iterations=1, back_prop=False)[1]

    def _draw(self, logits, index):
        return sampling.draw(logits, tf.gather(self.noise, index, axis=1))[:, None]

    def _vertex_logits(self, global_context, sequential_context, tokens, cache):
        """[B, K] behind tokens [B, n]."""
        inputs = self._model._embed_inputs(tokens, global_context)
        outputs = self._decode(inputs, sequential_context, cache)
        return self._model._project_to_logits(outputs)[:, 0]

    def _face_logits(self, global_context, targets, sequential_context, tokens, cache):
        """[B, V + 2] behind tokens [B, n]."""
        inputs = self._model._embed_inputs(tokens, targets, global_context)
        outputs = self._decode(inputs, sequential_context, cache)
        return self._model._pointer_logits(outputs, targets, self._context['vertices_mask'])[:, 0]

    def _decode(self, inputs, context, cache):
        """The decoder's output [B, 1, h] for the last of inputs [B, n, h]."""
        if cache is None:
            return self._model.decoder(inputs, context)[:, -1:]
        return _growing_decoder(self._model.decoder, inputs[:, -1:], context, cache)


class _EndlessVertices(modules.VertexModel):
    """VertexModel that never draws the stop symbol."""

    def _project_to_logits(self, inputs):
        logits = super()._project_to_logits(inputs)
        return logits - 1e9 * tf.one_hot(0, logits.shape.as_list()[-1])


class _EndlessFaces(modules.FaceModel):
    """FaceModel that never draws the stop symbol."""

    def _pointer_logits(self, outputs, targets, mask):
        logits = super()._pointer_logits(outputs, targets, mask)
        return logits - 1e9 * tf.one_hot(0, logits.shape.as_list()[-1])


def _stack(depth):
    """Arguments of a Transformer of the seed's size."""
    seed = options_lib.PRESETS['seed']
    return dict({name: seed[name] for name in ('hidden_size', 'fc_size', 'num_heads')},
                num_layers=seed[depth], dropout_rate=0.)


def _any_unfinished(tokens):
    return tf.reduce_any(tf.reduce_all(tf.not_equal(tokens, 0), axis=1))


def _growing_decoder(decoder, x, context, cache):
    """One step [B, 1, h] as the original takes it: op by op, nothing of the context cached."""
    with decoder._enter_variable_scope(reuse=True):
        for layer, pair in enumerate(cache):
            with tf.variable_scope('layer_{}'.format(layer)):
                x += _original_attention(decoder, x, None, tf.zeros([1, 1, 1, 1]),
                                         'self_attention', pair)
                if context is not None:
                    padding = layers.embedding_to_padding(context)
                    bias = layers.attention_bias_ignore_padding(padding)
                    x += _original_attention(decoder, x, context, bias, 'cross_attention')
                hidden = blocks.dense(decoder._normalize(x, 'fc'), decoder.fc_size, 'fc_1',
                                      activation=tf.nn.relu)
                x += blocks.dense(hidden, decoder.hidden_size, 'fc_2') * decoder._alpha('fc')
        return decoder._normalize(x, 'output')


def _original_attention(decoder, x, memory, bias, name, cache=None):
    size = decoder.hidden_size
    return decoder._alpha(name) * layers.multihead_attention(
        decoder._normalize(x, name), memory, bias, size, size, size, decoder.num_heads,
        dropout_rate=0., make_image_summary=False, cache=cache, name=name)


def load_weights(session, seed=0):
    """Gives every variable values that make tokens differ from step to step and row to row."""
    rng = np.random.RandomState(seed)
    for variable in tf.trainable_variables():
        shape = variable.shape.as_list()
        name = variable.op.name
        if name.endswith('alpha'):
            value = np.full(shape, 0.5)
        elif name.endswith('layer_norm_scale'):
            value = np.ones(shape)
        elif name.endswith('bias'):
            value = rng.normal(scale=0.1, size=shape)
        else:
            stddev = shape[0] ** -0.5 if name.endswith('kernel') else 1.
            value = rng.normal(scale=stddev, size=shape)
        variable.load(value.astype(np.float32), session)


def describe_difference(tokens, other):
    """Says where two ways drew something else: '' if nowhere, else a line.

    From its first difference on a row is another sequence, so one place a row is told.
    """
    places = ['row {} from token {} of {}'.format(row, np.argmax(differs), len(differs))
              for row, differs in enumerate(tokens != other) if differs.any()]
    return ', '.join(places)


def measure(kind, batch, tokens, config):
    """Checks and times one setting.

    Args:
      kind: 'vertex' or 'face'.
      batch, tokens: int.
      config: options of `parse_args`.
    Returns:
      (list of timing.Row, list of lines that say where tokens differ).
    """
    with tf.Graph().as_default():
        network = Network(kind, batch, tokens, config.vertices)
        fetches = {name: getattr(network, name)() for name in LOOPS
                   if name in config.loops or name == 'static'}
        with tf.Session(config=session_lib.session_config('cpu', config.threads)) as session:
            session.run(tf.global_variables_initializer())
            load_weights(session)
            return _measure(session, network, fetches, kind, config)


def _measure(session, network, fetches, kind, config):
    feed = {network.noise: sampling.uniform_noise(1, network.batch, network.tokens),
            network.prefix: np.zeros([network.batch, 0], np.int32), network.steps: network.tokens}
    full = config.uncached_full or network.tokens <= _FULL_UNCACHED
    jobs = {name: functools.partial(session.run, fetch, feed) for name, fetch in fetches.items()
            if name != 'uncached' or full}
    drawn = {name: job() for name, job in jobs.items()}
    seconds = timing.in_turns(jobs, config.repetitions)
    note = ''
    if 'uncached' in fetches and not full:
        note = 'from {} steps'.format(_SAMPLED_LENGTHS * _SAMPLED_STEPS)
        seconds['uncached'], drawn['uncached'] = _sampled(session, network, fetches['uncached'],
                                                          feed, drawn['static'])
    rows, lines = [], []
    for name in fetches:
        if name == 'static':
            continue
        difference = describe_difference(drawn['static'], drawn[name])
        setting = '{} tokens, batch {}'.format(network.tokens, network.batch)
        if difference:
            lines.append('{} model, {}, {}: other tokens, {}'.format(kind, setting, name,
                                                                     difference))
        rows.append(timing.Row('sampling, {} model'.format(kind), setting, 'static cache',
                               seconds['static'], name, seconds[name],
                               note if name == 'uncached' else ''))
    return rows, lines


def _sampled(session, network, fetch, feed, tokens):
    """Seconds of a whole uncached run, reckoned from steps at some lengths (trapezoidal rule).

    Args:
      tokens: int32 [B, L], the prefixes.
    Returns:
      (float, int32 [B, L]: `tokens` with the drawn steps in their places).
    """
    lengths = np.linspace(0, network.tokens - _SAMPLED_STEPS, _SAMPLED_LENGTHS).astype(int)
    costs, drawn = [], tokens.copy()
    for length in lengths:
        here = dict(feed)
        here.update({network.prefix: tokens[:, :length], network.steps: _SAMPLED_STEPS})
        seconds = timing.in_turns({'': lambda here=here: session.run(fetch, here)}, 3)['']
        costs.append(seconds / _SAMPLED_STEPS)
        drawn[:, :length + _SAMPLED_STEPS] = session.run(fetch, here)
    total = np.sum(np.diff(lengths) * (np.array(costs[1:]) + costs[:-1])) / 2   # trapezoids
    return total * network.tokens / (network.tokens - _SAMPLED_STEPS), drawn


def rows(config):
    """Measures all settings of the options; prints where ways differ. List of timing.Row."""
    table = []
    for kind in config.models:
        for batch in config.batch:
            for tokens in config.tokens:
                new, lines = measure(kind, batch, tokens, config)
                table.extend(new)
                for line in lines:
                    print(line, flush=True)
    return table


def short():
    """Rows of a short run, for `python -m tests.benchmarks`."""
    return (rows(parse_args(['--tokens', '200', '--repetitions', '3']))
            + rows(parse_args(['--tokens', '1000', '--repetitions', '3', '--loops', *LOOPS[:-1]])))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return timing.main(parse_args, rows, argv)


if __name__ == '__main__':
    sys.exit(main())
