"""Tests, golden cases and benchmarks."""
import common  # noqa: F401  # sets what TensorFlow reads at its import
