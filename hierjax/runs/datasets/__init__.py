"""Strings in files, with their trees: written in shards, read by numpy, PyTorch, `datasets`."""
