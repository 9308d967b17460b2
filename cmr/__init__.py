"""CMR: one photo of a person to a body mesh (Kolotouros et al. 2019)."""
