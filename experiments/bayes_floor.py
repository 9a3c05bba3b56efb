"""The least loss and error that any learner of a grammar's strings can reach, its Bayes floors.

For random grammars, exact inference tells how well the next token can be predicted at every
position, an erased token from the tokens that are left, and the class from tokens some of which
are flipped. They are means over drawn strings of what the exact posterior leaves open.

    python -m experiments.bayes_floor

With the default sizes (C = V = 16, M = 4, S = 2, L = 3; 5 seeds) expect next-token floors near 2.66
1.38 2.26 .55 2.56 1.10 1.72 .25 nats, which add up to the logarithm of the number of strings, and a
class error of .14 with a tenth of the tokens flipped. It takes less than a minute on two cores.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.runner import run
from hierjax.exact import Floor, class_floor, masked_floor, next_token_floor
from hierjax.measure import spread
from hierjax.runs import (
    GrammarSettings,
    Measured,
    Point,
    SweepExperiment,
    SweepRequest,
    nested,
    require_measured,
    spec_name,
)
from hierjax.settings import setting
from hierjax.tasks import PLAIN, GrammarDraw, Noise, RandomHierarchy, RandomHierarchySpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(SweepRequest, GrammarSettings):
    """What is asked for; its fields are the flags.

    Attributes:
      spec: sizes of the grammars.
      num_strings: strings that are drawn of each grammar.
      mask_rates: shares of the tokens that are erased, ascending.
      flip_rates: probabilities that a token is replaced by a uniform one, ascending.
      num_seeds: number of seeds; each draws its own grammar and strings.
    """

    spec: RandomHierarchySpec = nested(
        RandomHierarchySpec, num_classes=16, vocab_size=16, num_rules=4, branching=2, depth=3
    )
    num_strings: int = setting(4096, least=2, most=2**24)
    mask_rates: tuple[float, ...] = setting(
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), least=0, most=1, ascending=True
    )
    flip_rates: tuple[float, ...] = setting(
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), least=0, most=1, ascending=True
    )
    num_seeds: int = setting(5, least=1, most=2**20)


@dataclasses.dataclass(frozen=True)
class Cell:
    """A point: floors of one kind."""

    spec: RandomHierarchySpec
    grammar: GrammarDraw
    num_strings: int
    rates: tuple[float, ...] = ()

    def draw(self, key: jax.Array) -> RandomHierarchy:
        """The grammar of a seed."""
        return self.grammar.draw(jax.random.fold_in(key, 0), self.spec)

    def next_token(self, key: jax.Array, grammar: RandomHierarchy) -> dict[str, jax.Array]:
        """Floors of each token given those before it, and of the last given those of its block."""
        key, depth = jax.random.fold_in(key, 1), self.spec.depth
        blocks = [
            next_token_floor(grammar, key, self.num_strings, span=span)
            for span in range(depth, -1, -1)
        ]
        last = jnp.stack([floor.cross_entropy.mean[-1] for floor in blocks])
        return _values(blocks[-1]) | {"last_token": last}

    def masked(self, key: jax.Array, grammar: RandomHierarchy) -> dict[str, jax.Array]:
        """Floors of an erased token, at each rate."""
        return self._at_rates(
            key,
            lambda rate, key: masked_floor(grammar, Noise(leaf_mask=rate), key, self.num_strings),
        )

    def flipped(self, key: jax.Array, grammar: RandomHierarchy) -> dict[str, jax.Array]:
        """Floors of the class, at each rate of flips."""
        return self._at_rates(
            key,
            lambda rate, key: class_floor(grammar, Noise(leaf_flip=rate), key, self.num_strings),
        )

    def _at_rates(self, key: jax.Array, floor: Callable[[jax.Array, jax.Array], Floor]):
        key = jax.random.fold_in(key, 2)
        return _values(jax.lax.map(lambda rate: floor(rate, key), jnp.asarray(self.rates)))


def _values(floor: Floor) -> dict[str, jax.Array]:
    return {
        f"{name}_{part}": getattr(getattr(floor, name), part)
        for name in floor._fields
        for part in ("mean", "std_error")
    }


def points(request: Request) -> list[Point]:
    """What the sweep measures: three points, each with all its positions or rates."""
    found = []
    for name, rates in (
        ("next_token", ()),
        ("masked", request.mask_rates),
        ("flipped", request.flip_rates),
    ):
        cell = Cell(request.spec, request.grammar, request.num_strings, rates)
        work = request.num_strings * max(len(rates), 2)
        found.append(Point(name, work, cell.draw, getattr(cell, name)))
    return found


def headline(request: Request) -> str:
    """What is about to be run."""
    return (
        f"Bayes floors of random hierarchies {spec_name(request.spec)}: {request.num_strings} "
        f"strings of each grammar, {request.num_seeds} seeds"
    )


def summarize(request: Request, results: dict[str, Measured]) -> dict:
    """The content of summary.json; ValueError if a point could not be measured."""
    require_measured(results)
    values = {name: found.values for name, found in results.items()}
    spec, ahead = request.seen, values["next_token"]
    return {
        **dataclasses.asdict(request.spec),
        "grammar": dataclasses.asdict(request.grammar),
        **{name: getattr(request, name) for name in ("num_strings", "num_seeds", "seed")},
        "next_token": _listed(ahead, "cross_entropy"),
        "next_token_error": _listed(ahead, "error"),
        "string_entropy": math.log(spec.num_strings) if request.grammar == PLAIN else None,
        "distance": spec.distances_before,
        "last_token": {
            str(height): _over_seeds(ahead["last_token"][:, height])
            for height in range(spec.depth + 1)
        },
        "masked": _by_rate(request.mask_rates, values["masked"], "cross_entropy"),
        "masked_error": _by_rate(request.mask_rates, values["masked"], "error"),
        "class_error": _by_rate(request.flip_rates, values["flipped"], "error"),
        "class_cross_entropy": _by_rate(request.flip_rates, values["flipped"], "cross_entropy"),
        "chance_error": request.grammar.chance_error(spec),
    }


def _listed(values: dict[str, np.ndarray], name: str) -> list[dict]:
    means, errors = values[f"{name}_mean"].T, values[f"{name}_std_error"].T
    return [_over_seeds(*each) for each in zip(means, errors, strict=True)]


def _by_rate(rates: tuple[float, ...], values: dict[str, np.ndarray], name: str) -> dict:
    return dict(zip(map(str, rates), _listed(values, name), strict=True))


def _over_seeds(means: np.ndarray, errors: np.ndarray | None = None) -> dict[str, Any]:
    """The spread over seeds, and the standard error of the mean for the strings that are drawn."""
    found: dict[str, Any] = spread(means)
    if errors is not None:
        found["std_error"] = float(np.sqrt((errors**2).sum()) / len(errors))
    return found


def notes(summary: dict) -> list[str]:
    """The floors in nats, and the errors."""

    def row(title: str, entries) -> str:
        return f"{title:34s}" + " ".join(f"{each['mean']:6.3f}" for each in entries)

    total = sum(each["mean"] for each in summary["next_token"])
    return [
        row("next token at each position, nats", summary["next_token"]),
        f"  together {total:.4f}, and log(number of strings) is {summary['string_entropy']:.4f}",
        row("last token from its block of S^h", summary["last_token"].values()),
        f"{'erased tokens, rate':34s}" + " ".join(f"{float(x):6.3g}" for x in summary["masked"]),
        row("  nats a token", summary["masked"].values()),
        f"{'flipped tokens, rate':34s}"
        + " ".join(f"{float(x):6.3g}" for x in summary["class_error"]),
        row("  error of the class", summary["class_error"].values()),
        f"means over {summary['num_seeds']} seeds of {summary['num_strings']} strings, "
        f"on {summary['device']}",
    ]


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import floor_figure

    return floor_figure(folder)


EXPERIMENT = SweepExperiment(
    name="bayes_floor",
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
