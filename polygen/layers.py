"""The layers that the networks are built of, chosen here and nowhere else.

On TensorFlow 1 they are Sonnet's and tensor2tensor's, on which the original stands. TensorFlow 2 can
import neither; there they are ours, of the same names, variables and results.
"""
import tensorflow.compat.v1 as tf

if tf.__version__.startswith('1.'):
    # tensor2tensor's import logs a deprecation that a user can do nothing about.
    _verbosity = tf.logging.get_verbosity()
    tf.logging.set_verbosity(tf.logging.ERROR)
    from sonnet import AbstractModule, Embed, reuse_variables
    from tensor2tensor.layers.common_attention import (
        attention_bias_ignore_padding, attention_bias_lower_triangle, combine_heads,
        embedding_to_padding, multihead_attention, multihead_self_attention_memory_efficient)
    from tensor2tensor.layers.common_layers import (
        layer_norm, layer_norm_compute, layer_norm_vars, shape_list)
    from tensorflow_probability.python.distributions import Categorical
    tf.logging.set_verbosity(_verbosity)
else:
    from polygen.own_layers import (
        AbstractModule, Categorical, Embed, attention_bias_ignore_padding,
        attention_bias_lower_triangle, combine_heads, embedding_to_padding, layer_norm,
        layer_norm_compute, layer_norm_vars, multihead_attention,
        multihead_self_attention_memory_efficient, reuse_variables, shape_list)

__all__ = [
    'AbstractModule', 'Categorical', 'Embed', 'attention_bias_ignore_padding',
    'attention_bias_lower_triangle', 'combine_heads', 'embedding_to_padding', 'layer_norm',
    'layer_norm_compute', 'layer_norm_vars', 'multihead_attention',
    'multihead_self_attention_memory_efficient', 'reuse_variables', 'shape_list']
