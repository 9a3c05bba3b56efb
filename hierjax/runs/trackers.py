"""Where people watch a run: TensorBoard and Weights & Biases, told of the events of its record."""

import importlib.util
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}

TRACKERS = tuple(_PACKAGES)
"""Names of the trackers that there are."""

# What an event is of: it stands before the names of the numbers.
_SUBJECTS = ("learner", "point")
_NO_MEASURES = ("per_seed", "seeds", "layer")


def require_trackers(names: Sequence[str]) -> None:
    """Refuses trackers whose packages are not installed.

    Args:
      names: some of `TRACKERS`.

    Raises:
      ValueError: one is not.
    """
    for name in names:
        if importlib.util.find_spec(_PACKAGES[name]) is None:
            raise ValueError(
                f"log_to={name} needs the package {_PACKAGES[name]}, which is not installed: pip "
                f"install 'hierjax[{name}]', or leave it out"
            )


class Trackers:
    """The trackers of a run. One that fails is dropped with a word, and the run goes on.

    Args:
      names: some of `TRACKERS`.
      folder: the run folder, in which trackers keep files.
      request: what was asked for, with the name of the experiment.
    """

    def __init__(self, names: Sequence[str], folder: Path, request: Mapping[str, Any]):
        kinds = {"tensorboard": _TensorBoard, "wandb": _WandB}
        self._open: dict[str, _Tracker] = {name: kinds[name](folder, request) for name in names}
        self._events: Counter[str] = Counter()

    def tell(self, event: str, fields: Mapping[str, Any]) -> None:
        """Tells all trackers the numbers of an event, means in place of lists.

        Their step is the layer that the event is of, or else its place among those of its kind.

        Args:
          event: kind of the event.
          fields: what it says, values that JSON can hold.
        """
        subject = "/".join([event, *(str(fields[name]) for name in _SUBJECTS if name in fields)])
        self._events[subject] += 1
        numbers = dict(_numbers(fields, subject))
        for name, tracker in list(self._open.items()):
            try:
                tracker.write(numbers, fields.get("layer", self._events[subject]))
            except Exception as error:
                del self._open[name]
                print(f"{name} has failed and shows no more of this run: {error}")

    def close(self) -> None:
        """Waits until all is shown."""
        for tracker in self._open.values():
            tracker.close()


class _Tracker(Protocol):
    def write(self, numbers: dict[str, float], step: int) -> None: ...

    def close(self) -> None: ...


class _TensorBoard:
    """Events in the folder tensorboard/ of the run folder."""

    def __init__(self, folder: Path, request: Mapping[str, Any]):
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"))
        self._writer.add_text("request", "\n".join(f"    {k}: {v}" for k, v in request.items()))

    def write(self, numbers: dict[str, float], step: int) -> None:
        for name, number in numbers.items():
            self._writer.add_scalar(name, number, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _WandB:
    """A run of Weights & Biases, in the project of the experiment's name."""

    def __init__(self, folder: Path, request: Mapping[str, Any]):
        import wandb  # pyrefly: ignore[missing-import]: few have it.

        project = request["experiment"]
        self._run = wandb.init(
            project=project, name=folder.name, dir=str(folder), config=dict(request)
        )

    def write(self, numbers: dict[str, float], step: int) -> None:
        # Its own steps may only grow, and each learner begins with its first layer.
        self._run.log(numbers | {"step": step})

    def close(self) -> None:
        self._run.finish()


def _numbers(value: Any, path: str) -> Iterator[tuple[str, float]]:
    """Yields the names and values of the numbers in nested dictionaries."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            if name not in _NO_MEASURES:
                yield from _numbers(each, f"{path}/{name}")
    elif isinstance(value, list):
        known = [each for each in value if isinstance(each, int | float)]
        if known:
            yield path, float(np.mean(known))
    elif isinstance(value, int | float):
        yield path, float(value)
