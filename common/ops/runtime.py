"""TensorFlow as this project uses it: graphs and sessions of version 1, on 1.15 and on 2.

Imported for its effect, before anything is built, by the modules of `common` that build or read.
"""
import tensorflow.compat.v1 as tf

_verbosity = tf.logging.get_verbosity()
tf.logging.set_verbosity(tf.logging.ERROR)      # what it says of deprecation is known
tf.disable_v2_behavior()
tf.logging.set_verbosity(_verbosity)
