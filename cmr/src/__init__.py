"""Networks, losses, data and tools of CMR."""
