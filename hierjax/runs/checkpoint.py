"""Checkpoints by Orbax: one numbered step for each finished layer, and the layer at work."""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, Self, cast

import jax
import numpy as np
from etils import epath
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from orbax.checkpoint import v1 as ocp

from hierjax.runs import hosts

PyTree = Any


class LayerCheckpoints:
    """The layers of one learner, in a folder. Use as a context manager.

    `layers/` holds a step for each finished layer, `rounds_K/` the latest state of layer K while
    it is fitted in rounds. A save cut short by a kill leaves no step behind.

    Each step carries a digest of its run, of its arrays and of the digest of the layer below, which
    is checked when it is read: a step that is damaged, or was put there from another run or stack,
    is refused.

    Args:
      directory: the folder, made if it is missing; gs://bucket/folder is one of a bucket.
      run: what identifies the run and the learner.

    Raises:
      OSError: the folder cannot be made or written.
      ValueError: what tells of a step is damaged.
    """

    def __init__(self, directory: str | os.PathLike, run: str = ""):
        self._run, self._digests = run, dict[int, str]()
        self._directory = _absolute(directory)
        everything = ocp.training.preservation_policies.PreserveAll()
        self._layers = _open(self._directory / "layers", everything)
        self._rounds: dict[int, ocp.training.Checkpointer] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        with _writing(self._directory):
            for checkpointer in (self._layers, *self._rounds.values()):
                checkpointer.close()
        if hosts.is_first():
            for checkpoint in self._layers.checkpoints:  # Their rounds have done their work.
                self._rounds_folder(checkpoint.step).rmtree(missing_ok=True)

    def save(self, index: int, params: PyTree, metadata: dict | None = None) -> None:
        """Saves a finished layer; it is on disk when this returns.

        Args:
          index: index of the layer, from 0.
          params: parameters of the layer, a pytree of arrays.
          metadata: facts about the layer that JSON can hold.

        Raises:
          OSError: it cannot be saved, for instance because the disk is full.
        """
        facts = self._facts(index, "layer", params, metadata or {})
        with _writing(self._directory):
            self._layers.save_checkpointables(
                index, {"layer": _shared_out(params)}, custom_metadata=facts
            )
        self._digests[index] = facts["digest"]

    def metadata(self, index: int) -> dict:
        """Returns the facts that a finished layer was saved with; empty if there are none."""
        return _read_facts(self._layers, index)["facts"]

    def restore(self, num_layers: int, layout: Callable[[int], PyTree]) -> list[PyTree]:
        """Reads the finished layers, whatever devices and processes they were saved by.

        Args:
          num_layers: number of layers of the stack.
          layout: index of a layer, from 0 -> the tree of `jax.ShapeDtypeStruct` of its parameters.

        Returns:
          The parameters of layers 0 to k - 1, where k layers were finished, numpy arrays.

        Raises:
          ValueError: steps are missing, damaged, or of another run.
        """
        steps = sorted(checkpoint.step for checkpoint in self._layers.checkpoints)
        if steps != list(range(len(steps))) or len(steps) > num_layers:
            raise ValueError(
                f"{_real(self._directory)} holds steps {steps}, which are not the first layers of "
                f"a stack of {num_layers}, so not of this run: choose another folder or overwrite "
                "it"
            )
        return [self._load(self._layers, step, layout(step), "layer", step) for step in steps]

    def save_rounds(self, index: int, state: PyTree) -> None:
        """Saves the state of a layer between two rounds, in place of an earlier one.

        It is saved in the background; leaving the context waits for it.

        Args:
          index: index of the layer, from 0.
          state: the state, a pytree of arrays.

        Raises:
          OSError: it, or the one before, cannot be saved.
        """
        rounds = self._rounds_of(index)
        step = 0 if rounds.latest is None else rounds.latest.step + 1
        facts = self._facts(index, "rounds", state, {})
        with _writing(self._directory):
            rounds.save_checkpointables_async(
                step, {"layer": _shared_out(state)}, custom_metadata=facts
            )

    def restore_rounds(self, index: int, layout: Callable[[], PyTree]) -> PyTree | None:
        """Reads the latest state of a layer that is not finished.

        Args:
          index: index of the layer, from 0.
          layout: makes the tree of `jax.ShapeDtypeStruct` of the state.

        Returns:
          The state, numpy arrays; None if none was saved.

        Raises:
          ValueError: the state is damaged or of another run.
        """
        if not self._rounds_folder(index).exists():
            return None
        rounds = self._rounds_of(index)
        if rounds.latest is None:
            return None
        return self._load(rounds, rounds.latest.step, layout(), "rounds", index)

    def _facts(self, index: int, kind: str, tree: PyTree, facts: dict) -> dict:
        """Returns what is saved beside the arrays of a step: facts, and the digest of it all."""
        found = hashlib.sha256(
            json.dumps([self._run, index, kind, facts, self._digest_below(index)]).encode()
        )
        for path, leaf in jax.tree_util.tree_leaves_with_path(hosts.to_host(tree)):
            array = np.asarray(leaf)
            found.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
            found.update(array.tobytes())  # Of bfloat16 there is no buffer.
        return {"facts": facts, "digest": found.hexdigest()}

    def _digest_below(self, index: int) -> str:
        below = index - 1
        if below not in self._digests:
            saved = below in {checkpoint.step for checkpoint in self._layers.checkpoints}
            self._digests[below] = _read_facts(self._layers, below)["digest"] if saved else ""
        return self._digests[below]

    def _load(
        self,
        checkpointer: ocp.training.Checkpointer,
        step: int,
        layout: PyTree,
        kind: str,
        index: int,
    ) -> PyTree:
        layout = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=_everywhere()), layout
        )
        try:
            tree = checkpointer.load_checkpointables(step, {"layer": layout})["layer"]
            tree = hosts.to_host(tree)
            saved = _read_facts(checkpointer, step)
            if saved != self._facts(index, kind, tree, saved["facts"]):
                raise ValueError("its digest is another")
        except Exception as error:
            # Orbax meets damage in many ways, and the remedy is always the same.
            raise ValueError(
                f"step {step} of {_real(checkpointer.directory)} is damaged or of another run: "
                f"remove the steps from {step} on to train these layers again, or overwrite the run"
            ) from error
        return tree

    def _rounds_folder(self, index: int) -> epath.Path:
        return self._directory / f"rounds_{index}"

    def _rounds_of(self, index: int) -> ocp.training.Checkpointer:
        if index not in self._rounds:
            newest = ocp.training.preservation_policies.LatestN(1)
            self._rounds[index] = _open(self._rounds_folder(index), newest)
        return self._rounds[index]


