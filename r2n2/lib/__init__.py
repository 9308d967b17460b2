"""What the networks, the training and the tools of 3D-R2N2 are made of."""
