"""Writes the strings of a grammar to files, shard by shard, which a kill does not lose."""

import contextlib
import dataclasses
import functools
import os
import time
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, ArrayLike, Key

from hierjax.runs import hosts
from hierjax.runs.conditions import versions
from hierjax.runs.datasets import shards
from hierjax.runs.progress import Progress
from hierjax.runs.record import RunFolder, local_path
from hierjax.settings import Config, setting
from hierjax.tasks import (
    MAX_DRAWS,
    RandomHierarchy,
    check_split,
    require_filled,
    save_grammar,
    unseen_candidates,
)

_WRITTEN = "shard"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetSizes(Config):
    """How many strings a dataset has, and how they lie in files.

    Attributes:
      num_strings: number of train strings, which are independent draws.
      num_test: number of test strings, none of which is a train string; they make one shard.
      strings_per_shard: number of strings in a file; so many are in memory at once.
      trees: whether the symbols of all nodes are kept, besides strings and classes.

    Raises:
      ValueError: a value is not allowed, or there are more test strings than a shard has.
    """

    num_strings: int = setting(10**6, least=1, most=2**31 - 1)
    num_test: int = setting(0, least=0, most=2**31 - 1)
    strings_per_shard: int = setting(2**16, least=1, most=2**24)
    trees: bool = True

    def __post_init__(self):
        super().__post_init__()
        if self.num_test > self.strings_per_shard:
            raise ValueError(
                f"num_test={self.num_test} must be at most strings_per_shard="
                f"{self.strings_per_shard}: test strings are in memory at once"
            )

    @property
    def total(self) -> int:
        """Number of all strings."""
        return self.num_strings + self.num_test

    @functools.cached_property
    def shards(self) -> dict[str, dict[str, Any]]:
        """Split and number of strings of each file, by its name; the test strings come last."""
        each, total = self.strings_per_shard, self.num_strings
        counts = [min(each, total - first) for first in range(0, total, each)]
        found = {
            shards.shard_name("train", index): {"split": "train", "num_strings": count}
            for index, count in enumerate(counts)
        }
        if self.num_test:
            of_test = {"split": "test", "num_strings": self.num_test}
            found[shards.shard_name("test", 0)] = of_test
        return found


def write_dataset(
    folder: str | os.PathLike,
    grammar: RandomHierarchy,
    key: Key[Array, ""],
    sizes: DatasetSizes,
    overwrite: bool = False,
) -> None:
    """Writes strings of a grammar to files, or goes on where an earlier call was cut off.

    The strings are those of `hierjax.tasks.make_split` for the same grammar, key and sizes, to the
    bit, whatever the number of strings in a shard; without test strings the train set is the same.

    Args:
      folder: where the files are written (see `hierjax.runs.datasets.shards`), made if missing.
      grammar: the grammar.
      key: typed PRNG key, of threefry.
      sizes: how many strings there are.
      overwrite: whether to forget what an earlier run has written there.

    Raises:
      ValueError: the folder holds something else, or the language is too small for the strings.
      OSError: the folder cannot be written, or another run is at work in it.
    """
    with contextlib.closing(DatasetWriter(folder, grammar, key, sizes, overwrite)) as writer:
        writer.carry_out()


