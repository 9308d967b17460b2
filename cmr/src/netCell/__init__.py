"""The network with its losses, and as it predicts."""
