"""Test double of npu_bridge: the functions that common/device.py calls, and what they were given.

`calls` holds (name, arguments) in the order of the calls; like the real package it needs no import
of its submodules to be found.
"""
calls = []


def record(name, **arguments):
    """Remembers a call."""
    calls.append((name, arguments))
