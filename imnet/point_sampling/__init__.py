"""From voxels, meshes and rendered views to the HDF5 files that IM-NET trains on."""