def _absolute(path: str | os.PathLike) -> epath.Path:
    return epath.Path(path if "://" in str(path) else os.path.abspath(path))


def _open(directory: epath.Path, preservation_policy) -> ocp.training.Checkpointer:
    every_step = ocp.training.save_decision_policies.FixedIntervalPolicy(1)
    try:
        if directory.exists() and not directory.is_dir():
            raise ValueError("it is a file")
        return ocp.training.Checkpointer(
            os.fspath(directory),
            save_decision_policy=cast(Any, every_step),
            preservation_policy=preservation_policy,
            cleanup_tmp_directories=True,
        )
    except OSError:
        raise
    except Exception as error:
        raise ValueError(
            f"a step of {_real(directory)} is damaged or of another run: remove the folder to "
            "train its layers again, or overwrite the run"
        ) from error


def _everywhere() -> jax.sharding.Sharding:
    """Where a step is read to: the first device, of several processes all devices."""
    if hosts.count() == 1:
        return jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return NamedSharding(_all_devices(), PartitionSpec())


def _shared_out(tree: PyTree) -> PyTree:
    """Divides the rows of arrays between the processes, each of which then writes its own."""
    if hosts.count() == 1:
        return tree

    def sharding(leaf):
        divides = np.ndim(leaf) > 0 and leaf.shape[0] % _all_devices().size == 0
        return NamedSharding(_all_devices(), PartitionSpec("row" if divides else None))

    return hosts.to_devices(tree, jax.tree.map(sharding, tree))


def _all_devices() -> Mesh:
    return Mesh(jax.devices(), ("row",), axis_types=(AxisType.Auto,))


def _real(path: Any) -> str:
    """How people know a path, which may lead through an open folder."""
    return str(path) if "://" in str(path) else os.path.realpath(path)


@contextlib.contextmanager
def _writing(directory: epath.Path) -> Iterator[None]:
    """Says in a line why Orbax cannot write."""
    try:
        yield
    except Exception as error:
        code = re.search(r"os_error_code='(\d+)'", str(error))
        reason = os.strerror(int(code[1])) if code else str(error)
        raise OSError(f"{_real(directory)} cannot be written ({reason})") from error


def _read_facts(checkpointer: ocp.training.Checkpointer, step: int) -> dict:
    return cast(dict, checkpointer.checkpointables_metadata(step).custom_metadata or {})
