"""Double of npu_bridge.estimator.npu.npu_loss_scale_manager."""
import tensorflow.compat.v1 as tf

import npu_bridge


class FixedLossScaleManager:
    """A scale that stays."""

    def __init__(self, loss_scale, enable_overflow_check=True):
        npu_bridge.record('FixedLossScaleManager', loss_scale=loss_scale,
                          enable_overflow_check=enable_overflow_check)
        if loss_scale < 1:
            raise ValueError('loss scale must be at least 1')
        self._scale = loss_scale

    def get_loss_scale(self):
        """Gives the scale."""
        return self._scale

    def update_loss_scale(self, finite):
        """Does nothing."""
        return tf.no_op()


class ExponentialUpdateLossScaleManager:
    """A scale that shrinks after overflows and grows after good steps."""

    def __init__(self, init_loss_scale, incr_every_n_steps, decr_every_n_nan_or_inf=2,
                 incr_ratio=2, decr_ratio=0.8):
        npu_bridge.record(
            'ExponentialUpdateLossScaleManager', init_loss_scale=init_loss_scale,
            incr_every_n_steps=incr_every_n_steps, incr_ratio=incr_ratio,
            decr_every_n_nan_or_inf=decr_every_n_nan_or_inf, decr_ratio=decr_ratio)
        if tf.constant(0).op.control_inputs:
            raise RuntimeError('Placeholder not support: made under control dependencies')
        self._scale = tf.Variable(float(init_loss_scale), trainable=False, name='loss_scale')
        self._bad_steps = tf.Variable(0, trainable=False, name='bad_steps')
        self._limit, self._ratio = decr_every_n_nan_or_inf, decr_ratio

    def get_loss_scale(self):
        """Gives the scale."""
        return self._scale.read_value()

    def update_loss_scale(self, finite):
        """Shrinks the scale after enough overflows; the double never lets it grow."""
        bad = tf.where(finite, 0, self._bad_steps + 1)
        shrink = tf.greater_equal(bad, self._limit)
        with tf.control_dependencies([bad]):
            return tf.group(
                self._bad_steps.assign(tf.where(shrink, 0, bad)),
                self._scale.assign(tf.where(shrink, self._scale * self._ratio, self._scale)))
