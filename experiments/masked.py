"""Which levels of the tree a masked model has found, beside exact inference that knows fewer.

Transformers learn to fill in erased tokens of random hierarchies whose rules are unequal. At each
look their answers are compared with those of exact inference that knows the grammar below level k
alone, and takes the nodes of level k as independent given the class: level after level, models come
near to answers that know more (arXiv 2408.15138).

    python -m experiments.masked --num_seeds 1
    python -m experiments.masked --rule_spread 1 --rate 0.5

With the default sizes (4 symbols, 4 levels, 2,000 steps of 64 strings) expect that answers are
nearest to a filter at the leaves at first, to one at level 3 from step 140 on and, with 4 blocks,
to one at level 2 from step 1,100, .16 nats a token above exact inference in the end. A seed takes
three to seven minutes of a core.
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from experiments.runner import run
from hierjax.measure import spread
from hierjax.runs import (
    ERROR,
    BlocksConfig,
    GrammarSettings,
    LayerwiseExperiment,
    MaskedData,
    Results,
    RunRequest,
    Stack,
    draw_masked,
    measures,
    nested,
    spec_name,
    total_seconds,
)
from hierjax.settings import setting
from hierjax.tasks import (
    GrammarDraw,
    RandomHierarchySpec,
    check_filter,
    check_split,
    masked_tokens,
    require_filled,
)
from hierjax.train import Source, TokenTraining, token_learner

_CONFIGS = ("spec", "grammar", "transformers", "training")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(RunRequest, GrammarSettings):
    """What is asked for; its fields are the flags.

    Attributes:
      spec: sizes of the grammars.
      grammar: how the grammar of each seed is drawn, given its sizes.
      rate: probability that a token is erased.
      num_train: number of train strings, n, whose tokens are erased anew in every step.
      num_test: number of test strings, none of them in the train set.
      filter_level: level at which train and test strings are filtered, their nodes there being
        independent given the class; 0 for strings of the grammar.
      transformers: how the transformers are built.
      training: how all models are trained.
      num_seeds: number of seeds; each draws its own grammar, strings and weights.
    """

    spec: RandomHierarchySpec = nested(
        RandomHierarchySpec, num_classes=4, vocab_size=4, num_rules=4, branching=2, depth=4
    )
    grammar: GrammarDraw = nested(GrammarDraw, rule_spread=2.0)
    rate: float = setting(0.15, above=0, most=1)
    num_train: int = setting(2**17, least=1, most=2**24)
    num_test: int = setting(1000, least=1, most=2**17)
    filter_level: int = setting(0, least=0, most=2**6)
    transformers: BlocksConfig = nested(BlocksConfig)
    training: TokenTraining = nested(
        TokenTraining, learning_rate=2e-3, weight_decay=0.0, batch_size=64, num_steps=2000
    )
    num_seeds: int = setting(3, least=1, most=2**20)

    def __post_init__(self):
        super().__post_init__()
        check_split(self.spec.num_strings, self.num_train, self.num_test)
        if self.filter_level:
            check_filter(self.spec, self.filter_level)
        _ = self.modules

    @property
    def modules(self) -> Mapping[int, nn.Module]:
        """The models, by number of blocks; they see all of a string."""
        num_symbols, length = self.seen.symbols(self.seen.depth), self.seen.num_leaves
        return self.transformers.modules(num_symbols, length, False, self.training)


def draw(key: jax.Array, request: Request) -> MaskedData:
    """The grammar of a seed, its strings, and exact answers."""
    sizes = request.num_train, request.num_test, request.filter_level
    return draw_masked(key, request.spec, request.grammar, request.rate, *sizes)


def learners(request: Request) -> dict[str, Stack]:
    """A transformer for each number of blocks."""
    num_symbols = request.seen.symbols(request.seen.depth)

    def examples(key, strings, n):
        drawn = strings.draw(jax.random.fold_in(key, 0), n)
        return masked_tokens(jax.random.fold_in(key, 1), drawn, num_symbols, request.rate)

    def source(data: MaskedData, index: int) -> Source:
        return Source(data.train)

    return {
        f"blocks_{count}": Stack(token_learner(module, request.training, examples), source)
        for count, module in request.modules.items()
    }


MEASURES = measures()


@MEASURES.add("excess", column="nats a token above exact inference (worst)", text=ERROR)
def excess(layers, data, below, params):
    """Cross-entropy of erased tokens of unseen strings, above that of exact inference."""
    return _beside(layers[0], data, params.params)["cross_entropy"] - data.floors[0]


@MEASURES.add("looks")
def looks(layers, data, below, params):
    """What `_beside` says at each look, (looks, ...)."""
    return jax.lax.map(functools.partial(_beside, layers[0], data), params.trace)


def _beside(probed: Any, data: MaskedData, params: Any) -> dict[str, jax.Array]:
    return data.beside(probed.layer.apply(params, data.asked.inputs))


@MEASURES.add("floors")
def floors(layers, data, below, params):
    """The floors of `MaskedData`."""
    return data.floors


@MEASURES.add("num_unseen")
def num_unseen(layers, data, below, params):
    """Number of unseen test strings that were found."""
    return data.num_unseen


def headline(request: Request) -> str:
    """What is about to be run."""
    training, blocks = request.training, ", ".join(map(str, request.transformers.num_blocks))
    filtered = f" and filtered at level {request.filter_level}" * bool(request.filter_level)
    return (
        f"a share of {request.rate} of tokens erased in random hierarchies "
        f"{spec_name(request.spec)} with unequal rules{filtered}: transformers of "
        f"{blocks} blocks, {training.num_steps} steps "
        f"of {training.batch_size} of {request.num_train} strings, {request.num_seeds} seeds"
    )


def summarize(request: Request, results: Results) -> dict:
    """The content of summary.json."""
    first = next(iter(results.values()))[0].measured
    require_filled(first["num_unseen"].astype(int), request.num_test)
    steps = np.array(request.training.steps_of_looks)
    return {
        **request.own,
        "num_blocks": request.transformers.num_blocks,
        **{name: dataclasses.asdict(getattr(request, name)) for name in _CONFIGS},
        "floors": [spread(each) for each in first["floors"].T],
        "steps": steps,
        "points": [
            {"num_blocks": count, **_point(layers[0].measured, steps)}
            for count, layers in zip(request.transformers.num_blocks, results.values(), strict=True)
        ],
        "seconds": {name: total_seconds(layers) for name, layers in results.items()},
    }


def _point(found: dict[str, Any], steps: np.ndarray) -> dict:
    """What a model has come to, by (seeds, looks, ...) measurements."""
    divergence = found["looks"]["divergence"]
    nearest = divergence.argmin(axis=2)
    hits = nearest[:, :, None] == np.arange(divergence.shape[2])[None, None]
    return {
        "excess": spread(found["excess"]),
        "divergence": [spread(each) for each in divergence[:, -1].T],
        "nearest": nearest,
        "nearest_from": np.where(hits.any(axis=1), steps[hits.argmax(axis=1)], np.nan),
        "seeds_in_order": int((np.diff(nearest, axis=1) <= 0).all(axis=1).sum()),
        "curve": found["looks"],
    }


def notes(summary: dict) -> list[str]:
    """The floors, and where each model stands among them."""

    def row(title: str, values) -> str:
        return f"{title:44s}" + "".join(f"{each['mean']:8.4f}" for each in values)

    lines = [row("filtered at level 0, 1, ...: nats a token", summary["floors"])]
    for point in summary["points"]:
        blocks = f"{point['num_blocks']} blocks"
        lines.append(row(f"{blocks}: divergence in the end", point["divergence"]))
        medians = np.median(np.array(point["nearest_from"], float), axis=0)
        known = [(level, step) for level, step in enumerate(medians) if np.isfinite(step)]
        lines.append(
            f"{blocks}: nearest to a filter at level "
            f"{', '.join(f'{level} from step {step:.0f}' for level, step in known[::-1])} "
            f"(medians); never back in {point['seeds_in_order']} of {summary['num_seeds']} seeds"
        )
    lines.append(
        f"means over {summary['num_seeds']} seeds of {summary['num_test']} unseen strings, on "
        f"{summary['device']}"
    )
    return lines


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import masked_figure

    return masked_figure(folder)


EXPERIMENT = LayerwiseExperiment(
    name="masked",
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
