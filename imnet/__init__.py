"""IM-NET, implicit fields for generative shape modelling (Chen, Zhang 2019, improved version)."""
import common  # noqa: F401  # sets what TensorFlow reads at its import
