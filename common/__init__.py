"""Plumbing that the models share: no number of any paper stands in this package."""
import ctypes
import os
import sys

__version__ = '0.1.0'   # of the whole project; CHANGELOG.md says what is in it

# What TensorFlow 2 reads when it is imported, so the package of every model imports this one.
# oneDNN's kernels, which 1.15 has not, crash 2.21 in a training step of IM-NET's picture encoder.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')
os.environ.setdefault('ENABLE_RUNTIME_UPTIME_TELEMETRY', '0')
# It imports Keras, and with it scikit-learn and matplotlib, a third of the time of its own import,
# unless the older Keras is asked for, a package that no lock has. Nothing here uses either;
# common.ops.runtime takes this back, so that Keras is found by who uses it beside this project.
hides_keras = not {'TF_USE_LEGACY_KERAS', 'tensorflow'} & {*os.environ, *sys.modules}
if hides_keras:
    os.environ['TF_USE_LEGACY_KERAS'] = '1'

# TensorFlow 2 starts threads when it is imported; glibc gives each of them an arena, whose memory
# goes back to the system in spite of common.device.session.keep_freed_memory.
if 'MALLOC_ARENA_MAX' not in os.environ:
    try:
        ctypes.CDLL(None).mallopt(-8, 1)
    except (AttributeError, OSError, TypeError):    # another C library
        pass
