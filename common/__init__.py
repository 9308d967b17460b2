"""Plumbing that the models share: no number of any paper stands in this package."""
