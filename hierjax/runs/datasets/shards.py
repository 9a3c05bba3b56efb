"""What the files of a dataset are called and hold.

dataset.json              the index: sizes, key, versions, and the digest of every file
strings/grammar.json      the grammar, for `hierjax.tasks.load_grammar`
strings/train-00000.npz   the first train strings, and so on; strings/test-00000.npz, unseen ones

A shard holds the arrays "inputs" (N, d), the strings, and "labels" (N,), their classes; with trees
also "level_1" (N, P_1) to "level_{L-1}", the symbols of the nodes between root and leaves. All are
of the smallest unsigned types that hold the symbols.
"""

import hashlib
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Array

from hierjax.tasks import Batch, RandomHierarchy, unpack

INDEX = "dataset.json"
GRAMMAR = "strings/grammar.json"
FORMAT = "strings of a random hierarchy, 1"
SPLITS = ("train", "test")

Arrays = dict[str, np.ndarray]
"""Arrays of as many rows, by name."""


def shard_name(split: str, index: int) -> str:
    """Returns the path of a shard below the dataset's folder."""
    return f"strings/{split}-{index:05d}.npz"


def arrays_of(batch: Batch, trees: bool) -> dict[str, Array]:
    """Returns what a shard holds of a batch.

    Args:
      batch: strings, as `RandomHierarchy.sample` draws them.
      trees: whether the nodes between root and leaves are kept.
    """
    nodes = {f"level_{level}": each for level, each in enumerate(batch.latents)}
    inner = list(nodes)[1:-1] if trees else []
    return {"inputs": batch.inputs, "labels": batch.labels} | {key: nodes[key] for key in inner}


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def grammar_digest(grammar: RandomHierarchy) -> str:
    """Returns the SHA-256 of the tables of a grammar, whatever file they stand in."""
    tables = [np.asarray(leaf) for leaf in jax.tree.leaves(grammar)]
    kinds = [(table.dtype.str, table.shape) for table in tables]
    found = hashlib.sha256(repr((grammar.spec, kinds)).encode())
    for table in tables:
        found.update(table.tobytes())
    return found.hexdigest()


def read_shard(path: Path, digest: str) -> Arrays:
    """Reads a shard whole.

    Args:
      path: its file.
      digest: the digest that the index has of it.

    Raises:
      ValueError: the file is another one than was written, or damaged.
      OSError: it cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(
            f"{path} is missing, which {INDEX} lists: bring it back, or run the command that made "
            "the dataset again"
        ) from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError(
            f"{path} is not the file that was written, by its SHA-256: it was cut short, changed, "
            "or is of another dataset; run the command that made the dataset again"
        )
    try:
        return unpack(content)
    except ValueError as error:
        raise ValueError(f"{path} is no shard of strings: {error}") from error
