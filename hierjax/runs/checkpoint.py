"""Checkpoints by Orbax: one numbered step for each finished layer, and the layer at work."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, cast

import jax
from orbax.checkpoint import v1 as ocp

PyTree = Any


class LayerCheckpoints:
    """The layers of one learner, in a folder. Use as a context manager.

    `layers/` holds a step for each finished layer, `rounds_K/` the latest state of layer K while
    it is fitted in rounds. Saving runs in the background; leaving the context waits for it. A
    save cut short by a kill leaves no step behind.

    Args:
      directory: the folder, made if it is missing.

    Raises:
      OSError: the folder cannot be made or written.
    """

    def __init__(self, directory: str | os.PathLike):
        self._directory = Path(directory).absolute()
        everything = ocp.training.preservation_policies.PreserveAll()
        self._layers = _open(self._directory / "layers", everything)
        self._rounds: dict[int, ocp.training.Checkpointer] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        for checkpointer in (self._layers, *self._rounds.values()):
            checkpointer.close()
        for checkpoint in self._layers.checkpoints:  # Their rounds have done their work.
            shutil.rmtree(self._rounds_folder(checkpoint.step), ignore_errors=True)

    def save(self, index: int, params: PyTree, metadata: dict | None = None) -> None:
        """Saves a finished layer.

        Args:
          index: index of the layer, from 0.
          params: parameters of the layer, a pytree of arrays.
          metadata: facts about the layer that JSON can hold.
        """
        self._layers.save_checkpointables_async(index, {"layer": params}, custom_metadata=metadata)

    def metadata(self, index: int) -> dict:
        """Returns the facts that a finished layer was saved with; empty if there are none."""
        facts = self._layers.checkpointables_metadata(index).custom_metadata
        return cast(dict, facts or {})

    def restore(self, num_layers: int, layout: Callable[[int], PyTree]) -> list[PyTree]:
        """Reads the finished layers onto the first device, whatever device they were saved on.

        Args:
          num_layers: number of layers of the stack.
          layout: index of a layer, from 0 -> the tree of `jax.ShapeDtypeStruct` of its parameters.

        Returns:
          The parameters of layers 0 to k - 1, where k layers were finished.

        Raises:
          ValueError: steps are missing, damaged, or of another run.
        """
        steps = sorted(checkpoint.step for checkpoint in self._layers.checkpoints)
        if steps != list(range(len(steps))) or len(steps) > num_layers:
            raise ValueError(
                f"{self._directory} holds steps {steps}, which are not the first layers of a stack "
                f"of {num_layers}, so not of this run: choose another folder or overwrite it"
            )
        return [_load(self._layers, step, layout(step)) for step in steps]

    def save_rounds(self, index: int, state: PyTree) -> None:
        """Saves the state of a layer between two rounds, in place of an earlier one.

        Args:
          index: index of the layer, from 0.
          state: the state, a pytree of arrays.
        """
        rounds = self._rounds_of(index)
        latest = rounds.latest
        rounds.save_checkpointables_async(
            0 if latest is None else latest.step + 1, {"layer": state}
        )

    def restore_rounds(self, index: int, layout: Callable[[], PyTree]) -> PyTree | None:
        """Reads the latest state of a layer that is not finished onto the first device.

        Args:
          index: index of the layer, from 0.
          layout: makes the tree of `jax.ShapeDtypeStruct` of the state.

        Returns:
          The state; None if none was saved.

        Raises:
          ValueError: the state is damaged or of another run.
        """
        if not self._rounds_folder(index).exists():
            return None
        rounds = self._rounds_of(index)
        return None if rounds.latest is None else _load(rounds, rounds.latest.step, layout())

    def _rounds_folder(self, index: int) -> Path:
        return self._directory / f"rounds_{index}"

    def _rounds_of(self, index: int) -> ocp.training.Checkpointer:
        if index not in self._rounds:
            newest = ocp.training.preservation_policies.LatestN(1)
            self._rounds[index] = _open(self._rounds_folder(index), newest)
        return self._rounds[index]


def _open(directory: Path, preservation_policy) -> ocp.training.Checkpointer:
    return ocp.training.Checkpointer(
        os.fspath(directory),
        save_decision_policy=cast(Any, ocp.training.save_decision_policies.FixedIntervalPolicy(1)),
        preservation_policy=preservation_policy,
        cleanup_tmp_directories=True,
    )


def _load(checkpointer: ocp.training.Checkpointer, step: int, layout: PyTree) -> PyTree:
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    layout = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), layout)
    try:
        return checkpointer.load_checkpointables(step, {"layer": layout})["layer"]
    except Exception as error:
        # Orbax meets damage in many ways, and the remedy is always the same.
        raise ValueError(
            f"step {step} of {checkpointer.directory} is damaged or of another run: remove the "
            f"steps from {step} on to train these layers again, or overwrite the run"
        ) from error
