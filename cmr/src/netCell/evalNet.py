"""The network as it predicts: pictures in, bodies out."""
import contextlib

import numpy as np
import tensorflow.compat.v1 as tf

from cmr.src.utils import options
from common import device, errors


class Predictor:
    """Runs a network in batches of a fixed size; a smaller batch is filled up and cut again.

    Args:
      network: options.Network, not training; batch: int.

    Attributes:
      sess: tf.Session; set it before anything is run.
    """

    def __init__(self, network, batch):
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

    def predict(self, images):
        """models.cmr.Outputs of arrays for normalised pictures [n, S, S, 3]; n: at most a batch.

        Raises:
          errors.InputError: the network gives what is no number.
        """
        count, found = self._run(self._outputs, {self._images: images})
        found = type(found)(*[value[:count] for value in found])
        for name, value in found._asdict().items():
            if not np.isfinite(value).all():
                raise errors.InputError('the network gives {} that are not finite; its weights are '
                                        'damaged, or it has diverged. Take an earlier '
                                        'checkpoint.'.format(name))
        return found

    def posed(self, pose, betas):
        """Vertices [n, V, 3] of poses [n, 72] and shapes [n, 10]."""
        count, found = self._run(self._posed, {self._pose: pose, self._betas: betas})
        return found[:count]

    def joints(self, vertices):
        """The 24 training joints [n, 24, 3] of vertices [n, V, 3]."""
        count, found = self._run(self._joints, {self._points: vertices})
        return found[:count]


@contextlib.contextmanager
def opened(config, weights, batch):
    """A Predictor with weights from a file.

    Args:
      config: completed options; weights: str, see options.trained; batch: int.
    """
    with tf.Graph().as_default():
        predictor = Predictor(options.Network(config, False), batch)
        with tf.Session(config=device.session_config(config)) as sess:
            options.load(sess, predictor.network, weights)
            predictor.sess = sess
            yield predictor
