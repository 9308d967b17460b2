"""3D-R2N2 (Choy et al. 2016): pictures of an object to a voxel grid."""
import common  # noqa: F401  # sets what TensorFlow reads at its import
