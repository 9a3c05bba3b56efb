"""Processes that run one program together, one on each host: what they agree on, and how they end.

Each process runs the same code for the same request on its own devices. All of them come to the
functions that send something, in the same order; where there is one process, nothing is sent.
"""

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, cast

import jax
import numpy as np
from jax.experimental import multihost_utils

PyTree = Any
Said = TypeVar("Said")

# Hosts are started at about the same time.
_SECONDS_TO_MEET = 45
# After so long without a sign of life a host is given up; those that compile give signs, too.
_SECONDS_OF_SILENCE = 20
# The first host draws the figure while the others wait.
_SECONDS_TO_PART = 300
# What JAX says where it knows of no others, or has computed before.
_ALONE = ("coordinator_address should be defined", "must be called before")
_polls = itertools.count(1)
_within: list[bool] = []


class TogetherError(ValueError):
    """What has failed in one process, raised in all of them at the same place."""


class Preempted(BaseException):
    """One of the processes was asked to end, and all of them have saved what there is."""


def join(
    coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> bool:
    """Joins the other processes of a run, before anything else is asked of JAX.

    Without arguments, JAX finds the others by itself on a TPU slice, under `srun` of Slurm and
    under `mpirun` of Open MPI; elsewhere this process is alone.

    Args:
      coordinator: host:port of process 0, a free port of it.
      num_processes: number of processes.
      process_id: number of this one, from 0.

    Returns:
      Whether there is a run to join, be it of this process alone.

    Raises:
      ValueError: only some of the three are given.
      ConnectionError: the others were not found.
    """
    given = {"coordinator": coordinator, "num_processes": num_processes, "process_id": process_id}
    missing = [f"--{name}" for name, value in given.items() if value is None]
    if 0 < len(missing) < len(given):
        raise ValueError(
            f"{' and '.join(missing)} are missing: give all of {', '.join(given)}, or none"
        )
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            cluster_detection_method=None if missing else "deactivate",
            initialization_timeout=_SECONDS_TO_MEET,
            heartbeat_timeout_seconds=_SECONDS_OF_SILENCE,
            shutdown_timeout_seconds=_SECONDS_TO_PART,
        )
    except Exception as error:
        if missing and any(words in str(error) for words in _ALONE):
            return False
        raise ConnectionError(
            f"the other processes were not found ({error}): start all of them within "
            f"{_SECONDS_TO_MEET} seconds, with the same address"
        ) from error
    return True


def part() -> None:
    """Takes leave of the other processes, all of which come here; then this one may end."""
    if count() > 1:
        jax.distributed.shutdown()


def count() -> int:
    """Returns the number of processes; where none have joined, no device is looked for."""
    return jax.process_count() if jax.distributed.is_initialized() else 1


def number() -> int:
    """Returns which of the processes this one is, from 0."""
    return jax.process_index() if jax.distributed.is_initialized() else 0


def is_first() -> bool:
    """Returns whether this process is the one that writes records and speaks to people."""
    return number() == 0


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Around what each process does by itself: where it fails for one, it fails for all.

    All processes come to its end, and within it to nothing that waits for another. One within
    another changes nothing.

    Raises:
      TogetherError: it has failed in a process; if there is one alone, its own error.
    """
    if count() == 1 or _within:
        yield
        return
    own: Exception | None = None
    _within.append(True)
    try:
        yield
    except Exception as error:
        own = error
    finally:
        _within.clear()
    for process, text in enumerate(from_all("" if own is None else _named(own))):
        if text:
            raise TogetherError(f"process {process}: {text}" if process else text) from own


def _named(error: Exception) -> str:
    """Returns what an error says, with its kind where nobody foresaw it."""
    foreseen = isinstance(error, ValueError | OSError | FloatingPointError)
    return str(error) if foreseen and str(error) else repr(error)


def from_first(say: Callable[[], Said]) -> Said:
    """Returns in all processes what the first one says, a value that JSON can hold.

    Raises:
      TogetherError: it has failed there; if there is one process alone, its own error.
    """
    if count() == 1:
        return say()
    said: Any = None
    with together():
        said = say() if is_first() else None
    return cast(Said, from_all(said)[0])


def from_all(mine: Said) -> list[Said]:
    """Returns in all processes what each of them says, values that JSON can hold."""
    if count() == 1:
        return [mine]
    octets = np.frombuffer(json.dumps(mine).encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.int32(octets.size)).ravel()
    padded = np.zeros(sizes.max(), np.uint8)
    padded[: octets.size] = octets
    rows = multihost_utils.process_allgather(padded)
    return [json.loads(bytes(row[:size])) for row, size in zip(rows, sizes, strict=True)]


def require_same(facts: Mapping[str, Any]) -> None:
    """Refuses to go on where a process has other facts than the first one.

    Args:
      facts: values by name, which are compared as texts.

    Raises:
      TogetherError: a fact differs.
    """
    first, *others = from_all({name: str(value) for name, value in facts.items()})
    for process, found in enumerate(others, 1):
        for name in {**first, **found}:
            here, there = first.get(name, "nothing"), found.get(name, "nothing")
            if here != there:
                raise TogetherError(
                    f"process {process} has {name}={there}, and process 0 has {here}: give all "
                    "processes the same flags, code and versions"
                )


def any_of(mine: bool) -> bool:
    """Returns in all processes whether it is true in one of them."""
    return mine if count() == 1 else bool(multihost_utils.process_allgather(np.bool_(mine)).any())


def must_end() -> bool:
    """Returns, in all processes at the same call, whether one of them was asked to end by SIGTERM.

    Where there is one process alone, the command ends by itself.
    """
    return count() > 1 and multihost_utils.reached_preemption_sync_point(next(_polls))


def to_host(tree: PyTree) -> PyTree:
    """Returns the numpy arrays of a tree, in every process the whole of them."""
    return jax.tree.map(_whole, tree) if count() > 1 else jax.device_get(tree)


def _whole(leaf: Any) -> np.ndarray:
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return multihost_utils.process_allgather(leaf, tiled=True)
    return jax.device_get(leaf)


def to_devices(tree: PyTree, shardings: PyTree) -> PyTree:
    """Brings arrays, the same in every process, to where a program wants them.

    Args:
      tree: arrays of numpy or of JAX, typed keys too.
      shardings: where each goes, a tree of the same structure.
    """
    return jax.tree.map(_put, tree, shardings)


def _put(leaf: Any, sharding: jax.sharding.Sharding | None) -> Any:
    if sharding is None:  # The program does not read it.
        return leaf
    # To put an array where it is takes longer than to ask, and some programs take hundreds.
    if isinstance(leaf, jax.Array) and leaf.sharding.is_equivalent_to(sharding, leaf.ndim):
        return leaf
    if count() == 1:
        return jax.device_put(leaf, sharding)
    if not getattr(leaf, "is_fully_addressable", True):
        return jax.jit(lambda x: x, out_shardings=sharding)(leaf)
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    whole = leaf if is_key else np.asarray(leaf)
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])
