"""Commands, one for each result: `python -m experiments.NAME`."""

import sys

from experiments.command import process

if sys.argv[0] == "-m":  # A command of this package is looked for: what it imports takes time.
    process.guard()
