"""Strings of files for other libraries, which are extras of this one."""

import hashlib
import importlib
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np

from hierjax.runs.datasets.reader import StringDataset, open_dataset
from hierjax.tasks import replacing


def to_torch(
    folder: str | os.PathLike,
    batch_size: int | None = None,
    split: str = "train",
    rank: int | None = None,
    world_size: int | None = None,
) -> Any:
    """Makes an `IterableDataset` of PyTorch of strings in files.

    Its items are dictionaries of tensors, as a shard has arrays (`hierjax.runs.datasets.shards`),
    in the order in which the strings were drawn. Workers of a `DataLoader`, and processes of a
    distributed run, each read strings of their own, whose numbers differ by one at most.

    Args:
      folder: see `open_dataset`.
      batch_size: number of strings of an item, for `DataLoader(dataset, batch_size=None)`, which is
        many times faster; None for single strings, for `DataLoader(dataset, batch_size=64)`.
      split: "train" or "test".
      rank: which of the processes of a distributed run this is; None for what `torch.distributed`
        says where it is in use, else 0.
      world_size: number of these processes; None likewise.

    Returns:
      The dataset.

    Raises:
      ValueError: PyTorch is not installed, the folder holds no dataset, or a number is out of
        range.
      OSError: the files cannot be read.
    """
    _require("torch")
    module = importlib.import_module("hierjax.runs.datasets.torch_strings")
    return module.TorchStrings(open_dataset(folder), batch_size, split, rank, world_size)


def to_hugging_face(folder: str | os.PathLike, split: str = "train") -> Any:
    """Makes a `Dataset` of Hugging Face's `datasets` of strings in files.

    The strings are written once more, to an Arrow file beside the shards, and mapped into memory
    from there. A later call finds the file.

    Args:
      folder: see `open_dataset`.
      split: "train" or "test".

    Returns:
      The dataset, whose columns are the arrays of a shard (`hierjax.runs.datasets.shards`), lists
      of fixed length of the same integers.

    Raises:
      ValueError: `datasets` is not installed, or the folder holds no dataset.
      OSError: files cannot be read or written.
    """
    datasets = _require("datasets")
    strings = open_dataset(folder)
    content = hashlib.sha256("".join(strings.digests(split)).encode()).hexdigest()
    path = strings.folder / "strings" / f"{split}-{content[:16]}.arrow"
    if not path.exists():
        _write_arrow(strings, split, path)
    return datasets.Dataset.from_file(str(path))


def _write_arrow(strings: StringDataset, split: str, path: Path) -> None:
    arrow = _require("pyarrow")
    tables = (
        arrow.table({name: _column(arrow, array) for name, array in shard.items()})
        for shard in strings.read_shards(split)
    )
    first = next(tables)
    try:
        with (
            replacing(path) as partial,
            arrow.ipc.new_stream(partial, first.schema) as writer,
        ):
            for table in itertools.chain([first], tables):
                writer.write_table(table)
    except OSError as error:
        raise OSError(f"{path} cannot be written ({error.strerror or error})") from error


def _column(arrow: Any, array: np.ndarray) -> Any:
    flat = arrow.array(array.reshape(-1))
    return flat if array.ndim == 1 else arrow.FixedSizeListArray.from_arrays(flat, array.shape[1])


def _require(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError:
        raise ValueError(
            f"the package {package} is not installed, which strings are converted for: pip install "
            "'hierjax[datasets]'"
        ) from None
