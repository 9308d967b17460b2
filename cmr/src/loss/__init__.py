"""Losses of CMR."""
