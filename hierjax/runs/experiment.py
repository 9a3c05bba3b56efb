"""What an experiment declares; the runner makes a command of it.

An experiment is a file with one declaration: `LayerwiseExperiment` for learners that are trained
layer by layer or whole, with parameters on disk, and `SweepExperiment` for a grid of points. From
the declaration follow the flags, the run folder, resumption, progress, the table, summary.json,
the figure and the exit codes. docs/extending.md shows how to add a learner, a measure and an
experiment.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from jax.sharding import Mesh
from jaxtyping import Array

from hierjax.runs import requests
from hierjax.runs.record import RunFolder
from hierjax.runs.sweeps.points import Point
from hierjax.tasks import Batch
from hierjax.train import ChoosingLayer, Source

PyTree = Any

_COLOUR = re.compile(
    "tab:(blue|orange|green|red|purple|brown|pink|gray|olive|cyan)|#[0-9a-fA-F]{6}"
)
Entry = TypeVar("Entry")


class Stack(NamedTuple):
    """A learner of a run: a stack of layers, and the examples that they are fitted on.

    Attributes:
      layers: the layers that are trained, first layer first.
      examples: (data of a seed, index of a layer from 0) -> the examples that the layer is fitted
        on, or their source.
      view: data of a seed -> the data that this learner is measured on.
      mesh: devices that the learner is trained on; None for those that the request names, between
        which seeds are divided.
    """

    layers: Sequence[Any]
    examples: Callable[[PyTree, int], Batch | Source]
    view: Callable[[PyTree], PyTree] = lambda data: data
    mesh: Mesh | None = None


class Result(NamedTuple):
    """A fitted layer of a learner, for all seeds.

    Attributes:
      params: parameters of the layer, a pytree of numpy arrays (num_seeds, ...).
      measured: what each measure says of the layer, by name, numpy arrays (num_seeds, ...).
      seconds: wall-clock seconds that the fit took to "compile" and to "run".
    """

    params: PyTree
    measured: dict[str, Any]
    seconds: dict[str, float]


def described(layer: Any, measured: Mapping[str, Any]) -> dict[str, list]:
    """Returns what a layer has chosen for each seed, for people; empty if it chooses nothing.

    Args:
      layer: the layer.
      measured: `Result.measured` of the layer.
    """
    return layer.describe(measured["chosen"]) if "chosen" in measured else {}


Results = dict[str, list[Result]]
"""The fitted layers of each learner, first layer first."""


SPREAD = "{mean:.4f} ± {std:.4f}"
"""How a table shows a measure: mean and standard deviation over seeds."""

ERROR = SPREAD + " ({max:.4f})"
"""How a table shows errors: mean and standard deviation over seeds, and the largest."""


class Measure(NamedTuple):
    """What is measured of every fitted layer.

    Attributes:
      function: (layers of the stack, data, parameters of the layers below, parameters of the
        layer) -> an array or a dictionary of arrays, for one seed; pure. None where it has no
        meaning for this layer.
      column: title of its column in the table; empty for no column. A vector makes a column of
        each entry, and a dictionary one of each of its arrays, titled by their names.
      text: how a cell shows mean, std and max over seeds.
      by_layer: whether entries of a vector are those of layers, which then have a row each: of
        one layer, or of all hidden layers of a network that is trained whole, whose own row is
        that of the last.
    """

    function: Callable[..., PyTree]
    column: str = ""
    text: str = SPREAD
    by_layer: bool = False


class Registry(dict[str, Entry]):
    """A dictionary of entries of one kind, each declared once by decorating its function.

    Args:
      kind: class of the entries: (function, **fields) -> an entry.
      word: what people call an entry.
    """

    def __init__(self, kind: Callable[..., Entry], word: str):
        super().__init__()
        self._kind, self._word = kind, word

    def add(self, name: str, **fields: Any) -> Callable[[Callable], Callable]:
        """Makes a decorator that declares a function under a name, and leaves it as it is.

        Args:
          name: name of the entry.
          **fields: fields of the entry besides its function.

        Raises:
          ValueError: the name is taken, the function has no docstring, or a field is wrong.
        """

        def declare(function: Callable) -> Callable:
            if name in self:
                raise ValueError(
                    f"there is a {self._word} called {name} already: name it otherwise"
                )
            if not function.__doc__:
                raise ValueError(f"{self._word} {name} has no docstring: say what it is")
            try:
                entry = self._kind(function, **fields)
            except TypeError as error:
                raise ValueError(f"{self._word} {name} is declared wrongly: {error}") from None
            if "colour" in fields:
                self._check_colour(name, fields["colour"])
            self[name] = entry
            return function

        return declare

    def _check_colour(self, name: str, colour: str) -> None:
        if not _COLOUR.fullmatch(colour):
            raise ValueError(
                f"colour {colour} of {self._word} {name} is unknown: give one as tab:blue (blue, "
                "orange, green, red, purple, brown, pink, gray, olive, cyan) or as #1f77b4"
            )
        if colour in self.colours.values():
            raise ValueError(f"colour {colour} of {self._word} {name} is taken: choose another")

    @property
    def colours(self) -> dict[str, str]:
        """The colour of each entry in figures, by name."""
        return {name: cast(Any, entry).colour for name, entry in self.items()}


def measures() -> Registry[Measure]:
    """Makes a registry of measures, which holds the measure "chosen" from the start."""
    registry = Registry(_measure, "measure")
    registry.add("chosen")(chosen)
    return registry


def _measure(
    function: Callable[..., PyTree], column: str = "", text: str = SPREAD, by_layer: bool = False
) -> Measure:
    try:
        text.format(mean=0.0, std=0.0, max=0.0)
    except (LookupError, ValueError) as error:
        raise TypeError(f"text {text!r} may hold mean, std and max, but {error!r}") from None
    return Measure(function, column, text, by_layer)


def chosen(layers, data, below, params) -> PyTree:
    """Returns what a layer has chosen on held-out examples; None if it chooses nothing."""
    layer = layers[len(below)]
    return layer.chosen(params) if isinstance(layer, ChoosingLayer) else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """What all experiments declare.

    Attributes:
      name: name of the command.
      doc: text that --help shows above the flags.
      request: class of the request, derived from `RunRequest`, whose fields are the flags.
      headline: request -> one line that says what is about to be run.
      summarize: (request, results) -> content of summary.json, values that JSON can hold.
      notes: content of summary.json -> lines to print below the table.
      figure: path of the run folder -> a figure of matplotlib.
      save: (run folder, results) -> None; writes more files that the figure needs.
      follows: values of flags that are not given, see `hierjax.runs.requests.Follows`.
      require: request -> None; raises ValueError or OSError if the request cannot be met here.
      options: request -> options of JAX by name, in place of those of `PINNED`.

    Raises:
      ValueError: a flag of the request has no default or no explanation, or the name of another.
    """

    name: str
    doc: str
    request: type
    headline: Callable[[Any], str]
    summarize: Callable[[Any, Any], dict]
    notes: Callable[[dict], list[str]]
    figure: Callable[[Path], Any]
    save: Callable[[RunFolder, Any], None] = lambda folder, results: None
    follows: requests.Follows = dataclasses.field(default_factory=dict)
    require: Callable[[Any], None] = lambda request: None
    options: Callable[[Any], Mapping[str, Any]] = lambda request: {}

    def __post_init__(self):
        # A wrong declaration of a flag is refused here.
        requests.check_follows(self.request, self.follows)

    def make_request(self, **values: Any) -> Any:
        """Makes a request of values of its flags.

        Args:
          **values: values by the names of the flags; the rest take their defaults.

        Raises:
          ValueError: a value is not allowed, or not beside the others.
        """
        return requests.build(self.request, self.follows, values)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerwiseExperiment(Experiment):
    """An experiment on learners that are trained layer by layer, or whole as a stack of one layer.

    The attributes of `Experiment` are declared, too.

    Attributes:
      draw: (key of a seed, request) -> data of the seed, a pytree of arrays.
      learners: request -> the learners by name, in the order in which they are trained.
      measures: what is measured of every layer, by name.
      shown: name of the measure that is printed when a layer is finished.
      stream: number that is folded into the key of a seed for the key of its learners.
    """

    draw: Callable[[Array, Any], PyTree]
    learners: Callable[[Any], dict[str, Stack]]
    measures: Mapping[str, Measure]
    shown: str = "test_error"
    stream: int = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepExperiment(Experiment):
    """An experiment on a grid of points by seeds, which records measurements and no parameters.

    The attributes of `Experiment` are declared, too.

    Attributes:
      points: request -> the points that can be measured.
    """

    points: Callable[[Any], list[Point]]
