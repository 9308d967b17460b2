"""The network as it predicts: pictures in, bodies out."""
import contextlib
from typing import Iterator

import numpy as np
import tensorflow.compat.v1 as tf

from cmr import networks
from cmr.src.models import cmr
from common import cli, errors
from common.training import launch


class Predictor:
    """Runs a network in batches of a fixed size; a smaller batch is filled up and cut again.

    Args:
      network: networks.Network, not training; batch: int.

    Attributes:
      sess: tf.Session; set it before anything is run.
    """

    def __init__(self, network: networks.Network, batch: int):
        self.network, self.batch, self.sess = network, batch, None
        self._images = network.images(batch)
        self._outputs = network.build(self._images)
        self._pose = tf.placeholder(tf.float32, [batch, 72], name='pose')
        self._betas = tf.placeholder(tf.float32, [batch, 10], name='betas')
        self._posed = network.body.vertices(self._pose, self._betas)
        self._points = tf.placeholder(tf.float32, self._posed.shape, name='vertices')
        self._joints = network.body.joints(self._points)

    def _run(self, fetches, feed):
        count = len(next(iter(feed.values())))
        filled = {}
        for tensor, value in feed.items():
            value = np.asarray(value, np.float32)
            padding = np.zeros((self.batch - count,) + value.shape[1:], np.float32)
            filled[tensor] = np.concatenate([value, padding])
        return count, self.sess.run(fetches, filled)

    def predict(self, images: np.ndarray) -> cmr.Outputs:
        """Predicts arrays for normalised pictures [n, S, S, 3]; n is at most a batch.

        Raises:
          errors.InputError: the network gives what is no number.
        """
        count, outputs = self._run(self._outputs, {self._images: images})
        outputs = cmr.Outputs(*[value[:count] for value in outputs])
        for name, value in outputs._asdict().items():
            if not np.isfinite(value).all():
                raise errors.InputError('the network gives {} that are not finite; its weights are '
                                        'damaged, or it has diverged. Take an earlier '
                                        'checkpoint.'.format(name))
        return outputs

    def posed(self, pose: np.ndarray, betas: np.ndarray) -> np.ndarray:
        """Returns vertices [n, V, 3] in metres of poses [n, 72] and shapes [n, 10]."""
        count, vertices = self._run(self._posed, {self._pose: pose, self._betas: betas})
        return vertices[:count]

    def joints(self, vertices: np.ndarray) -> np.ndarray:
        """Returns the 24 training joints [n, 24, 3] of vertices [n, V, 3]."""
        count, joints = self._run(self._joints, {self._points: vertices})
        return joints[:count]


@contextlib.contextmanager
def opened(options: cli.Options, context: launch.Context, weights: str,
           batch: int) -> Iterator[Predictor]:
    """Opens a Predictor with weights from a file.

    Args:
      options, weights: see networks.trained; context: launch.Context; batch: int.
    """
    with tf.Graph().as_default():
        predictor = Predictor(networks.Network(
            options, False, context.on_npu or context.is_emulated), batch)
        with context.open_session() as sess:
            networks.load(sess, predictor.network, weights)
            predictor.sess = sess
            yield predictor
