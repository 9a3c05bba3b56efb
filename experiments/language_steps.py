"""How a transformer learns a language step by step, beside the best that can be predicted.

A transformer is trained to predict tokens of random hierarchies, and its cross-entropy on unseen
strings is compared with that of exact inference, position by position. The nearer in the tree the
token before is, the fewer strings it takes (arXiv 2406.00048).

    python -m experiments.language_steps
    python -m experiments.language_steps --objective last --num_train 1024,16384

With the default sizes (C = V = 16, M = 4, S = 2, L = 3; 3 seeds) expect 16, 5.1, 2.9 and 1.4 nats a
string above exact inference with 256, 1,024, 4,096 and 16,384 train strings. It took twelve minutes
on two cores that had other work to do.
"""

import dataclasses
import functools
from pathlib import Path

import numpy as np

from experiments.runner import run
from hierjax.measure import spread
from hierjax.runs import (
    OBJECTIVES,
    Measured,
    Point,
    SweepExperiment,
    SweepRequest,
    TokenCell,
    TransformerConfig,
    nested,
    require_measured,
    spec_name,
)
from hierjax.settings import setting
from hierjax.tasks import RandomHierarchySpec, check_split, require_filled
from hierjax.theory import predicted_token_steps


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(SweepRequest):
    """What is asked for; its fields are the flags.

    Attributes:
      spec: sizes of the grammars.
      objective: what is predicted: every token from those before it ("next"), or the last token
        from all others ("last").
      num_train: numbers of train strings, n, ascending.
      num_test: number of test strings, none of them in the train set.
      config: how the transformer is built and trained.
      num_seeds: number of seeds; each draws its own grammar, strings and weights.
    """

    spec: RandomHierarchySpec = nested(
        RandomHierarchySpec, num_classes=16, vocab_size=16, num_rules=4, branching=2, depth=3
    )
    objective: str = setting("next", choices=tuple(OBJECTIVES))
    num_train: tuple[int, ...] = setting(
        (256, 1024, 4096, 16384), least=2, most=2**26, ascending=True
    )
    num_test: int = setting(1000, least=2, most=2**22)
    config: TransformerConfig = nested(TransformerConfig)
    num_seeds: int = setting(3, least=1, most=2**20)

    def __post_init__(self):
        super().__post_init__()
        check_split(self.spec.num_strings, self.num_train[-1], self.num_test)

    @functools.cached_property
    def cells(self) -> list[TokenCell]:
        """The points, by number of train strings."""
        return [
            TokenCell(self.spec, self.objective, n, self.num_test, self.config)
            for n in self.num_train
        ]


def points(request: Request) -> list[Point]:
    """What the sweep measures."""
    return [cell.point() for cell in request.cells]


def headline(request: Request) -> str:
    """What is about to be run."""
    sizes = ", ".join(map(str, request.num_train))
    return (
        f"{request.objective} token of random hierarchies {spec_name(request.spec)}: transformer, "
        f"{request.config.num_steps} steps on {sizes} strings, {request.num_seeds} seeds"
    )


def summarize(request: Request, results: dict[str, Measured]) -> dict:
    """The content of summary.json; ValueError if a point could not be measured."""
    require_measured(results)
    for found in results.values():
        require_filled(found.values["num_unseen"].astype(int), request.num_test)
    values = [results[cell.name].values for cell in request.cells]
    return {
        **dataclasses.asdict(request.spec),
        **{name: getattr(request, name) for name in ("objective", "num_test", "num_seeds", "seed")},
        "config": dataclasses.asdict(request.config),
        "floor": values[-1]["floor"].mean(axis=0),
        "distance": request.spec.distances_before,
        "predicted_steps": predicted_token_steps(request.spec),
        "points": [
            _point(n, each["excess"]) for n, each in zip(request.num_train, values, strict=True)
        ],
    }


def _point(num_train: int, excess: np.ndarray) -> dict:
    """Of (seeds, d) nats more than the floor, NaN where nothing is asked."""
    asked = ~np.isnan(excess).all(axis=0)
    return {
        "model": "transformer",
        "num_train": num_train,
        "excess": spread(excess[:, asked].sum(axis=1)),
        "excess_by_position": excess.mean(axis=0),
        "excess_by_position_per_seed": excess,
    }


def notes(summary: dict) -> list[str]:
    """The floor, and what the transformer is above it, position by position."""

    def row(title: str, values) -> str:
        return f"{title:30s}" + "".join("       -" if x is None else f"{x:8.3f}" for x in values)

    lines = [row("nats of exact inference", summary["floor"])]
    for point in summary["points"]:
        total = f"{point['excess']['mean']:.3f} ± {point['excess']['std']:.3f}"
        lines.append(row(f"n = {point['num_train']}: more, {total}", point["excess_by_position"]))
    lines.append(
        f"means over {summary['num_seeds']} seeds of {summary['num_test']} unseen strings, on "
        f"{summary['device']}"
    )
    return lines


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import language_figure

    return language_figure(folder)


EXPERIMENT = SweepExperiment(
    name="language_steps",
    doc=__doc__,
    request=Request,
    points=points,
    headline=headline,
    summarize=summarize,
    notes=notes,
    figure=figure,
)
main = functools.partial(run, EXPERIMENT)

if __name__ == "__main__":
    main()
