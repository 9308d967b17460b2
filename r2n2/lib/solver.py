"""Optimisers of 3D-R2N2: Adam or momentum on decayed gradients, one graph a number of views."""
from typing import Dict, NamedTuple, Optional

import tensorflow.compat.v1 as tf

from common.training import launch
from r2n2.lib import layers, weights
from r2n2.models import net as net_lib


class Step(NamedTuple):
    """The graph of a training step for a number of views.

    Attributes:
      images, voxels, mask: placeholders [V, B, S, S, 3], [B, N, N, N] and [V] (or None).
      loss: scalar; gradients: by parameter, with weight decay; update: the operation.
    """

    images: tf.Tensor
    voxels: tf.Tensor
    mask: Optional[tf.Tensor]
    loss: tf.Tensor
    gradients: Dict[str, tf.Tensor]
    update: tf.Operation


class Solver:
    """Builds the graphs of training steps; all share the parameters and the optimiser's slots.

    Args:
      net: models.net.Net.
      policy: 'adam' or 'sgd' (with momentum).
      weight_decay: float, times each kernel, added to its gradient; biases are left alone.
      momentum: float, of sgd.
      context: launch.Context, which wraps the optimiser for NPUs and distributed training; None
        leaves it bare.
    """

    def __init__(self, net: net_lib.Net, policy: str = 'adam', weight_decay: float = 5e-5,
                 momentum: float = 0.9, context: Optional[launch.Context] = None):
        self.net = net
        self.rate = tf.placeholder(tf.float32, [], name='learning_rate')
        self._decay = weight_decay
        if policy == 'adam':
            self._optimizer = tf.train.AdamOptimizer(self.rate, epsilon=1e-8)
        else:
            self._optimizer = tf.train.MomentumOptimizer(self.rate, momentum)
        if context is not None:
            self._optimizer = context.wrap_optimizer(self._optimizer)

    def step(self, views: int, batch: int, size: int, grid: int = 32,
             masked: bool = False) -> Step:
        """Builds the graph of a step.

        Args:
          views, batch, size, grid: int, V, B, S, N.
          masked: bool, a mask tells which views count.
        Returns:
          Step.
        """
        images = tf.placeholder(tf.float32, [views, batch, size, size, 3], name='images')
        voxels = tf.placeholder(tf.float32, [batch] + [grid] * 3, name='voxels')
        mask = tf.placeholder(tf.float32, [views], name='view_mask') if masked else None
        earlier = len(self.net.layers.updates)
        outputs = self.net.build(images, is_training=True, view_mask=mask)
        _, loss = layers.loss(outputs.logits, voxels)
        statistics = self.net.layers.updates[earlier:]
        gradients = self._gradients(loss)
        pairs = [(gradients[name], variable) for name, variable in self.net.params.items()]
        # Variables of TensorFlow 1 change in place: no update before every gradient is there.
        with tf.control_dependencies(statistics + [loss] + list(gradients.values())):
            update = self._optimizer.apply_gradients(pairs)
        return Step(images, voxels, mask, loss, gradients, update)

    def _gradients(self, loss):
        """{name: gradient with weight decay}; zero where the loss does not depend on it."""
        gradients = {}
        pairs = self._optimizer.compute_gradients(loss, list(self.net.params.values()))
        for name, (gradient, variable) in zip(self.net.params, pairs):
            if gradient is None:
                gradient = tf.zeros(variable.shape)
            if weights.is_kernel(name) and self._decay:
                gradient += self._decay * variable
            gradients[name] = gradient
        return gradients
