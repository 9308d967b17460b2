"""The networks of 3D-R2N2: pictures to features, recurrence over views, features to voxels.

Paper: Choy, Xu, Gwak, Chen, Savarese, "3D-R2N2: A Unified Approach for Single and Multi-view 3D
Object Reconstruction", ECCV 2016, sections 3 and 4. One description makes all five variants.

V: views, B: batch, S: side of an image, F: features of an image, C: channels of the state.
"""
import collections
import functools
from typing import Dict, List, NamedTuple, Optional, Sequence

import tensorflow.compat.v1 as tf

from r2n2.lib import layers


class Outputs(NamedTuple):
    """What a network computes.

    Attributes:
      logits: [B, 32, 32, 32, 2], after the last view.
      states: the hidden state after each view, [B, 4, 4, 4, C].
      features: [V, B, F], of each picture.
      gates: {gate: a tensor [B, 4, 4, 4, C] for each view}.
      pools: outputs of the encoder's pooling layers, [V B, n, n, channels].
    """

    logits: tf.Tensor
    states: List[tf.Tensor]
    features: tf.Tensor
    gates: Dict[str, List[tf.Tensor]]
    pools: List[tf.Tensor]


class Net:
    """Base of the networks; a subclass tells its name in the paper and what differs.

    Args:
      n_convfilter: list of 6 int, channels of the encoder.
      n_fc_filters: list of 1 int, F.
      n_deconvfilter: list of 6 int, channels of the state and of the decoder; the last is 2.
      n_gru_vox: int, side of the state's grid.
      batch_norm: bool, normalise each convolution of the encoder (a variant beside the paper's).
      plain, leaky_slope, seed, recurrent_filler, fused: see `layers.Layers`; where it is fused, all
        views are encoded together, and so are the gates computed.
    """

    paper_name = ''
    recurrence = 'gru'
    recurrent_kernel = 3
    residual = False

    def __init__(self, n_convfilter: Sequence[int] = (96, 128, 256, 256, 256, 256),
                 n_fc_filters: Sequence[int] = (1024,),
                 n_deconvfilter: Sequence[int] = (128, 128, 128, 64, 32, 2), n_gru_vox: int = 4,
                 batch_norm: bool = False, plain: bool = False, leaky_slope: float = 0.01,
                 seed: int = 0, recurrent_filler: str = 'msra', fused: bool = True):
        self.n_convfilter = list(n_convfilter)
        self.n_fc_filters = list(n_fc_filters)
        self.n_deconvfilter = list(n_deconvfilter)
        self.n_gru_vox = n_gru_vox
        self.batch_norm = batch_norm
        self.layers = layers.Layers(plain, leaky_slope, seed, recurrent_filler, fused)

    @property
    def params(self) -> Dict[str, tf.Variable]:
        """{name: trained variable}, in the original's order once `build` has been called."""
        return self.layers.trainable

    @property
    def statistics(self) -> Dict[str, tf.Variable]:
        """{name: moving mean or variance} of batch normalisation."""
        return {name: variable for name, variable in self.layers.by_name.items()
                if not variable.trainable}

    def build(self, images: tf.Tensor, is_training: bool = False,
              view_mask: Optional[tf.Tensor] = None) -> Outputs:
        """Builds the graph; another call with other sizes shares the parameters.

        Args:
          images: [V, B, S, S, 3], 0 to 1; V, B and S known.
          is_training: bool, batch statistics where there is batch normalisation.
          view_mask: None or float [V]; a view whose mask is 0 leaves the state as it is.
        Returns:
          Outputs.
        """
        views, batch, *size = images.shape.as_list()
        pools: List = []
        normalise = _unchanged
        if self.batch_norm:
            rows = None if view_mask is None else tf.reshape(
                tf.tile(view_mask[:, None], [1, batch]), [views * batch, 1, 1, 1])
            normalise = functools.partial(self._normalised, is_training=is_training, rows=rows)
        # Statistics are of all views together, so batch normalisation encodes them together.
        if not (self.layers.fused or self.batch_norm):
            parts = []
            for view in tf.unstack(images):     # as the original: one view after the other
                pools.append([])
                parts.append(self._encode(view, pools[-1], normalise))
            features = tf.stack(parts)
            pools = [tf.concat(each, axis=0) for each in zip(*pools)]
        else:
            joined = tf.reshape(images, [views * batch] + size)
            features = self._encode(joined, pools, normalise)
            features = tf.reshape(features, [views, batch, self.n_fc_filters[0]])
        states, gates = self._recur(features, view_mask)
        return Outputs(self.decode(states[-1]), states, features, gates, pools)

    # The encoder, section 3.1 of the paper

    def _conv_leaky(self, name, x, filters, size, normalise):
        return self.layers.leaky(normalise(name, self.layers.conv(name, x, filters, size)))

    def _encode(self, x, pools, normalise):
        """Images [n, S, S, 3] to features [n, F]; adds what pooling layers give to `pools`."""
        encode = self._encode_residual if self.residual else self._encode_shallow
        x = encode(x, pools, normalise)
        x = tf.reshape(x, [x.shape[0].value, x.shape[1].value * x.shape[2].value
                           * x.shape[3].value])
        return self.layers.leaky(self.layers.dense('fc7', x, self.n_fc_filters[0]))

    def _encode_shallow(self, x, pools, normalise):
        for number, filters in enumerate(self.n_convfilter, 1):
            name, size = 'conv{}'.format(number), 7 if number == 1 else 3
            x = normalise(name, self.layers.conv(name, x, filters, size))
            pools.append(layers.pool(x))
            x = self.layers.leaky(pools[-1])
        return x

    def _encode_residual(self, x, pools, normalise):
        for number, filters in enumerate(self.n_convfilter, 1):
            first = self._conv_leaky('conv{}a'.format(number), x, filters,
                                     7 if number == 1 else 3, normalise)
            y = self._conv_leaky('conv{}b'.format(number), first, filters, 3, normalise)
            if number in (2, 3, 5):
                y = self.layers.conv('conv{}c'.format(number), x, filters, 1) + y
            elif number == 6:
                y = x + y
            pools.append(layers.pool(y))
            x = pools[-1]
        return x

    def _normalised(self, name, x, is_training, rows=None, momentum=0.9, epsilon=1e-5):
        """Batch normalisation of [n, h, w, C]; `rows` [n, 1, 1, 1], 0 where a row is left out."""
        channels = x.shape[-1].value
        scale = self.layers.parameter(name + '/gamma', [channels])
        shift = self.layers.parameter(name + '/beta', [channels])
        mean = self.layers.get(name + '/moving_mean', [channels], tf.zeros_initializer(), False)
        variance = self.layers.get(name + '/moving_variance', [channels], tf.ones_initializer(),
                                   False)
        # gamma begins at 0.1 as every bias here does; ten times that is the usual 1.
        scale, shift = 10. * scale, shift - layers.BIAS
        if not is_training:
            return tf.nn.batch_normalization(x, mean, variance, shift, scale, epsilon)
        if rows is None:
            y, batch_mean, batch_variance = tf.nn.fused_batch_norm(
                x, scale, shift, epsilon=epsilon, is_training=True)
        else:
            y, batch_mean, batch_variance = _masked_batch_norm(x, rows, scale, shift, epsilon)
        self.layers.move(mean, batch_mean, momentum)
        self.layers.move(variance, batch_variance, momentum)
        return y

    # The recurrence, section 3.2

    def _recur(self, features, view_mask):
        """Features [V, B, F] to (states after each view, gates of each view)."""
        views, batch, _ = features.shape.as_list()
        shape = [batch] + [self.n_gru_vox] * 3 + [self.n_deconvfilter[0]]
        step = self._gru if self.recurrence == 'gru' else self._lstm
        names = (('t_x_s_update', 't_x_s_reset', 't_x_rs') if self.recurrence == 'gru'
                 else ('in_gate_b', 'forget_gate_b', 'in_transform_b'))
        blocks = [_Block(self.layers, name, shape, features.shape[2].value,
                         self.recurrent_kernel) for name in names]
        inputs = self._input_parts(features, blocks)
        state = memory = tf.zeros(shape)
        states, gates = [], collections.OrderedDict()
        for view in range(views):
            new_state, new_memory, view_gates = step(state, memory, inputs[view], blocks)
            if view_mask is not None:
                keep = view_mask[view]
                new_state = keep * new_state + (1. - keep) * state
                new_memory = keep * new_memory + (1. - keep) * memory
            state, memory = new_state, new_memory
            states.append(state)
            for name, value in view_gates.items():
                gates.setdefault(name, []).append(value)
            if self.recurrence == 'lstm':
                gates.setdefault('cell', []).append(memory)
        return states, gates

    def _input_parts(self, features, blocks):
        """For each view and block W_x T(x) + b of the paper's gates, [B, 4, 4, 4, C]."""
        views, batch, _ = features.shape.as_list()
        if not self.layers.fused:
            return [[block.from_features(features[view]) for block in blocks]
                    for view in range(views)]
        # All views in one product; one for all gates would copy 100 MB of weights.
        joined = tf.reshape(features, [views * batch, features.shape[2].value])
        parts = [tf.reshape(self.layers.product(joined, block.wx), [views] + block.shape) + block.b
                 for block in blocks]
        return [[part[view] for part in parts] for view in range(views)]

    def _together(self, state, inputs, blocks):
        """The gates before their nonlinearity, in one convolution of the state where fused."""
        if not self.layers.fused:
            return [block.from_state(state) + from_view for block, from_view in zip(blocks, inputs)]
        kernel = tf.concat([block.wh for block in blocks], axis=4)
        parts = tf.split(tf.nn.conv3d(state, kernel, [1] * 5, 'SAME'), len(blocks), axis=4)
        return [part + from_view for part, from_view in zip(parts, inputs)]

    def _gru(self, state, memory, inputs, blocks):
        update, reset = self._together(state, inputs[:2], blocks[:2])
        update, reset = tf.sigmoid(update), tf.sigmoid(reset)
        new = tf.tanh(blocks[2].from_state(reset * state) + inputs[2])
        state = update * state + (1. - update) * new    # the update gate keeps the old state
        return state, memory, {'update_gate': update, 'reset_gate': reset}

    def _lstm(self, state, memory, inputs, blocks):
        take, keep, new = self._together(state, inputs, blocks)
        take, keep = tf.sigmoid(take), tf.sigmoid(keep)
        memory = keep * memory + take * tf.tanh(new)
        return tf.tanh(memory), memory, {'input_gate': take, 'forget_gate': keep}

    # The decoder, section 3.3

    def decode(self, state: tf.Tensor) -> tf.Tensor:
        """Decodes the hidden state [B, 4, 4, 4, C] to logits [B, 32, 32, 32, 2]."""
        return self._decode_residual(state) if self.residual else self._decode_shallow(state)

    def _decode_shallow(self, x):
        net, filters = self.layers, self.n_deconvfilter
        for number in (7, 8, 9):
            x = net.leaky(net.unpooled_conv('conv{}'.format(number), x, filters[number - 6]))
        x = net.leaky(net.conv('conv10', x, filters[4], 3))
        return net.conv('conv11', x, filters[5], 3)

    def _decode_residual(self, x):
        net, filters = self.layers, self.n_deconvfilter
        for number in (7, 8, 9):
            name, width = 'conv{}'.format(number), filters[number - 6]
            y = net.leaky(net.unpooled_conv(name + 'a', x, width))
            y = net.leaky(net.conv(name + 'b', y, width, 3))
            if number == 9:
                x = net.unpooled_conv('conv9c', x, width, 1) + y
            else:
                x = layers.unpool(x) + y
        first = net.leaky(net.conv('conv10a', x, filters[4], 3))
        y = net.leaky(net.conv('conv10b', first, filters[4], 3))
        x = net.conv('conv10c', first, filters[4], 3) + y      # from conv10a, in the original too
        return net.conv('conv11', x, filters[5], 3)


