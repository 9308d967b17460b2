"""The layers of Sonnet and tensor2tensor that the networks use, imported in one place."""
import tensorflow.compat.v1 as tf

# tensor2tensor's import logs a deprecation that a user can do nothing about.
_verbosity = tf.logging.get_verbosity()
tf.logging.set_verbosity(tf.logging.ERROR)
import sonnet as snt  # noqa: E402
from tensor2tensor.layers import common_attention, common_layers  # noqa: E402

tf.logging.set_verbosity(_verbosity)

__all__ = ['common_attention', 'common_layers', 'snt']
