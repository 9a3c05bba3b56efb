"""How an experiment works through its learners: layer by layer, each saved as it ends."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments import cli
from hierjax import FittedLayer, LayerCheckpoints, RunFolder, SeedsTrainer, spread

FLAGS = flags.FLAGS

LAYERWISE = "layerwise"
"""How the names of learners end, each of whose layers predicts."""


@dataclasses.dataclass
class Learner:
    """A learner of a run, and how far it has come.

    Attributes:
      name: that of its folder of checkpoints.
      trainer: fits its layers.
      num_seeds: seeds of each fit.
      finished: its finished layers.
      rounds: state of the layer that was interrupted, if it was saved between rounds.
    """

    name: str
    trainer: SeedsTrainer
    num_seeds: int
    finished: list[FittedLayer] = dataclasses.field(default_factory=list)
    rounds: Any = None

    @property
    def num_layers(self) -> int:
        """Layers of the whole stack."""
        return self.trainer.num_layers

    @property
    def is_finished(self) -> bool:
        """Whether no layer is missing."""
        return len(self.finished) == self.num_layers

    def restore(self, folder: RunFolder) -> None:
        """Reads what an earlier run finished.

        Raises:
          ValueError: it is damaged or of another run.
        """
        with LayerCheckpoints(folder.checkpoints / self.name) as checkpoints:
            layers = checkpoints.restore(self.num_layers, self.trainer.layout)
            self.finished = jax.device_get(layers)
            if not self.is_finished:
                index = len(self.finished)
                rounds = checkpoints.restore_rounds(
                    index, functools.partial(self.trainer.rounds_layout, index)
                )
                self.rounds = jax.device_get(rounds)

    def fit(
        self, folder: RunFolder, test_error: Callable[[FittedLayer], np.ndarray | None]
    ) -> None:
        """Fits the layers that are missing, and saves each.

        Args:
          folder: of the run.
          test_error: layer -> errors of the seeds, None for a layer that predicts nothing, or
            ValueError if the layer is of no use.
        """
        done = len(self.finished) * self.num_seeds
        if self.rounds is not None:
            done += float(self.rounds["state"].progress.sum())
        with (
            LayerCheckpoints(folder.checkpoints / self.name) as checkpoints,
            cli.Progress(self.num_layers * self.num_seeds, f"{self.name} fits", done) as progress,
        ):
            for index in range(len(self.finished), self.num_layers):
                save_rounds = functools.partial(checkpoints.save_rounds, index)
                layer = self.trainer.fit_layer(
                    self.finished, progress.advance, self.rounds, save_rounds
                )
                errors = test_error(layer)
                error = None if errors is None else spread(errors)
                checkpoints.save(index, layer)
                self.finished.append(layer)
                self.rounds = None
                folder.log(
                    "layer",
                    learner=self.name,
                    layer=index + 1,
                    test_error=error,
                    seconds=layer.seconds,
                )
                if error is not None:
                    progress.line(f"{self._title(index)}: test error {error['mean']:.4f}")

    def _title(self, index: int) -> str:
        if not self.name.endswith(LAYERWISE):
            return self.name
        prefix = self.name.removesuffix(LAYERWISE).replace("_", " ")
        return f"{prefix}layer {index + 1} of {self.num_layers}"


@dataclasses.dataclass
class Plan:
    """A request ready to be carried out.

    Attributes:
      request: a dataclass, which identifies the run.
      folder: of the run.
      learners: what is fitted, in this order.
      skipped: learners that are left out, and why.
    """

    request: Any
    folder: RunFolder
    learners: list[Learner]
    skipped: dict[str, str]

    def fit(self, test_error: Callable[[FittedLayer], np.ndarray | None]) -> None:
        """Fits what is missing of all learners, see `Learner.fit`."""
        finished = {learner.name: len(learner.finished) for learner in self.learners}
        if any(finished.values()):
            counts = [f"{x.name} {len(x.finished)} of {x.num_layers}" for x in self.learners]
            print(f"taking up a run; layers finished: {', '.join(counts)}")
        self.folder.log("started", finished_layers=finished)
        for learner in self.learners:
            learner.fit(self.folder, test_error)


def open_plan(
    experiment: str,
    request: Any,
    learners: list[Learner],
    skipped: dict[str, str] | None = None,
) -> Plan:
    """Opens the folder of a request, a dataclass, and reads what is finished there.

    Args:
      experiment: its name.
      request: what identifies the run.
      learners: of the run.
      skipped: learners that are left out, and why.

    Raises:
      ValueError: the folder is of no use.
      OSError: likewise.
    """
    identity = dataclasses.asdict(request)
    folder = RunFolder(FLAGS.workdir, experiment, identity, FLAGS.overwrite)
    for learner in learners:
        learner.restore(folder)
    return Plan(request, folder, learners, skipped or {})


def conclude(folder: RunFolder, summary: dict, figure: str, table: str) -> None:
    """Writes the result of a run and its figure, by the function of that name, and says so."""
    folder.write_json("summary.json", summary)
    from hierjax import plots  # Matplotlib is slow to import, and only a finished run needs it.

    folder.write_figure("figure.png", getattr(plots, figure)(folder.path))
    folder.log("finished")
    print(table)
    print(f"wrote summary.json and figure.png to {folder.path}")


def total_seconds(layers: list[FittedLayer]) -> dict[str, float]:
    """What all layers took, to "compile" and to "run"."""
    return {
        name: float(sum(layer.seconds[name] for layer in layers)) for name in ("compile", "run")
    }
