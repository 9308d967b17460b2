"""The layers that the networks are built of, chosen here and nowhere else.

On TensorFlow 1 they are Sonnet's and tensor2tensor's, on which the original stands. TensorFlow 2
can import neither; there they are ours, of the same names, variables and results.
"""
import tensorflow.compat.v1 as tf

if tf.__version__.startswith('1.'):
    # tensor2tensor's import logs a deprecation that a user can do nothing about.
    _verbosity = tf.logging.get_verbosity()
    tf.logging.set_verbosity(tf.logging.ERROR)
    import sonnet as _modules
    from tensor2tensor.layers import common_attention as _attention
    from tensor2tensor.layers import common_layers as _norms
    from tensorflow_probability import distributions as _distributions
    tf.logging.set_verbosity(_verbosity)
else:
    from polygen import own_layers
    _modules = _attention = _norms = _distributions = own_layers

AbstractModule = _modules.AbstractModule
Embed = _modules.Embed
reuse_variables = _modules.reuse_variables
Categorical = _distributions.Categorical
layer_norm = _norms.layer_norm
layer_norm_compute = _norms.layer_norm_compute
layer_norm_vars = _norms.layer_norm_vars
shape_list = _norms.shape_list
attention_bias_ignore_padding = _attention.attention_bias_ignore_padding
attention_bias_lower_triangle = _attention.attention_bias_lower_triangle
combine_heads = _attention.combine_heads
embedding_to_padding = _attention.embedding_to_padding
multihead_attention = _attention.multihead_attention
multihead_self_attention_memory_efficient = _attention.multihead_self_attention_memory_efficient
