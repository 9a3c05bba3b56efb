"""How models learn a language step by step, beside the best that can be predicted.

Models are trained to predict tokens of random hierarchies, on fixed sets of strings or on fresh
ones. Their cross-entropy on unseen strings is compared with that of exact inference, position by
position, against the number of strings and while they train. The nearer in the tree the token
before is, the fewer strings it takes (arXiv 2406.00048).

    python -m experiments.language_steps
    python -m experiments.language_steps --online --num_steps 10000
    python -m experiments.language_steps --objective last --num_train 256,1024,4096,16384

With the default sizes expect 7.3, 4.2, 2.3 and 1.3 nats a string above exact inference, and .1 with
fresh strings after 10,000 steps. A step of 128 strings takes about .02 s of a core.
"""

import dataclasses
import functools
from pathlib import Path

import jax
import numpy as np

from experiments.runner import run
from experiments.tokens import MEASURES
from hierjax.measure import (
    climb,
    over_distances,
    short_of_half,
    spread,
    threshold,
    threshold_text,
    told_at_distances,
)
from hierjax.runs import (
    MOST_TRAIN,
    OBJECTIVES,
    TOKEN_MODELS,
    GrammarSettings,
    LayerwiseExperiment,
    MeshRequest,
    Results,
    Stack,
    TokenData,
    TokenSettings,
    draw_tokens,
    nested,
    spec_name,
    token_stack,
    total_seconds,
)
from hierjax.settings import setting
from hierjax.tasks import (
    RandomHierarchySpec,
    check_split,
    require_filled,
)
from hierjax.theory import predicted_token_steps

_NUM_TRAIN = (256, 1024, 4096, 16384)
_MOST_TEST_SHARE = 4
_REQUESTED = ("objective", "models", "online", "num_test", "num_seeds", "seed")
_CONFIGS = ("spec", "grammar", "training", "transformer", "stack")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(MeshRequest, TokenSettings, GrammarSettings):
    """What is asked for; its fields are the flags.

    Attributes:
      spec: sizes of the grammars.
      objective: what is predicted: every token from those before it ("next"), or the last token
        from all others ("last").
      models: models to train.
      num_train: numbers of train strings, n, ascending; an eighth of them are held out, and choose
        the step at which a model does best. Unset, and not online: 256,1024,4096,16384.
      online: draw fresh strings at every step, in place of fixed train sets.
      num_test: number of test strings, on none of which a model is trained.
      num_seeds: number of seeds; each draws its own grammar, strings and weights.
    """

    spec: RandomHierarchySpec = nested(
        RandomHierarchySpec, num_classes=16, vocab_size=16, num_rules=4, branching=2, depth=3
    )
    objective: str = setting("next", choices=tuple(OBJECTIVES))
    models: tuple[str, ...] = setting(("transformer",), choices=TOKEN_MODELS)
    num_train: tuple[int, ...] | None = setting(None, least=2, most=MOST_TRAIN, ascending=True)
    online: bool = setting(False)
    num_test: int = setting(1000, least=2, most=2**22)
    num_seeds: int = setting(3, least=1, most=2**20)

    def __post_init__(self):
        super().__post_init__()
        self.require_shared(self.training.batch_size)
        if self.online:
            if self.num_train is not None:
                raise ValueError(
                    "--online draws fresh strings, but --num_train asks for fixed sets: give one"
                )
            most = self.spec.num_strings // _MOST_TEST_SHARE
            if self.num_test > most:
                raise ValueError(
                    f"num_test={self.num_test} must be at most {most}, a quarter of the language: "
                    "fresh strings are those that are left"
                )
        else:
            if self.num_train is None:
                self.fill(num_train=_NUM_TRAIN)
            check_split(self.spec.num_strings, max(self.num_train or ()), self.num_test)

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """Numbers of train strings; None for fresh ones."""
        return self.num_train or (None,)

    @functools.cached_property
    def points(self) -> dict[str, tuple[str, int | None]]:
        """Model and number of train strings of each learner, by its name."""
        return {f"{m}_{n or 'online'}": (m, n) for m in self.models for n in self.sizes}


def draw(key: jax.Array, request: Request) -> TokenData:
    """The grammar of a seed and its strings."""
    sizes = request.sizes[-1], request.num_test
    return draw_tokens(key, request.spec, *sizes, request.grammar)


def learners(request: Request) -> dict[str, Stack]:
    """Each model on each number of train strings."""
    objective, spec = OBJECTIVES[request.objective], request.seen

    def stack(model: str, num_train: int | None) -> Stack:
        module = TOKEN_MODELS[model].make(spec, objective, request)
        return token_stack(module, request.training, objective, spec, num_train, request.mesh)

    return {name: stack(*point) for name, point in request.points.items()}


def headline(request: Request) -> str:
    """What is about to be run."""
    sizes = "fresh" if request.online else ", ".join(map(str, request.sizes))
    return (
        f"{request.objective} token of random hierarchies {spec_name(request.spec)}: "
        f"{', '.join(request.models)}, {request.training.num_steps} steps on {sizes} strings, "
        f"{request.num_seeds} seeds"
    )


def summarize(request: Request, results: Results) -> dict:
    """The content of summary.json."""
    first = next(iter(results.values()))[0].measured
    require_filled(first["num_unseen"].astype(int), request.num_test)
    found = {name: layers[0].measured for name, layers in results.items()}
    looks = {name: _looks(request, found[name], *request.points[name]) for name in found}
    return {
        **{name: getattr(request, name) for name in _REQUESTED},
        **{name: dataclasses.asdict(getattr(request, name)) for name in _CONFIGS},
        "floor": first["floors"][:, 0].mean(axis=0),
        "floors_by_level": first["floors"].mean(axis=0),
        "distance": request.seen.distances_before,
        "predicted_steps": predicted_token_steps(request.spec),
        "share_of_language": _share_seen(request),
        "points": [
            _point(request, *request.points[name], found[name]["curve"], each, first["floors"])
            for name, each in looks.items()
        ],
        "thresholds": [
            each
            for model in request.models
            for each in _thresholds(request, model, found, looks, first["floors"])
        ],
        "seconds": {name: total_seconds(layers) for name, layers in results.items()},
    }


