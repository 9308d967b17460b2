"""Shapes without a network: meshes, voxel grids, procedural furniture, pictures of them."""
