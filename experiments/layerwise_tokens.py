"""The tree of a language found layer by layer from its tokens, and the next token told by it.

A stack that is matched to the tree of random hierarchies is trained without labels, each layer to
predict what stands beside a patch, and so are the blocks of a transformer; a read-out on what they
have found predicts the next token, and a few labels tell the class. Are all layers better trained
together after that? Beside them stand a causal transformer that is trained block by block on the
next token, and one that is trained end to end, on the same strings. All are compared with exact
inference.

    python -m experiments.layerwise_tokens
    python -m experiments.layerwise_tokens --depth 4 --learners context

With the default sizes (C = V = 16, M = 4, S = 2, L = 3) expect purities of level 1 of .77, 1 and
1 at n = 1,024, 4,096 and 16,384, and a read-out about .9 and .15 nats a string above exact
inference with the last two; docs/layerwise_tokens.md tells more. For a grammar context layers and
their read-outs take one to two minutes of a core.
"""

import dataclasses
import functools
from pathlib import Path

import numpy as np

from experiments.runner import run
from hierjax.measure import spread, threshold, threshold_text
from hierjax.runs import (
    MOST_TRAIN,
    TOKEN_LEARNERS,
    GrammarSettings,
    Measured,
    Point,
    SweepExperiment,
    SweepRequest,
    TokenCell,
    TokenLayerSettings,
    nested,
    require_measured,
    spec_name,
)
from hierjax.settings import setting
from hierjax.tasks import RandomHierarchySpec, check_split, require_filled
from hierjax.theory import predicted_num_train, predicted_token_steps
from hierjax.train import context_layers

