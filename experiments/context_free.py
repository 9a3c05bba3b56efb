"""How near a transformer comes to exact inference on a context-free language.

Transformers are trained on fresh strings of a context-free grammar, to predict every token from
those before it. Beside them stands exact inference, by a chart: the least that each token can cost,
and whether what a model writes is a string of the language. Grammars are read from a text file, or
are drawn as in language-model studies (arXiv 2305.13673).

    python -m experiments.context_free --preset cfg3f
    python -m experiments.context_free --grammar arithmetic.txt --max_length 30

A grammar file holds a rule a line, such as E -> E '+' T [0.3], see docs/context_free.md.
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
from hierjax.exact import chart_likelihood, chart_next_tokens
from hierjax.measure import spread
from hierjax.runs import (
    BlocksConfig,
    LanguageData,
    LayerwiseExperiment,
    Results,
    RunRequest,
    Stack,
    draw_languages,
    language_stacks,
    measures,
    nested,
    token_answers,
    total_seconds,
    written,
)
from hierjax.settings import setting
from hierjax.tasks import LAYERED, ContextFree, layered_grammar, parse_context_free
from hierjax.train import TokenTraining

_CONFIGS = ("transformers", "training")
_FILE_LENGTH = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(RunRequest):
    """What is asked for; its fields are the flags.

    Attributes:
      grammar: text file of the rules.
      rules: the rules themselves, as text; unset: those of the file, or else a grammar is drawn.
      preset: sizes of the grammar that is drawn, by their name in the study.
      num_levels: number of levels of the grammar that is drawn; 7 in the study.
      grammar_seed: seed of the grammar that is drawn, which all seeds share.
      max_length: largest number of tokens of strings, the end included; longer ones are not drawn.
        By default that of the longest string, and 64 for a grammar from a file.
      num_test: number of test strings, and of strings that each model writes.
      transformers: how the transformers are built.
      training: how all models are trained.
      num_seeds: number of seeds; each draws its own strings and weights.
    """

    grammar: str | None = setting(None, identity=False)
    rules: str | None = setting(None)
    preset: str = setting("cfg3b", choices=tuple(LAYERED))
    num_levels: int = setting(4, least=2, most=8)
    grammar_seed: int = setting(0, least=0, most=2**32 - 1)
    max_length: int | None = setting(None, least=2, most=2**11)
    num_test: int = setting(128, least=2, most=2**12)
    transformers: BlocksConfig = nested(BlocksConfig, num_blocks=(1, 3), num_heads=4)
    training: TokenTraining = nested(
        TokenTraining, batch_size=32, num_steps=2000, steps_per_round=10, num_looks=10
    )
    num_seeds: int = setting(1, least=1, most=2**20)

    def __post_init__(self):
        super().__post_init__()
        if self.grammar is not None:
            text = _text_of(self.grammar)
            if self.rules not in (None, text):
                raise ValueError(f"rules are given, and others by grammar={self.grammar}: give one")
            self.fill(rules=text)
        self.fill(max_length=self.language.spec.max_length)
        _ = self.modules

    @property
    def language(self) -> ContextFree:
        """The language."""
        drawn = self.preset, self.num_levels, self.grammar_seed
        return _language(self.rules, self.max_length, *drawn)

    @property
    def modules(self) -> Mapping[int, nn.Module]:
        """The models, by number of blocks."""
        spec = self.language.spec
        return self.transformers.modules(spec.num_symbols, spec.max_length, True, self.training)


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ValueError(f"grammar={path} is not read ({reason}): name a text file") from None


@functools.lru_cache(maxsize=8)
def _language(
    rules: str | None, max_length: int | None, preset: str, num_levels: int, seed: int
) -> ContextFree:
    if rules is not None:
        return parse_context_free(rules, max_length or _FILE_LENGTH)
    sizes = dataclasses.replace(LAYERED[preset], num_levels=num_levels)
    return layered_grammar(jax.random.key(seed), sizes, max_length)


def draw(key: jax.Array, request: Request) -> LanguageData:
    """The test strings of a seed."""
    language = request.language
    return draw_languages(key, language, [language], chart_next_tokens, request.num_test)


def learners(request: Request) -> dict[str, Stack]:
    """A transformer for each number of blocks."""
    spec = request.language.spec
    return language_stacks(request.modules, request.training, spec.num_symbols, spec.max_length)


MEASURES = measures()


@MEASURES.add("excess", column="nats a token above the floor")
def excess(layers, data, below, params):
    """What a token of unseen strings costs above exact inference."""
    return _answers(layers[0], data, params.params)["excess"]


@MEASURES.add("valid", column="valid strings", text="{mean:.3f} ± {std:.3f}")
def valid(layers, data, below, params):
    """Share of the strings that the model writes which end and are of the language."""
    spec, scores = data.language.spec, functools.partial(layers[0].layer.apply, params.params)
    n, length = data.tests[0].batch.inputs.shape
    strings = written(scores, jax.random.key(0), n, length, spec.num_symbols)
    possible = jnp.isfinite(chart_likelihood(data.language, strings))
    return (possible & (strings == spec.end).any(axis=1)).mean()


@MEASURES.add("looks")
def looks(layers, data, below, params):
    """What `token_answers` says at each look, and the share of test strings that are valid."""
    found = jax.lax.map(functools.partial(_answers, layers[0], data), params.trace)
    return found | {"sampled": jnp.isfinite(data.tests[0].best).all(axis=1).mean()}


def _answers(probed: Any, data: LanguageData, params: Any) -> dict[str, jax.Array]:
    return token_answers(functools.partial(probed.layer.apply, params), data.tests[0])


def headline(request: Request) -> str:
    """What is about to be run."""
    spec, training = request.language.spec, request.training
    name = request.grammar or f"{request.preset} of {request.num_levels} levels"
    return (
        f"{name}: {len(spec.symbols)} symbols, {len(spec.terminals)} terminals, strings of at most "
        f"{spec.max_length} tokens; {training.num_steps} steps of {training.batch_size} strings, "
        f"{request.num_seeds} seeds"
    )


def summarize(request: Request, results: Results) -> dict:
    """The content of summary.json."""
    spec, measured = request.language.spec, [each[0].measured for each in results.values()]
    found = measured[0]["looks"]
    by_place, count = found["floor"][:, 0], len(found["floor"])
    return {
        **request.own,
        **{name: dataclasses.asdict(getattr(request, name)) for name in _CONFIGS},
        "num_terminals": len(spec.terminals),
        "share": spec.share,
        "sampled_valid": spread(found["sampled"]),
        "floor": {
            "token": spread(found["floor_token"][:, 0]),
            "by_place": by_place.mean(axis=0),
            "error_by_place": np.sqrt((found["floor_error"][:, 0] ** 2).sum(axis=0)) / count,
        },
        "steps": request.training.steps_of_looks,
        "points": [
            {
                "num_blocks": number,
                "excess": spread(each["excess"]),
                "valid": spread(each["valid"]),
                "curve": each["looks"]["excess"],
                "by_place": each["looks"]["model"][:, -1].mean(axis=0),
            }
            for number, each in zip(request.transformers.num_blocks, measured, strict=True)
        ],
        "seconds": {name: total_seconds(layers) for name, layers in results.items()},
    }


def notes(summary: dict) -> list[str]:
    """What tokens cost, and what else there is to know."""
    floor = summary["floor"]["token"]["mean"]
    lines = [
        f"{point['num_blocks']} blocks: {point['excess']['mean']:.4f} ± "
        f"{point['excess']['std']:.4f} nats a token above the floor of {floor:.4f}, "
        f"{point['valid']['mean']:.3f} of what it writes is valid"
        for point in summary["points"]
    ]
    cut = -np.log(summary["share"])
    more = f"; given that strings are so short, {cut:.2g} nats a string less" if cut > 1e-3 else ""
    return [
        *lines,
        f"floor: perplexity {np.exp(floor):.4f} a token{more}; "
        f"{summary['sampled_valid']['mean']:.3f} of the test strings are valid; "
        f"{summary['num_seeds']} seeds, on {summary['device']}",
    ]


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import context_free_figure

    return context_free_figure(folder)


EXPERIMENT = LayerwiseExperiment(
    name="context_free",
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
