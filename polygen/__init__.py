"""PolyGen: autoregressive models of polygon meshes (Nash et al. 2020)."""
