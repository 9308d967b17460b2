"""TensorFlow as this project uses it: graphs and sessions of version 1, on 1.15 and on 2.

Imported for its effect, before anything is built, by the modules of `common` that build or read.
"""
import os
from typing import Optional

import tensorflow.compat.v1 as tf
from tensorflow.python.util import deprecation

import common

if common.hides_keras:      # from the import of TensorFlow alone
    os.environ.pop('TF_USE_LEGACY_KERAS', None)

# Columns of one product with a sparse matrix; None: all. An entry takes 2's kernel 1.2 ns a column
# from 32 columns on and 0.3 ns below, 1.15's 0.25 ns and 1 ns.
SPARSE_COLUMNS: Optional[int] = None if tf.__version__.startswith('1.') else 28

# 1.15 casts a value to half precision and back in 2.9 ns, eleven times as long as 2.
HALF_CASTS_ARE_SLOW: bool = tf.__version__.startswith('1.')

_verbosity = tf.logging.get_verbosity()
tf.logging.set_verbosity(tf.logging.ERROR)      # what it says of deprecation is known
tf.disable_v2_behavior()
tf.logging.set_verbosity(_verbosity)
# To look for deprecated arguments in each call takes a fifth of the time to build a graph.
deprecation._PRINT_DEPRECATION_WARNINGS = False
