"""Optimisers of 3D-R2N2: Adam or momentum on decayed gradients, one graph a number of views."""
import collections

import tensorflow.compat.v1 as tf

from common import device
from r2n2.lib import layers, weights

Step = collections.namedtuple('Step', 'images voxels mask loss gradients update')
Step.__doc__ = """The graph of a training step for a number of views.

images, voxels, mask: placeholders [V, B, S, S, 3], [B, N, N, N] and [V] (or None); loss; gradients:
dict by parameter; update: the operation."""


class Solver:
    """Makes the graphs of training steps; all share the parameters and the optimiser's slots.

    Args:
      net: models.net.Net.
      policy: 'adam' or 'sgd' (with momentum).
      weight_decay: float, times each kernel, added to its gradient; biases are left alone.
      momentum: float, of sgd.
      config: namespace for `device.wrap_optimizer`; None leaves the optimiser bare.
    """

    def __init__(self, net, policy='adam', weight_decay=5e-5, momentum=0.9, config=None):
        self.net = net
        self.rate = tf.placeholder(tf.float32, [], name='learning_rate')
        self._decay = weight_decay
        if policy == 'adam':
            self._optimizer = tf.train.AdamOptimizer(self.rate, epsilon=1e-8)
        else:
            self._optimizer = tf.train.MomentumOptimizer(self.rate, momentum)
        if config is not None:
            self._optimizer = device.wrap_optimizer(self._optimizer, config)

    def step(self, views, batch, size, grid=32, masked=False):
        """The graph of a step.

        Args:
          views, batch, size, grid: int, V, B, S, N.
          masked: bool, a mask tells which views count.
        Returns:
          Step.
        """
        images = tf.placeholder(tf.float32, [views, batch, size, size, 3], name='images')
        voxels = tf.placeholder(tf.float32, [batch] + [grid] * 3, name='voxels')
        mask = tf.placeholder(tf.float32, [views], name='view_mask') if masked else None
        before = len(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
        outputs = self.net.build(images, is_training=True, view_mask=mask)
        _, loss = layers.loss(outputs.logits, voxels)
        statistics = tf.get_collection(tf.GraphKeys.UPDATE_OPS)[before:]
        gradients = self._gradients(loss)
        pairs = [(gradients[name], variable) for name, variable in self.net.params.items()]
        # Variables of TensorFlow 1 change in place: no update before every gradient is there.
        with tf.control_dependencies(statistics + [loss] + list(gradients.values())):
            update = self._optimizer.apply_gradients(pairs)
        return Step(images, voxels, mask, loss, gradients, update)

    def _gradients(self, loss):
        """{name: gradient with weight decay}; zero where the loss does not depend on it."""
        found = collections.OrderedDict()
        pairs = self._optimizer.compute_gradients(loss, list(self.net.params.values()))
        for name, (gradient, variable) in zip(self.net.params, pairs):
            if gradient is None:
                gradient = tf.zeros(variable.shape)
            if weights.is_kernel(name) and self._decay:
                gradient += self._decay * variable
            found[name] = gradient
        return found
