"""Reads strings of files, shard by shard."""

import functools
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hierjax.runs.datasets import shards
from hierjax.tasks import RandomHierarchy, load_grammar


class StringDataset:
    """Strings in files, of which one shard at a time is in memory; see `open_dataset`.

    Attributes:
      folder: where the files are.
      index: what dataset.json says.
    """

    def __init__(self, folder: Path, index: Mapping[str, Any]):
        self.folder, self.index = folder, index

    @functools.cached_property
    def grammar(self) -> RandomHierarchy:
        """The grammar of the strings.

        Raises:
          ValueError: the file holds another one.
          OSError: it cannot be read.
        """
        path = self.folder / shards.GRAMMAR
        grammar = load_grammar(path)
        if shards.grammar_digest(grammar) != self.index["grammar_sha256"]:
            raise ValueError(f"{path} is not the grammar that the strings were drawn of")
        return grammar

    def num_strings(self, split: str = "train") -> int:
        """Returns the number of strings of a split.

        Args:
          split: "train" or "test".
        """
        return sum(shard["num_strings"] for shard in self._shards(split))

    def digests(self, split: str = "train") -> list[str]:
        """Returns the SHA-256 of each shard of a split."""
        return [shard["sha256"] for shard in self._shards(split)]

    def read_shards(self, split: str = "train") -> Iterator[shards.Arrays]:
        """Yields the shards of a split in order, as `hierjax.runs.datasets.shards` has them.

        Raises:
          ValueError: a file is missing, or is not the one that was written.
          OSError: it cannot be read.
        """
        for shard in self._shards(split):
            yield shards.read_shard(self.folder / shard["file"], shard["sha256"])

    def batches(
        self, batch_size: int, split: str = "train", part: int = 0, num_parts: int = 1
    ) -> Iterator[shards.Arrays]:
        """Yields strings in order, so many at a time; the last ones may be fewer.

        Readers that share the strings take a part each: of `num_parts` strings in a row, the one
        with the index `part`. No string is in two parts, and their sizes differ by one at most.

        Args:
          batch_size: number of strings, B.
          split: "train" or "test".
          part: index of this part.
          num_parts: number of parts.

        Returns:
          Arrays of B rows by name, as a shard has them.

        Raises:
          ValueError: a number is out of range; or as for `read_shards`.
          OSError: as for `read_shards`.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size} must be at least 1")
        if not 0 <= part < num_parts:
            raise ValueError(f"part={part} must be from 0 to num_parts - 1 = {num_parts - 1}")
        self._shards(split)
        return self._batches(batch_size, split, part, num_parts)

    def _batches(self, batch_size, split, part, num_parts) -> Iterator[shards.Arrays]:
        first, left = 0, {}
        for shard in self.read_shards(split):
            own = {
                name: rows[(part - first) % num_parts :: num_parts] for name, rows in shard.items()
            }
            first += len(shard["inputs"])
            if left:
                own = {name: np.concatenate([left[name], rows]) for name, rows in own.items()}
            count = len(own["inputs"])
            whole = count - count % batch_size
            for start in range(0, whole, batch_size):
                yield {name: rows[start : start + batch_size] for name, rows in own.items()}
            left = {name: rows[whole:] for name, rows in own.items()}
        if len(left["inputs"]):
            yield left

    def _shards(self, split: str) -> list[dict[str, Any]]:
        found = [shard for shard in self.index["shards"] if shard["split"] == split]
        if not found:
            splits = sorted({shard["split"] for shard in self.index["shards"]}, reverse=True)
            raise ValueError(f"{self.folder} has no split {split!r}: choose of {', '.join(splits)}")
        return found


def open_dataset(folder: str | os.PathLike) -> StringDataset:
    """Opens strings that `write_dataset` or `experiments.make_dataset` has written.

    Args:
      folder: the folder; it may have been moved.

    Raises:
      ValueError: it holds no finished dataset, or its index is damaged.
      OSError: the index cannot be read.
    """
    path = Path(folder) / shards.INDEX
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(
            f"{folder} holds no finished dataset, which has a {shards.INDEX}: name another folder, "
            "or finish this one by the command that began it"
        ) from None
    try:
        index = json.loads(text)
        kind, is_whole = index["format"], _is_whole(index)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} is no index of a dataset, or damaged: bring it back") from None
    if kind != shards.FORMAT or not is_whole:
        raise ValueError(
            f"{path} is of the format {kind!r}, or does not list the strings that it counts, and "
            f"here is {shards.FORMAT!r}: name another folder"
        )
    return StringDataset(Path(folder), index)


def _is_whole(index: dict[str, Any]) -> bool:
    """Whether an index lists the shards that its sizes make, under their names."""
    numbers = dict.fromkeys(shards.SPLITS, 0)
    counts = dict.fromkeys(shards.SPLITS, 0)
    for shard in index["shards"]:
        split = shard["split"]
        if shard["file"] != shards.shard_name(split, numbers[split]):
            return False  # Nor is anything read elsewhere.
        numbers[split] += 1
        counts[split] += shard["num_strings"]
    return counts == {"train": index["num_strings"], "test": index["num_test"]}
