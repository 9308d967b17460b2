"""Tools that make data for 3D-R2N2."""
