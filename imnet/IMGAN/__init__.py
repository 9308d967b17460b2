"""The autoencoder of voxels (IM-AE) and the GAN of its codes (z-GAN)."""