_FOUND = 0.9
_SCALE = 2
_SHARES_TOLD = (8, 4, 2, 1)
_REQUESTED = ("objective", "num_labels", "num_test", "num_seeds", "seed")
_OBJECTIVES = {"next": "next token", "masked": "each token, given all others,"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(SweepRequest, TokenLayerSettings, GrammarSettings):
    """What is asked for; its fields are the flags.

    Attributes:
      spec: sizes of the grammars.
      learners: learners to train.
      num_train: numbers of train strings, n, ascending.
      num_test: number of test strings, none of them in the train set.
      num_seeds: number of seeds; each draws its own grammar, strings and weights.
    """

    spec: RandomHierarchySpec = nested(
        RandomHierarchySpec, num_classes=16, vocab_size=16, num_rules=4, branching=2, depth=3
    )
    learners: tuple[str, ...] = setting(lambda: tuple(TOKEN_LEARNERS), choices=TOKEN_LEARNERS)
    num_train: tuple[int, ...] = setting(
        (1024, 4096, 16384), least=2, most=MOST_TRAIN, ascending=True
    )
    num_test: int = setting(1000, least=2, most=2**22)
    num_seeds: int = setting(3, least=1, most=2**20)

    def __post_init__(self):
        super().__post_init__()
        check_split(self.spec.num_strings, self.num_train[-1], self.num_test)
        if any(TOKEN_LEARNERS[name].by_context for name in self.learners):
            context_layers(self.seen, self.context, self.grammar.equiprobable)
        if self.num_labels is None:
            scale = predicted_num_train(self.spec)
            counts = {min(max(scale // share, 1), self.num_train[0]) for share in _SHARES_TOLD}
            self.fill(num_labels=tuple(sorted(counts)))
        most = max(self.num_labels or (0,))
        if most > self.num_train[0]:
            raise ValueError(
                f"num_labels={most} are more than num_train={self.num_train[0]} "
                "strings: raise the latter or lower the former"
            )

    @functools.cached_property
    def cells(self) -> list[TokenCell]:
        """The points, those of the same strings next to each other."""
        names = [field.name for field in dataclasses.fields(TokenLayerSettings)]
        settings = TokenLayerSettings(**{name: getattr(self, name) for name in names})
        return [
            TokenCell(self.spec, learner, num_train, self.num_test, settings, self.grammar)
            for num_train in self.num_train
            for learner in self.learners
        ]


def points(request: Request) -> list[Point]:
    """What the sweep measures."""
    return [cell.point() for cell in request.cells]


def headline(request: Request) -> str:
    """What is about to be run."""
    return (
        f"{_OBJECTIVES[request.objective]} of random hierarchies {spec_name(request.spec)}: "
        f"{', '.join(request.learners)} on {', '.join(map(str, request.num_train))} strings, "
        f"{request.num_seeds} seeds"
    )


def summarize(request: Request, results: dict[str, Measured]) -> dict:
    """The content of summary.json; ValueError if a point could not be measured."""
    require_measured(results)
    for found in results.values():
        require_filled(found.values["num_unseen"].astype(int), request.num_test)
    floors = results[request.cells[-1].name].values["floors"].mean(axis=0)
    predicted = predicted_token_steps(request.spec)
    return {
        **{name: getattr(request, name) for name in _REQUESTED},
        **{
            name: dataclasses.asdict(getattr(request, name))
            for name in ("spec", "grammar", "training", "context", "transformer")
        },
        "readout_width": request.readout_width,
        "floor": floors[0],
        "floors_by_level": floors,
        "scale": predicted[_SCALE - 1] if predicted and request.spec.depth >= _SCALE else None,
        "class_scale": predicted_num_train(request.spec),
        "chance_error": request.grammar.chance_error(request.spec),
        "points": [_point(cell, results[cell.name]) for cell in request.cells],
        "thresholds": _thresholds(request, results),
    }


def _point(cell: TokenCell, found: Measured) -> dict:
    """A learner on a number of strings; lists over layers run from the first up."""
    excess, purity = found.values["excess"], found.values.get("purity")
    classes, spans = (found.values.get(name) for name in ("class_errors", "spans_found"))
    return {
        "learner": cell.learner,
        "num_train": cell.num_train,
        "purity": None if purity is None else [spread(level) for level in purity.T],
        "class_errors": None if classes is None else [spread(each) for each in classes.T],
        "spans_found": None if spans is None else spans.mean(axis=0),
        "excess": spread(excess[:, -1].sum(axis=-1)),
        "excess_after_layer": [spread(layer) for layer in excess.sum(axis=-1).T],
        "excess_by_position": excess[:, -1].mean(axis=0),
        "seconds": found.seconds["run"] / excess.shape[0],
    }


def _thresholds(request: Request, results: dict[str, Measured]) -> list[dict]:
    """How many strings it takes to find each level, from the leaves up."""
    cells = [cell for cell in request.cells if cell.learner == "context"]
    if not cells:
        return []
    impurity = 1 - np.stack([results[cell.name].values["purity"] for cell in cells])
    sizes = list(request.num_train)
    return [
        {
            "level": request.spec.depth - 1 - index,
            "tried": [sizes[0], sizes[-1]],
            **threshold(sizes, impurity[..., index], 1 - _FOUND)._asdict(),
        }
        for index in range(impurity.shape[-1])
    ]


def notes(summary: dict) -> list[str]:
    """What is above the floor after each layer, and when each level is found."""
    lines = [f"nats of a string of exact inference: {sum(summary['floor']):.3f}"]
    for point in summary["points"]:
        layers = ", ".join(
            f"{each['mean']:.3f} ± {each['std']:.3f}" for each in point["excess_after_layer"]
        )
        pure = ""
        if point["purity"]:
            pure = "; purity " + " ".join(f"{each['mean']:.3f}" for each in point["purity"])
        lines.append(
            f"{point['learner']:10s} n = {point['num_train']:<7d} above it after each layer: "
            f"{layers}{pure}; {point['seconds']:.0f} s a seed"
        )
        if point["class_errors"]:
            told = zip(summary["num_labels"], point["class_errors"], strict=True)
            errors = ", ".join(f"{each['mean']:.4f} with {count}" for count, each in told)
            lines.append(f"{'':10s} error of the class: {errors} labels")
        if point["spans_found"] is not None:
            shares = " ".join(f"{share:.2f}" for share in point["spans_found"])
            lines.append(f"{'':10s} siblings are told from other neighbours: {shares}")
    scale = summary["scale"]
    lines.append(
        f"chance errs on {summary['chance_error']:.4f} of the classes; from labels alone they are "
        f"predicted to take C M^L = {summary['class_scale']}"
    )
    of = "" if scale is None else f", V M^3 / (1 - M / V^(S-1)) = {scale:.0f}"
    for each in summary["thresholds"]:
        found = threshold_text(each)
        lines.append(f"level {each['level']} is found (purity {_FOUND}) from n* {found}{of}")
    lines.append(
        f"means over {summary['num_seeds']} seeds of {summary['num_test']} unseen strings, on "
        f"{summary['device']}"
    )
    return lines


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import token_layers_figure

    return token_layers_figure(folder, TOKEN_LEARNERS.colours)


EXPERIMENT = SweepExperiment(
    name="layerwise_tokens",
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
