"""Benchmarks: `python -m benchmarks.run`, and `python -m benchmarks.growth`."""

import experiments  # noqa: F401  While the rest is imported, signals end the process in one line.
