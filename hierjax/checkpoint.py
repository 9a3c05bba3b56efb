"""Checkpoints by Orbax: one numbered step for each finished layer."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

PyTree = Any


class LayerCheckpoints:
    """The finished layers of a run, in a folder. Use as a context manager.

    Saving runs in the background; leaving the context waits for it. A save cut short by a kill
    leaves no step behind.

    Raises:
      OSError: the folder cannot be made or written.
    """

    def __init__(self, directory: str | os.PathLike):
        self._directory = Path(directory).absolute()
        self._checkpointer = ocp.training.Checkpointer(
            self._directory,
            save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
            cleanup_tmp_directories=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._checkpointer.close()

    def save(self, index: int, state: PyTree) -> None:
        """Saves the state of layer `index`, from 0."""
        self._checkpointer.save_checkpointables_async(index, {"layer": state})

    def restore(self, layouts: Sequence[PyTree]) -> list[PyTree]:
        """Reads the finished layers onto the first device, whatever device they were saved on.

        Args:
          layouts: for each layer of the stack, a tree of `jax.ShapeDtypeStruct`.

        Returns:
          The states of layers 0 to k - 1, where k layers were finished.

        Raises:
          ValueError: steps are missing, damaged, or of another run.
        """
        steps = sorted(checkpoint.step for checkpoint in self._checkpointer.checkpoints)
        if steps != list(range(len(steps))) or len(steps) > len(layouts):
            raise ValueError(
                f"{self._directory} holds steps {steps}, which are not the first layers of a stack "
                f"of {len(layouts)}, so not of this run: choose another folder or overwrite it"
            )
        return [self._load(step, layouts[step]) for step in steps]

    def _load(self, step: int, layout: PyTree) -> PyTree:
        device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        layout = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), layout
        )
        try:
            return self._checkpointer.load_checkpointables(step, {"layer": layout})["layer"]
        except Exception as error:
            # Orbax meets damage in many ways, and the remedy is always the same.
            raise ValueError(
                f"step {step} of {self._directory} is damaged or of another run: remove the steps "
                f"from {step} on to train these layers again, or overwrite the run"
            ) from error
