"""CMR: one photo of a person to a body mesh (Kolotouros et al. 2019)."""
import common  # noqa: F401  # sets what TensorFlow reads at its import
