"""Single-view reconstruction: from a grey picture to a code of the autoencoder (IM-SVR)."""
