"""Double of npu_bridge.estimator.npu.npu_loss_scale_optimizer."""
import tensorflow.compat.v1 as tf

import npu_bridge


class NPULossScaleOptimizer(tf.train.Optimizer):
    """Scales the loss, and leaves out a step (the global step too) whose gradients overflow."""

    def __init__(self, opt, loss_scale_manager, is_distributed=False):
        npu_bridge.record('NPULossScaleOptimizer', opt=type(opt).__name__,
                          manager=type(loss_scale_manager).__name__, is_distributed=is_distributed)
        super().__init__(False, 'NPULossScaleOptimizer')
        self._opt, self._manager = opt, loss_scale_manager

    def compute_gradients(self, loss, *args, **kwargs):
        """Gives the gradients of the scaled loss, scaled back."""
        scale = self._manager.get_loss_scale()
        pairs = self._opt.compute_gradients(loss * scale, *args, **kwargs)
        return [(None if gradient is None else gradient / scale, variable)
                for gradient, variable in pairs]

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        """Applies finite gradients."""
        pairs = list(grads_and_vars)
        finite = tf.reduce_all([tf.reduce_all(tf.is_finite(gradient)) for gradient, _ in pairs
                                if gradient is not None])
        apply = tf.cond(finite, lambda: tf.group(self._opt.apply_gradients(
            pairs, global_step, name)), tf.no_op)
        return tf.group(apply, self._manager.update_loss_scale(finite))
