"""Which levels of the tree a masked model has found, beside exact inference that knows fewer.

Transformers learn to fill in erased tokens of random hierarchies whose rules are unequal. At each
look their answers are compared with those of exact inference that knows the grammar below level k
alone, and takes the nodes of level k as independent given the class: level after level, models come
near to answers that know more (arXiv 2408.15138).

    python -m experiments.masked --num_seeds 1
    python -m experiments.masked --rule_spread 1 --rate 0.5

With the default sizes (4 symbols, 4 levels, 2,000 steps of 64 strings) expect that answers are
nearest to a filter at the leaves at first, to one at level 3 after some tens of steps and, with 4
blocks, to one at level 2 after 1,340, .138 nats a token above exact inference in the end. One seed
took seven minutes beside much other work.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import struct
from jaxtyping import Array

from experiments.runner import run
from hierjax.exact import observe, posteriors
from hierjax.measure import spread
from hierjax.models import Transformer
from hierjax.runs import (
    ERROR,
    LayerwiseExperiment,
    Results,
    RunRequest,
    Stack,
    measures,
    nested,
    of_tokens,
    spec_name,
    total_seconds,
)
from hierjax.settings import setting
from hierjax.tasks import (
    NOT_ASKED,
    FixedStrings,
    RandomHierarchySpec,
    TokenExamples,
    check_split,
    draw_random_hierarchy,
    make_split,
    masked_tokens,
    require_filled,
)
from hierjax.train import Source, TokenTraining, token_learner


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(RunRequest):
    """What is asked for; its fields are the flags.

    Attributes:
      spec: sizes of the grammars.
      rule_spread: standard deviation of the normal numbers whose softmax makes the probabilities of
        the rules of a symbol; 0 for equal ones.
      rate: probability that a token is erased.
      num_train: number of train strings, n, whose tokens are erased anew in every step.
      num_test: number of test strings, none of them in the train set.
      num_blocks: numbers of blocks of the transformers, one for each, ascending.
      width: number of features of a position, W.
      num_heads: number of heads of each block, which divides the width.
      training: how all models are trained.
      num_seeds: number of seeds; each draws its own grammar, strings and weights.
    """

    spec: RandomHierarchySpec = nested(
        RandomHierarchySpec, num_classes=4, vocab_size=4, num_rules=4, branching=2, depth=4
    )
    rule_spread: float = setting(2.0, least=0, most=20)
    rate: float = setting(0.15, above=0, most=1)
    num_train: int = setting(2**17, least=1, most=2**24)
    num_test: int = setting(1000, least=1, most=2**17)
    num_blocks: tuple[int, ...] = setting((1, 4), least=1, most=2**7, ascending=True)
    width: int = setting(64, least=1, most=2**12)
    num_heads: int = setting(2, least=1, most=2**7)
    training: TokenTraining = nested(
        TokenTraining, learning_rate=2e-3, weight_decay=0.0, batch_size=64, num_steps=2000
    )
    num_seeds: int = setting(3, least=1, most=2**20)

    def __post_init__(self):
        super().__post_init__()
        check_split(self.spec.num_strings, self.num_train, self.num_test)
        _ = self.modules

    @property
    def modules(self) -> dict[int, nn.Module]:
        """The models, by number of blocks; they see all of a string."""
        num_symbols, training = self.spec.symbols(self.spec.depth), self.training
        whole = Transformer(
            num_symbols + 1,
            num_symbols,
            self.spec.num_leaves,
            self.width,
            num_heads=self.num_heads,
            causal=False,
            precision=training.precision,
            remat=training.remat,
        )
        return {count: whole.clone(num_blocks=count) for count in self.num_blocks}


class Data(struct.PyTreeNode):
    """What a seed draws.

    Attributes:
      train: the train strings.
      test: (N, d) test strings.
      asked: what models are asked of them.
      answers: (L + 1, N, d, V) probabilities of each token of test strings, given those that are
        not erased, of exact inference filtered at each level from 0, for no filter, to L.
      num_unseen: () int32, number of test strings that were found.
    """

    train: FixedStrings
    test: Array
    asked: TokenExamples
    answers: Array
    num_unseen: Array


def draw(key: jax.Array, request: Request) -> Data:
    """The grammar of a seed, its strings, and exact answers."""
    spec = request.spec
    rules_key, grammar_key, strings_key, erased_key = (jax.random.fold_in(key, i) for i in range(4))
    shares = [
        jax.nn.softmax(request.rule_spread * jax.random.normal(level_key, (num, num_rules)))
        for level_key, num, num_rules in zip(
            jax.random.split(rules_key, spec.depth),
            map(spec.symbols, range(spec.depth)),
            spec.num_rules,
            strict=True,
        )
    ]
    grammar = draw_random_hierarchy(grammar_key, spec, shares)
    split = make_split(grammar, strings_key, request.num_train, request.num_test)
    num_symbols, test = spec.symbols(spec.depth), split.test.inputs
    asked = masked_tokens(erased_key, test, num_symbols, request.rate)
    evidence = observe(spec, test, hidden=asked.targets != NOT_ASKED)
    answers = [
        cast(Array, posteriors(grammar, evidence, (spec.depth,), level).levels[-1])
        for level in range(spec.depth + 1)
    ]
    train = FixedStrings(split.train.inputs, jnp.int32(request.num_train))
    return Data(train, test, asked, jnp.stack(answers), split.num_unseen)


def learners(request: Request) -> dict[str, Stack]:
    """A transformer for each number of blocks."""
    num_symbols = request.spec.symbols(request.spec.depth)

    def examples(key, strings, n):
        drawn = strings.draw(jax.random.fold_in(key, 0), n)
        return masked_tokens(jax.random.fold_in(key, 1), drawn, num_symbols, request.rate)

    def source(data: Data, index: int) -> Source:
        return Source(data.train)

    return {
        f"blocks_{count}": Stack(token_learner(module, request.training, examples), source)
        for count, module in request.modules.items()
    }


MEASURES = measures()


@MEASURES.add("excess", column="nats a token above exact inference (worst)", text=ERROR)
def excess(layers, data, below, params):
    """Cross-entropy of erased tokens of unseen strings, above that of exact inference."""
    return _beside(layers[0], data, params.params)["cross_entropy"] - _floors(data)[0]


@MEASURES.add("looks")
def looks(layers, data, below, params):
    """What `_beside` says at each look, (looks, ...)."""
    return jax.lax.map(functools.partial(_beside, layers[0], data), params.trace)


def _beside(probed: Any, data: Data, params: Any) -> dict[str, Array]:
    """A model beside exact inference, on erased tokens of test strings.

    Returns:
      "cross_entropy" (), in nats a token, and "divergence" (L + 1,), the mean Kullback-Leibler
      divergence of the model's answers from those of inference filtered at each level.
    """
    logs = jax.nn.log_softmax(probed.layer.apply(params, data.asked.inputs))
    divergence = [
        (jax.scipy.special.rel_entr(answer, jnp.exp(logs))).sum(axis=-1) for answer in data.answers
    ]
    return {
        "cross_entropy": -_of_erased(data, of_tokens(logs, data.test)),
        "divergence": jnp.stack([_of_erased(data, each) for each in divergence]),
    }


def _of_erased(data: Data, values: Array) -> Array:
    """The mean over erased tokens of values (N, d)."""
    erased = data.asked.targets != NOT_ASKED
    return jnp.where(erased, values, 0).sum() / erased.sum()


@MEASURES.add("floors")
def floors(layers, data, below, params):
    """Cross-entropies (L + 1,) of inference filtered at each level, in nats a token."""
    return _floors(data)


def _floors(data: Data) -> Array:
    return jnp.stack([-_of_erased(data, jnp.log(of_tokens(a, data.test))) for a in data.answers])


@MEASURES.add("num_unseen")
def num_unseen(layers, data, below, params):
    """Number of unseen test strings that were found."""
    return data.num_unseen


def headline(request: Request) -> str:
    """What is about to be run."""
    training = request.training
    return (
        f"a share of {request.rate} of tokens erased in random hierarchies "
        f"{spec_name(request.spec)} with unequal rules: transformers of "
        f"{', '.join(map(str, request.num_blocks))} blocks, {training.num_steps} steps of "
        f"{training.batch_size} of {request.num_train} strings, {request.num_seeds} seeds"
    )


def summarize(request: Request, results: Results) -> dict:
    """The content of summary.json."""
    first = next(iter(results.values()))[0].measured
    require_filled(first["num_unseen"].astype(int), request.num_test)
    steps = np.array(request.training.steps_of_looks)
    return {
        **request.own,
        **{name: dataclasses.asdict(getattr(request, name)) for name in ("spec", "training")},
        "floors": [spread(each) for each in first["floors"].T],
        "steps": steps,
        "points": [
            {"num_blocks": count, **_point(layers[0].measured, steps)}
            for count, layers in zip(request.num_blocks, results.values(), strict=True)
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
