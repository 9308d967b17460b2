"""Meshes, pictures and options of CMR."""
