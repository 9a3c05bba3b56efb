"""Strings of files for PyTorch, which this module imports."""

from collections.abc import Iterator

import torch  # pyrefly: ignore[missing-import]: few have it.
from torch import distributed  # pyrefly: ignore[missing-import]
from torch.utils import data  # pyrefly: ignore[missing-import]

from hierjax.runs.datasets.reader import StringDataset

_ROWS = 1024


class TorchStrings(data.IterableDataset):
    """Strings in order; see `hierjax.runs.to_torch`.

    Args:
      strings: the files.
      batch_size: number of strings of an item; None for one string without the axis of strings.
      split: "train" or "test".
      rank: which of the processes this is; None for what torch.distributed says, where it is used.
      world_size: number of processes; None likewise.
    """

    def __init__(
        self,
        strings: StringDataset,
        batch_size: int | None,
        split: str,
        rank: int | None,
        world_size: int | None,
    ):
        if rank is None and world_size is None:
            rank, world_size = _place()
        if rank is None or world_size is None:
            raise ValueError(f"rank={rank} and world_size={world_size}: give both, or none")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank={rank} must be from 0 to world_size - 1 = {world_size - 1}")
        self._strings, self._batch_size, self._split = strings, batch_size, split
        self._rank, self._world_size = rank, world_size
        self._batches(0, 1)  # What is wrong is said here, not by a worker.

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        worker = data.get_worker_info()
        batches = self._batches(worker.id, worker.num_workers) if worker else self._batches(0, 1)
        for batch in batches:
            tensors = {name: torch.from_numpy(rows.copy()) for name, rows in batch.items()}
            if self._batch_size is None:
                for row in zip(*tensors.values(), strict=True):
                    yield dict(zip(tensors, row, strict=True))
            else:
                yield tensors

    def _batches(self, worker: int, num_workers: int):
        # So the strings of a rank are the same for any number of workers.
        part, num_parts = worker * self._world_size + self._rank, self._world_size * num_workers
        size = _ROWS if self._batch_size is None else self._batch_size
        return self._strings.batches(size, self._split, part, num_parts)


def _place() -> tuple[int, int]:
    """Returns rank and world size as torch.distributed has them, where it is in use."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
