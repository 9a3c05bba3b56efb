"""Carries out an experiment on layers: what is missing is fitted, everything is measured."""

import functools
from typing import Any

import jax
from jax.sharding import Mesh

from hierjax.measure import spread
from hierjax.runs import hosts
from hierjax.runs.checkpoint import LayerCheckpoints
from hierjax.runs.environment import device_name, peak_memory
from hierjax.runs.experiment import LayerwiseExperiment, Measure, Result, Results
from hierjax.runs.parallel import seed_keys, seed_mesh
from hierjax.runs.profile import Profile
from hierjax.runs.progress import Progress
from hierjax.runs.record import PROFILE, RunFolder
from hierjax.runs.seeds import Seeds
from hierjax.runs.seeds_trainer import SeedsTrainer
from hierjax.runs.stages import layer_stages

PyTree = Any


class LayerwiseRun:
    """Fits the learners of an experiment layer by layer, and saves and measures each layer.

    Args:
      experiment: the declaration of the experiment.
      request: an instance of the experiment's class of requests.

    Attributes:
      trainers: what fits each learner, by name.

    Raises:
      ValueError: the request asks for what cannot be, such as more devices than there are.
    """

    def __init__(self, experiment: LayerwiseExperiment, request: Any):
        self._experiment, self._request = experiment, request
        self._num_devices = seed_mesh(request.num_devices).size
        keys = seed_keys(request.seed, request.num_seeds)
        stream = experiment.stream
        learner_keys = jax.jit(jax.vmap(lambda key: jax.random.fold_in(key, stream)))(keys)

        @functools.cache
        def seeds(mesh: Mesh) -> Seeds:
            found = Seeds(keys, lambda key: experiment.draw(key, request), mesh, request.impl)
            found.require_memory()
            return found

        self.trainers = {
            name: SeedsTrainer(
                seeds(stack.mesh or seed_mesh(request.num_devices)),
                layer_stages(stack.layers, stack.examples),
                functools.partial(_measure_all, experiment.measures, stack),
                learner_keys,
            )
            for name, stack in experiment.learners(request).items()
        }
        self._finished: dict[str, list[tuple[PyTree, dict]]] = {}
        self._rounds: dict[str, PyTree] = {}

    def restore(self, folder: RunFolder) -> None:
        """Reads the layers that an earlier run in the folder has finished.

        Raises:
          ValueError: a checkpoint is damaged or of another run; or layers are missing, but
            versions or options of JAX are others than when the run began.
        """
        for name, trainer in self.trainers.items():
            with self._checkpoints(folder, name) as checkpoints:
                layers = checkpoints.restore(trainer.num_layers, trainer.layout)
                index = len(layers)
                self._finished[name] = [
                    (params, checkpoints.metadata(layer)["seconds"])
                    for layer, params in enumerate(layers)
                ]
                if index < trainer.num_layers:
                    layout = functools.partial(trainer.rounds_layout, index)
                    self._rounds[name] = checkpoints.restore_rounds(index, layout)
        begun = [each for each in self._rounds.values() if each is not None]
        folder.take_up(
            sum(self.finished.values()) + len(begun),
            sum(trainer.num_layers for trainer in self.trainers.values()),
        )

    def _checkpoints(self, folder: RunFolder, name: str) -> LayerCheckpoints:
        return LayerCheckpoints(folder.checkpoints / name, f"{folder.identity} {name}")

    @property
    def finished(self) -> dict[str, int]:
        """Number of layers of each learner that an earlier run has finished."""
        return {name: len(layers) for name, layers in self._finished.items()}

    @property
    def resumed(self) -> str:
        """What an earlier run has finished, in words; empty if it is nothing."""
        if not any(self.finished.values()):
            return ""
        counts = [f"{n} {self.finished[n]} of {t.num_layers}" for n, t in self.trainers.items()]
        return f"taking up a run; layers finished: {', '.join(counts)}"

    def carry_out(self, folder: RunFolder) -> Results:
        """Fits the layers that are missing, and measures all layers.

        Args:
          folder: the run folder, in which layers are saved and events logged.

        Returns:
          The fitted layers of each learner.

        Raises:
          FloatingPointError: parameters of a layer are not finite; the layers below are kept.
        """
        folder.log("started", finished_layers=self.finished)
        finished, results = self.finished, {}
        with Profile(folder.path / PROFILE, self._request.profile) as profile:
            for name, trainer in self.trainers.items():
                results[name] = []
                rounds, num_seeds = self._rounds.get(name), self._request.num_seeds
                done = finished[name] * num_seeds
                if rounds is not None:
                    done += float(rounds["state"].progress.sum())
                total = trainer.num_layers * num_seeds
                with (
                    self._checkpoints(folder, name) as checkpoints,
                    Progress(total, f"{name} fits", done, profile.after_piece) as progress,
                ):
                    for index in range(trainer.num_layers):
                        below = [layer.params for layer in results[name]]
                        if index < finished[name]:
                            params, seconds = self._finished[name][index]
                        else:
                            keep = functools.partial(_save_rounds, folder, checkpoints, index)
                            params, seconds = trainer.fit_layer(
                                below, progress.advance, rounds, keep
                            )
                            folder.require_present()
                            checkpoints.save(index, params, {"seconds": seconds})
                            rounds = None
                            if hosts.must_end():
                                raise hosts.Preempted
                        measured = trainer.measure(below, params)
                        results[name].append(Result(params, measured, seconds))
                        if index >= finished[name]:
                            self._tell(folder, progress, name, results[name])
        return results

    def _tell(self, folder: RunFolder, progress: Progress, name: str, layers: list[Result]) -> None:
        """Records a layer that was fitted now, and prints its error."""
        layer, count = layers[-1], self.trainers[name].num_layers
        shown = layer.measured.get(self._experiment.shown)
        error = None if shown is None else spread(shown)
        folder.log(
            "layer", learner=name, layer=len(layers), test_error=error, seconds=layer.seconds
        )
        if error is not None:
            title = name.replace("_", " ") + (
                f", layer {len(layers)} of {count}" if count > 1 else ""
            )
            word = self._experiment.shown.replace("_", " ")
            progress.line(f"{title}: {word} {error['mean']:.4f}")

    def summary(self, results: Results) -> dict:
        """Returns what summary.json says of every experiment on layers."""
        columns = [name for name, each in self._experiment.measures.items() if each.column]
        return {
            "device": device_name(),
            "num_devices": self._num_devices,
            "peak_memory": peak_memory(),
            "measures": {
                learner: [
                    {
                        name: _spreads(layer.measured[name])
                        for name in columns
                        if name in layer.measured
                    }
                    for layer in layers
                ]
                for learner, layers in results.items()
            },
        }

    def table(self, results: Results) -> list[str]:
        """Returns the lines of a table of a row for each layer and a column for each measure."""
        rows = []
        for learner, layers in results.items():
            found = [cells for layer in layers for cells in self._rows(layer)]
            for number, cells in enumerate(found, 1):
                rows.append({"learner": learner, "layer": str(number) * (len(found) > 1)} | cells)
        return _aligned(rows)

    def _rows(self, layer: Result) -> list[dict[str, str]]:
        """Returns the cells of a layer; of a network trained whole, of each hidden layer."""
        rows: list[dict[str, str]] = [{}]
        for name, measure in self._experiment.measures.items():
            if not measure.column or name not in layer.measured:
                continue
            entries = [layer.measured[name]]
            if measure.by_layer:
                entries = _by_layer(layer.measured[name])
            rows = [{} for _ in range(len(entries) - len(rows))] + rows
            for cells, values in zip(rows[-len(entries) :], entries, strict=True):
                cells |= _cells(measure, values)
        seconds = layer.seconds
        rows[-1]["fit, compile [s]"] = f"{seconds['run']:.1f}, {seconds['compile']:.1f}"
        return rows


