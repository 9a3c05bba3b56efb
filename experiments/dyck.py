"""Whether a transformer reads brackets nested in longer strings than it was trained on.

Transformers are trained on fresh strings of a bounded Dyck language, k kinds of brackets to a depth
D, to predict every token from those before it. The position enters as one number, so that longer
strings can be read: does a model know which bracket has to be closed there (arXiv 2105.11115)?

    python -m experiments.dyck --num_seeds 1
    python -m experiments.dyck --num_blocks 1,2

With the default sizes (8 kinds of brackets to depth 10, 2 blocks of width 30, 10,000 strings of 501
to 700 tokens) expect that the right kind is the most likely at .94 of the places in strings of 701
to 1,400 tokens where a bracket is open, and .12 nats a token above the floor of 1.66; with 80,000
strings .99 and .04. Each seed takes about five CPU-minutes; see docs/dyck.md.
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from experiments.runner import run
from hierjax.measure import spread
from hierjax.runs import (
    ERROR,
    BlocksConfig,
    LanguageData,
    LanguageTest,
    LayerwiseExperiment,
    Results,
    RunRequest,
    Stack,
    closing_answers,
    draw_languages,
    language_stacks,
    measures,
    nested,
    total_seconds,
)
from hierjax.settings import setting
from hierjax.tasks import Dyck, DyckSpec, bounded_dyck
from hierjax.train import TokenTraining

_CONFIGS = ("language", "transformers", "training")
_MEASURED = ("accuracy", "sure", "excess")
_GROUPED = ("by_depth", "by_distance", "by_place")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(RunRequest):
    """What is asked for; its fields are the flags.

    Attributes:
      language: the language, and the lengths of the strings that models are trained on.
      test_length: largest number of tokens of test strings; most of them are longer than any
        that was trained on.
      num_test: number of test strings that are longer than those of training, and of others as long
        as the longer half of these.
      transformers: how the transformers are built.
      training: how all models are trained.
      num_seeds: number of seeds; each draws its own strings and weights.
    """

    language: DyckSpec = nested(DyckSpec, num_kinds=8, max_depth=10, min_length=501)
    test_length: int = setting(1400, least=2, most=2**14)
    num_test: int = setting(16, least=1, most=2**12)
    transformers: BlocksConfig = nested(BlocksConfig, num_blocks=(2,), width=30, num_heads=1)
    training: TokenTraining = nested(
        TokenTraining,
        learning_rate=0.005,
        weight_decay=0.0,
        batch_size=1,
        num_steps=10_000,
        steps_per_round=50,
        num_looks=12,
    )
    num_seeds: int = setting(3, least=1, most=2**20)

    def __post_init__(self):
        super().__post_init__()
        if self.test_length <= self.language.max_length:
            raise ValueError(
                f"test_length={self.test_length} must be above max_length="
                f"{self.language.max_length}: test strings are to be longer than those of training"
            )
        _ = self.tested, self.modules

    @property
    def tested(self) -> dict[str, DyckSpec]:
        """Languages of the test strings, by name; they differ in the lengths of strings."""
        longest, change = self.language.max_length, dataclasses.replace
        least = max(self.language.min_length, longest // 2 + 1)
        return {
            "as long": change(self.language, min_length=least),
            "longer": change(self.language, min_length=longest + 1, max_length=self.test_length),
        }

    @property
    def modules(self) -> Mapping[int, nn.Module]:
        """The models, by number of blocks."""
        sizes = self.language.num_symbols, self.test_length
        return self.transformers.modules(*sizes, True, self.training, positions="number")


def draw(key: jax.Array, request: Request) -> LanguageData:
    """The test strings of a seed."""
    tested = [bounded_dyck(spec) for spec in request.tested.values()]
    language = bounded_dyck(request.language)
    return draw_languages(key, language, tested, Dyck.next_probabilities, request.num_test)


def learners(request: Request) -> dict[str, Stack]:
    """A transformer for each number of blocks."""
    spec = request.language
    sizes = spec.num_symbols, spec.max_length
    return language_stacks(request.modules, request.training, *sizes)


MEASURES = measures()


@MEASURES.add("wrong", column="wrong closings of longer strings (worst)", text=ERROR)
def wrong(layers, data, below, params):
    """Share of places in longer strings where another kind of closing bracket seems more likely."""
    found = _answers(layers[0], data.tests[-1], params.params, data.language.spec)
    return 1 - found["accuracy"]


@MEASURES.add("looks")
def looks(layers, data, below, params):
    """What `_answers` says at each look, of each kind of test strings: (looks, tests, ...)."""

    def at_look(kept):
        found = [_answers(layers[0], test, kept, data.language.spec) for test in data.tests]
        return jax.tree.map(lambda *each: jnp.stack(each), *found)

    return jax.lax.map(at_look, params.trace)


def _answers(probed: Any, test: LanguageTest, params: Any, spec: DyckSpec) -> dict[str, jax.Array]:
    scores, module = functools.partial(probed.layer.apply, params), probed.layer.network.module
    return closing_answers(scores, test, spec, module.length)


def headline(request: Request) -> str:
    """What is about to be run."""
    language, training = request.language, request.training
    blocks = ", ".join(map(str, request.transformers.num_blocks))
    return (
        f"{language.num_kinds} kinds of brackets to depth {language.max_depth}: transformers of "
        f"{blocks} blocks, {training.num_steps} steps "
        f"of {training.batch_size} strings of at most {language.max_length} tokens, tested to "
        f"{request.test_length}, {request.num_seeds} seeds"
    )


def summarize(request: Request, results: Results) -> dict:
    """The content of summary.json."""
    tests = {}
    for name, spec in request.tested.items():
        language = bounded_dyck(spec)
        lengths, entropy = language.mean_length(), language.entropy()
        tests[name] = {
            "lengths": [spec.min_length, spec.max_length],
            "mean_length": float(lengths),
            "floor": float(entropy / lengths),
        }
    training = request.training
    trained_length = float(bounded_dyck(request.language).mean_length())
    return {
        **request.own,
        "num_blocks": request.transformers.num_blocks,
        **{name: dataclasses.asdict(getattr(request, name)) for name in _CONFIGS},
        "num_tokens": round(trained_length * training.num_steps * training.batch_size),
        "tests": tests,
        "steps": training.steps_of_looks,
        "points": [
            {"num_blocks": count, "strings": strings, **_point(found[0].measured["looks"], index)}
            for count, found in zip(request.transformers.num_blocks, results.values(), strict=True)
            for index, strings in enumerate(request.tested)
        ],
        "seconds": {name: total_seconds(layers) for name, layers in results.items()},
    }


def _point(found: dict[str, np.ndarray], index: int) -> dict:
    """What a model makes of some test strings, of (seeds, looks, tests, ...)."""
    own = {name: each[:, :, index] for name, each in found.items()}
    return {
        **{name: spread(own[name][:, -1]) for name in _MEASURED},
        **{name: own[name][:, -1].mean(axis=0) for name in _GROUPED},
        "curve": {name: own[name] for name in _MEASURED},
    }


def notes(summary: dict) -> list[str]:
    """How brackets are closed, and what else there is to know."""
    lines = []
    for point in summary["points"]:
        test = summary["tests"][point["strings"]]
        low, high = test["lengths"]
        right, sure, excess = (point[name] for name in _MEASURED)
        lines.append(
            f"{point['num_blocks']} blocks, {low} to {high} tokens: right kind most likely "
            f"{right['mean']:.4f} ± {right['std']:.4f}, by more than .8 {sure['mean']:.4f} ± "
            f"{sure['std']:.4f}; {excess['mean']:.4f} ± {excess['std']:.4f} nats a token above the "
            f"floor of {test['floor']:.4f}"
        )
    return [
        *lines,
        f"{summary['num_tokens'] / 1e6:.2g} million tokens of fresh strings each; exact inference "
        f"always knows the kind; {summary['num_seeds']} seeds, on {summary['device']}",
    ]


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import bracket_figure

    return bracket_figure(folder)


EXPERIMENT = LayerwiseExperiment(
    name="dyck",
    doc=__doc__,
    request=Request,
    draw=draw,
    learners=learners,
    measures=MEASURES,
    shown="wrong",
    headline=headline,
    summarize=summarize,
    notes=notes,
    figure=figure,
)
main = functools.partial(run, EXPERIMENT)

if __name__ == "__main__":
    main()