def _unchanged(name, x):
    del name
    return x


def _masked_batch_norm(x, rows, scale, shift, epsilon):
    """`tf.nn.fused_batch_norm` with the moments of the rows whose mask is 1."""
    count = tf.reduce_sum(rows) * (x.shape[1].value * x.shape[2].value)
    mean = tf.reduce_sum(rows * x, axis=[0, 1, 2]) / count
    variance = tf.reduce_sum(rows * tf.square(x - mean), axis=[0, 1, 2]) / count
    y = tf.nn.batch_normalization(x, mean, variance, shift, scale, epsilon)
    return y, mean, variance * count / (count - 1.)     # the fused one gives the unbiased variance


class _Block:
    """A gate's convolution of the hidden state and its weights of the features, one set a cell."""

    def __init__(self, variables, name, shape, features, size):
        _, side, _, _, channels = shape
        self.shape = shape
        self._product = variables.product
        self.wh = variables.parameter(name + '/Wh', [size] * 3 + [channels, channels],
                                 (size ** 3 * channels,) * 2, variables.recurrent_filler)
        cells = side ** 3 * channels
        self.wx = variables.parameter(name + '/Wx', [features, cells], (features, cells))
        self.b = variables.parameter(name + '/b', [channels])

    def from_features(self, features: tf.Tensor) -> tf.Tensor:
        """Maps features [B, F] to [B, 4, 4, 4, C], bias included."""
        return tf.reshape(self._product(features, self.wx), self.shape) + self.b

    def from_state(self, state: tf.Tensor) -> tf.Tensor:
        """Maps the hidden state [B, 4, 4, 4, C] to the same shape."""
        return tf.nn.conv3d(state, self.wh, [1] * 5, 'SAME')