class DatasetWriter:
    """A dataset that is being written; see `write_dataset` for the arguments and errors.

    Attributes:
      folder: the run folder, locked until the writer is closed.
      num_kept: number of strings that an earlier run has written.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        grammar: RandomHierarchy,
        key: Key[Array, ""],
        sizes: DatasetSizes,
        overwrite: bool = False,
    ):
        _require_one_stream(key)
        grammar.require_tables()
        if sizes.num_test:
            check_split(grammar.num_strings, sizes.num_strings, sizes.num_test)
        self._grammar, self._key, self._sizes = grammar, key, sizes
        self._facts = {
            "spec": dataclasses.asdict(grammar.spec),
            **dataclasses.asdict(sizes),
            "key": np.asarray(jax.random.key_data(key)).tolist(),
            "grammar_sha256": shards.grammar_digest(grammar),
        }
        path = local_path("workdir", str(folder))
        self.folder = RunFolder(path, "make_dataset", self._facts, overwrite)
        try:
            self._digests = self._kept()
            self.num_kept = sum(sizes.shards[name]["num_strings"] for name in self._digests)
            self.folder.take_up(self.num_kept, sizes.total)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Unlocks the folder."""
        self.folder.close()

    def carry_out(self) -> None:
        """Writes what is missing, and then the index."""
        start, missing = time.perf_counter(), self._sizes.shards.keys() - self._digests.keys()
        self.folder.write_file(
            shards.GRAMMAR, lambda path: save_grammar(path, grammar=self._grammar)
        )
        with Progress(self._sizes.total, "strings", self.num_kept) as bar:
            for index, (name, shard) in enumerate(self._sizes.shards.items()):
                if name in missing:
                    self._write(name, index)
                    bar.advance(shard["num_strings"])
        if missing or not (self.folder.path / shards.INDEX).exists():
            self.folder.write_json(shards.INDEX, self._index())
        self.folder.log("finished", seconds=time.perf_counter() - start)

    def _kept(self) -> dict[str, str]:
        """The digests of the shards that an earlier run has written, and that are as they were."""
        written = {event["file"]: event["sha256"] for event in self.folder.events(_WRITTEN)}
        return {
            name: digest
            for name, digest in written.items()
            if (self.folder.path / name).is_file()
            and shards.file_digest(self.folder.path / name) == digest
        }

    def _write(self, name: str, index: int) -> None:
        is_test = self._sizes.shards[name]["split"] == "test"
        arrays = self._test() if is_test else self._train(index)
        self.folder.write_arrays(name, arrays)
        self._digests[name] = shards.file_digest(self.folder.path / name)
        self.folder.log(_WRITTEN, file=name, sha256=self._digests[name])

    def _train(self, index: int) -> shards.Arrays:
        key, total = jax.random.fold_in(self._key, 0), self._sizes.num_strings
        size = min(self._sizes.strings_per_shard, total)
        first = index * self._sizes.strings_per_shard
        # Of the last shard, too, as many are drawn: one program is enough.
        arrays = _draw(self._grammar, key, first, size, self._sizes.trees)
        return {name: np.asarray(array)[: total - first] for name, array in arrays.items()}

    def _test(self) -> shards.Arrays:
        """Draws test strings, of which no shard has any."""
        found, wanted, trees = [], self._sizes.num_test, self._sizes.trees
        for attempt in range(MAX_DRAWS):
            batch = unseen_candidates(self._grammar, self._key, attempt, wanted)
            arrays = jax.device_get(shards.arrays_of(batch, trees))
            unseen = ~self._are_written(arrays["inputs"])
            found.append({name: array[unseen] for name, array in arrays.items()})
            if sum(len(part["inputs"]) for part in found) >= wanted:
                break
        joined = {
            name: np.concatenate([part[name] for part in found])[:wanted] for name in found[0]
        }
        require_filled(np.array(len(joined["inputs"])), wanted)
        return joined

    def _are_written(self, strings: np.ndarray) -> np.ndarray:
        """Tells which strings (N, d) stand in a shard of train strings, (N,) bool."""
        rows, written = _as_bytes(strings), set()
        asked = set(rows)
        for name, shard in self._sizes.shards.items():
            if shard["split"] == "train":
                train = shards.read_shard(self.folder.path / name, self._digests[name])
                written |= asked.intersection(_as_bytes(train["inputs"]))
        return np.array([row in written for row in rows])

    def _index(self) -> dict[str, Any]:
        files = [
            {"file": name, **shard, "sha256": self._digests[name]}
            for name, shard in self._sizes.shards.items()
        ]
        return {"format": shards.FORMAT, **self._facts, "versions": versions(), "shards": files}


def _require_one_stream(key: Key[Array, ""]) -> None:
    if hosts.count() > 1:
        raise ValueError(
            f"a dataset is written by one process, and here are {hosts.count()}: start one"
        )
    if str(jax.random.key_impl(key)) != "threefry2x32":
        raise ValueError(
            f"key is of the generator {jax.random.key_impl(key)}, but must be of threefry2x32, "
            "which draws the same strings in one piece or in many"
        )


@functools.partial(jax.jit, static_argnames=("n", "trees"))
def _draw(
    grammar: RandomHierarchy, key: Key[Array, ""], first: ArrayLike, n: int, trees: bool
) -> dict[str, Array]:
    return shards.arrays_of(grammar.sample(key, n, first), trees)


def _as_bytes(strings: np.ndarray) -> list[bytes]:
    """Returns strings (N, d) as N bytes objects, which are quick to compare."""
    rows = np.ascontiguousarray(strings)
    return rows.view(f"V{rows.shape[1] * rows.itemsize}")[:, 0].tolist()
