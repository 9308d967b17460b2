"""Plumbing that the models share: no number of any paper stands in this package."""

__version__ = '0.1.0'   # of the whole project; CHANGELOG.md says what is in it
