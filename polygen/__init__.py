"""PolyGen: autoregressive models of polygon meshes (Nash et al. 2020)."""
import tensorflow.compat.v1 as tf

# tensor2tensor's import logs a deprecation that a user can do nothing about.
_verbosity = tf.logging.get_verbosity()
tf.logging.set_verbosity(tf.logging.ERROR)
import tensor2tensor.layers.common_attention  # noqa: E402, F401

tf.logging.set_verbosity(_verbosity)