def _save_rounds(folder: RunFolder, checkpoints: LayerCheckpoints, index: int, state: PyTree):
    folder.require_present()
    checkpoints.save_rounds(index, state)


def _measure_all(measures, stack, data, below, params) -> dict[str, Any]:
    """Returns what every measure says of a layer of one seed; pure."""
    data = stack.view(data)
    said = {
        name: measure.function(stack.layers, data, below, params)
        for name, measure in measures.items()
    }
    return {name: value for name, value in said.items() if value is not None}


def total_seconds(layers: list[Result]) -> dict[str, float]:
    """Returns the seconds that all layers of a learner took to "compile" and to "run"."""
    return {
        name: float(sum(layer.seconds[name] for layer in layers)) for name in ("compile", "run")
    }


def _by_layer(values: PyTree) -> list[PyTree]:
    """Makes arrays (num_seeds, ...) for each layer of arrays (num_seeds, layers, ...)."""
    leaves, structure = jax.tree.flatten(values)
    return [
        jax.tree.unflatten(structure, [leaf[:, index] for leaf in leaves])
        for index in range(leaves[0].shape[1])
    ]


def _spreads(values: PyTree) -> dict | list:
    """Summarises numbers (num_seeds,), each entry of vectors (num_seeds, K), or a dictionary."""
    if isinstance(values, dict):
        return {name: _spreads(each) for name, each in values.items()}
    if values.ndim == 1:
        return spread(values)
    return [spread(entry) for entry in values.reshape(len(values), -1).T]


def _cells(measure: Measure, values: PyTree) -> dict[str, str]:
    """Returns the texts of cells by the titles of their columns."""
    if isinstance(values, dict):
        columns = values
    elif values.ndim == 1:
        columns = {measure.column: values}
    else:
        entries = values.reshape(len(values), -1).T
        columns = {f"{measure.column} {number}": each for number, each in enumerate(entries, 1)}
    return {title: measure.text.format(**spread(each)) for title, each in columns.items()}


def _aligned(rows: list[dict[str, str]]) -> list[str]:
    """Returns lines of a table, titles first; the first column is flush left, others right."""
    titles = list(dict.fromkeys(title for row in rows for title in row))
    titles = [title for title in titles if any(row.get(title) for row in rows)]
    titles.sort(key="fit, compile [s]".__eq__)  # It goes last.
    lines = [titles, *([row.get(title, "") for title in titles] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            [
                line[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)),
            ]
        ).rstrip()
        for line in lines
    ]
