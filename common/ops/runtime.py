"""TensorFlow as this project uses it: graphs and sessions of version 1, on 1.15 and on 2.

Imported for its effect, before anything is built, by the modules of `common` that build or read.
"""
import tensorflow.compat.v1 as tf
from tensorflow.python.util import deprecation

_verbosity = tf.logging.get_verbosity()
tf.logging.set_verbosity(tf.logging.ERROR)      # what it says of deprecation is known
tf.disable_v2_behavior()
tf.logging.set_verbosity(_verbosity)
# To look for deprecated arguments in each call takes a fifth of the time to build a graph.
deprecation._PRINT_DEPRECATION_WARNINGS = False
