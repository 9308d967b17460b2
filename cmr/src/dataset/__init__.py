"""Samples of CMR: files, augmentation, mixture."""
