"""The same networks in plain PyTorch, as somebody who has read the papers writes them.

Only to be timed beside the project's (`tests.benchmarks.peer_rows`). They run in an interpreter of
their own that needs PyTorch and nothing else, and take the sizes that they are given. Weights and
inputs are random: neither changes the time of a step. Channels come first, as PyTorch has it.
"""