def _looks(request: Request, found: dict, model: str, num_train: int | None) -> np.ndarray:
    """The look of each seed that does best on held-out strings, the last with fresh strings."""
    if num_train is None:
        return np.full(request.num_seeds, len(request.training.looks) - 1)
    return found["held_out_losses"].argmin(axis=1)


def _point(
    request: Request,
    model: str,
    num_train: int | None,
    curve: np.ndarray,
    looks: np.ndarray,
    floors: np.ndarray,
) -> dict:
    """A model on a number of strings, of the excess (seeds, looks, d)."""
    steps, chosen = np.array(request.training.steps_of_looks), _at(curve, looks)
    asked = _asked(curve)
    return {
        "model": model,
        "num_train": num_train,
        "steps": steps[looks],
        "excess": spread(chosen[:, asked].sum(axis=1)),
        "excess_by_position": chosen.mean(axis=0),
        "excess_by_position_per_seed": chosen,
        "curve": {
            "steps": steps,
            "excess": curve[:, :, asked].sum(axis=2),
            "excess_by_position": curve.mean(axis=0),
        },
        "order": _order(request, curve, steps, floors),
    }


def _at(curve: np.ndarray, looks: np.ndarray) -> np.ndarray:
    """What each of (seeds, looks, ...) is at a look of its own."""
    return np.stack([own[look] for own, look in zip(curve, looks, strict=True)])


def _asked(curve: np.ndarray) -> np.ndarray:
    """Positions of which something is asked, of (seeds, looks, d)."""
    return np.flatnonzero(~np.isnan(curve[:, 0]).all(axis=0))


def _order(
    request: Request, curve: np.ndarray, steps: np.ndarray, floors: np.ndarray
) -> dict | None:
    """When half of what tokens tell at each distance is first known, the nearest first."""
    if request.objective != "next":
        return None
    parts = over_distances(request.seen, curve) / told_at_distances(request.seen, floors)[:, None]
    reached = climb(1 - parts, steps, 0.5)
    return {
        "half_way": reached.reached,
        "seeds_in_order": reached.in_order.sum(),
        "seeds_strictly_in_order": reached.strictly.sum(),
    }


def _thresholds(
    request: Request,
    model: str,
    found: dict[str, dict],
    looks: dict[str, np.ndarray],
    floors: np.ndarray,
) -> list[dict]:
    """How many strings it takes a model to see each level, see `short_of_half`."""
    sizes = list(request.num_train or ())
    if not sizes:
        return []
    names = [name for name, (own, _) in request.points.items() if own == model]
    chosen = np.stack([_at(found[name]["curve"], looks[name]) for name in names])
    errors = short_of_half(request.seen, chosen, floors, request.objective == "last")
    return [
        {
            "model": model,
            "distance": index + 1,
            "tried": [sizes[0], sizes[-1]],
            **threshold(sizes, errors[..., index], 0.0)._asdict(),
        }
        for index in range(request.spec.depth)
    ]


def _share_seen(request: Request) -> float | None:
    """The share of the language that fresh strings have shown a model."""
    if not request.online:
        return None
    drawn = request.training.num_steps * request.training.batch_size
    return -np.expm1(-drawn / request.spec.num_strings)


def notes(summary: dict) -> list[str]:
    """The floor, what models are above it, position by position, and when they see each level."""

    def row(title: str, values) -> str:
        return f"{title:34s}" + "".join("       -" if np.isnan(x) else f"{x:8.3f}" for x in values)

    lines = [row("nats of exact inference", summary["floor"])]
    for point in summary["points"]:
        total = f"{point['excess']['mean']:.3f} ± {point['excess']['std']:.3f}"
        name = f"{point['model']}, {point['num_train'] or 'fresh'}: more, {total}"
        lines.append(row(name, point["excess_by_position"]))
    predicted = summary["predicted_steps"] or [None] * summary["spec"]["depth"]
    for each in summary["thresholds"]:
        found = threshold_text(each)
        scale = predicted[each["distance"] - 1]
        of = "" if scale is None else f", predicted scale {scale:.0f}"
        lines.append(f"{each['model']}: {each['distance']} levels up from n* {found}{of}")
    for point in summary["points"]:
        if point["order"] and summary["online"]:
            lines.append(
                f"{point['model']}: nearer tokens are half-way first in "
                f"{point['order']['seeds_in_order']} of {summary['num_seeds']} seeds"
            )
    if summary["online"]:
        lines.append(
            f"fresh strings have shown a share of {summary['share_of_language']:.2g} of the "
            "language; test strings were kept out"
        )
    lines.append(
        f"means over {summary['num_seeds']} seeds of {summary['num_test']} unseen strings, on "
        f"{summary['device']}"
    )
    return lines


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import language_figure

    return language_figure(folder, TOKEN_MODELS.colours)


EXPERIMENT = LayerwiseExperiment(
    name="language_steps",
    doc=__doc__,
    request=Request,
    draw=draw,
    learners=learners,
    measures=MEASURES,
    shown="excess",
    headline=headline,
    summarize=summarize,
    notes=notes,
    figure=figure,
)
main = functools.partial(run, EXPERIMENT)

if __name__ == "__main__":
    main()
