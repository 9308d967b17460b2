"""PolyGen: autoregressive models of polygon meshes (Nash et al. 2020)."""
import common  # noqa: F401  # sets what TensorFlow reads at its import
