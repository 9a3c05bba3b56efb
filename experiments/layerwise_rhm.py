"""A random hierarchy is learned layer by layer from about C * M^L examples (arXiv 2601.19756).

Draws random hierarchy grammars, trains a convolutional stack one layer at a time on strings and
labels alone, and measures what each layer knows: test error on unseen strings, and how far
synonyms have come together while different symbols stay apart.

    python -m experiments.layerwise_rhm

With the default sizes (C = V = 8, M = 4, S = 2, L = 3, n = 2,048) expect a mean test error below
0.01 where chance is 0.875, in about 40 seconds on two cores; the other learners, on the same
strings, take most of that time.
"""

import dataclasses
import functools
from fractions import Fraction
from pathlib import Path

import jax
import numpy as np

from experiments.collapse import curves
from experiments.runner import run
from experiments.strings import MEASURES, condition_notes, conditions, noise_notes
from hierjax.measure import spread
from hierjax.runs import (
    MOST_TRAIN,
    PRESETS,
    STRING_LEARNERS,
    GrammarSettings,
    LayerwiseExperiment,
    LearnerSettings,
    MeshRequest,
    Result,
    Results,
    RunFolder,
    Stack,
    StringData,
    StringNoise,
    described,
    draw_strings,
    is_one_cpu,
    nested,
    obstacle,
    seed_mesh,
    total_seconds,
)
from hierjax.settings import setting
from hierjax.tasks import (
    Batch,
    RandomHierarchySpec,
    check_split,
    require_filled,
)
from hierjax.theory import predicted_num_train

LAYERWISE = ("layerwise", "one_step", "clustering")
_TRAIN_MULTIPLE = 4.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(MeshRequest, LearnerSettings, GrammarSettings):
    """What is asked for; its fields are the flags.

    Attributes:
      spec: sizes of the grammars.
      train_multiple: train strings as a multiple of C * M^L, unless num_train is given; unset: 4.
      num_train: number of train strings, n, unless train_multiple is given.
      num_test: number of test strings, none of them in the train set.
      learner: the learner that is trained layer by layer, and whose layers are measured: patch
        layers ("layerwise"), one gradient step and k-means a layer ("one_step", arXiv 2307.02129),
        or k-means of what siblings hold, without classes ("clustering", arXiv 2605.27734).
      noise: noise through which strings and classes are seen.
      baselines: also train the other learners (end_to_end, shallow, kernel) on the same data.
    """

    spec: RandomHierarchySpec = nested(
        RandomHierarchySpec, num_classes=8, vocab_size=8, num_rules=4, branching=2, depth=3
    )
    train_multiple: float = setting(None, above=0, most=2.0**20)
    num_train: int = setting(None, least=2, most=MOST_TRAIN)
    num_test: int = setting(2000, least=16, most=2**22)
    learner: str = setting("layerwise", choices=LAYERWISE)
    noise: StringNoise = nested(StringNoise)
    baselines: bool = setting(True, identity=False)

    def __post_init__(self):
        super().__post_init__()
        if self.num_train is None:
            multiple = _TRAIN_MULTIPLE if self.train_multiple is None else self.train_multiple
            self.fill(num_train=round(Fraction(multiple) * predicted_num_train(self.spec)))
        elif self.train_multiple is not None:
            raise ValueError("--num_train and --train_multiple say the same thing: give only one")
        self.fill(train_multiple=self.num_train / predicted_num_train(self.spec))
        if self.data_parallel and not self.baselines:
            raise ValueError("--data_parallel is for the end-to-end learner: drop --nobaselines")
        self.require_shared(self.network.batch_size // self.network.parts)
        check_split(self.spec.num_strings, self.num_train, self.num_test)
        self.noise.check(self.spec)
        if self.noise.filter_level > 1:
            raise ValueError(
                f"filter_level={self.noise.filter_level} leaves no symbols at level 1, by which "
                "layers are measured: give 1, or take sample_complexity"
            )

    @property
    def seen(self) -> RandomHierarchySpec:
        """Sizes of the grammars as learners see them."""
        return self.noise.seen(super().seen)


def draw(key: jax.Array, request: Request) -> StringData:
    """The grammar of a seed and its strings."""
    sizes = (request.spec, request.num_train, request.num_test)
    return draw_strings(key, *sizes, request.grammar, request.noise)


def learners(request: Request) -> dict[str, Stack]:
    """The learners that are asked for and can be trained, the layerwise one first."""
    stacks, left_out = {}, skipped(request)
    for name in [request.learner, *_others(request)]:
        if name in left_out:
            continue
        mesh = request.mesh if name == "end_to_end" else None
        # On a CPU one factorisation has all cores already, and several get in each other's way.
        if STRING_LEARNERS[name].fills_cpu and is_one_cpu():
            mesh = seed_mesh(1)
        layers = STRING_LEARNERS[name].make(request.seen, request.num_train, request)
        stacks[name] = Stack(layers, functools.partial(_examples, name, request), mesh=mesh)
    return stacks


def _examples(name: str, request: Request, data: StringData, index: int) -> Batch:
    return STRING_LEARNERS[name].examples(request.seen, request, data.train, index)


def skipped(request: Request) -> dict[str, str]:
    """The other learners that cannot be trained, and why."""
    reasons = {
        name: obstacle(name, request.seen, request.num_train, request) for name in _others(request)
    }
    return {name: reason for name, reason in reasons.items() if reason}


def _others(request: Request) -> list[str]:
    return [name for name in STRING_LEARNERS if request.baselines and name not in LAYERWISE]


def headline(request: Request) -> str:
    """What is about to be run."""
    spec = request.spec

    def short(sizes: tuple[int, ...]) -> str:
        return str(sizes[0]) if len(set(sizes)) == 1 else ",".join(map(str, sizes))

    return (
        f"random hierarchy C={spec.num_classes} V={short(spec.vocab_size)} "
        f"M={short(spec.num_rules)} S={short(spec.branching)} L={spec.depth}: "
        f"{request.num_train} train strings of {spec.num_leaves} tokens "
        f"({request.train_multiple:g} x C*M^L), {request.num_seeds} seeds"
    )


def summarize(request: Request, results: Results) -> dict:
    """The content of summary.json."""
    require_filled(results[request.learner][0].measured["num_unseen"], request.num_test)
    configs = ("spec", "grammar", "noise", "config", "network", "shallow", "kernel")
    numbers = ("learner", "num_train", "num_test", "train_multiple")
    levels = [_level(request, *each) for each in enumerate(results[request.learner])]
    return {
        **{name: dataclasses.asdict(getattr(request, name)) for name in configs},
        **{name: getattr(request, name) for name in (*numbers, "num_seeds", "seed")},
        "predicted_num_train": predicted_num_train(request.spec),
        "chance_error": request.grammar.chance_error(request.spec),
        "bayes_error": spread(results[request.learner][0].measured["bayes_error"]),
        "learners": {name: _learner(request, name, each) for name, each in results.items()},
        "skipped": skipped(request),
        "levels": levels,
        "collapse": curves(results),
        "conditions": conditions(results[request.learner]),
    }


def _learner(request: Request, name: str, layers: list[Result]) -> dict:
    measured = layers[-1].measured
    top = STRING_LEARNERS[name].make(request.seen, request.num_train, request)[-1]
    return {
        "test_error": spread(measured["test_error"]),
        "excess_error": spread(measured["test_error"] - measured["bayes_error"]),
        "train_loss": float(measured["train_loss"].mean()),
        "seconds": total_seconds(layers),
        "chosen": described(top, measured),
    }


def _level(request: Request, index: int, result: Result) -> dict:
    """What a layer makes of the symbols of its level, means over seeds."""
    level, separation = request.spec.depth - 1 - index, result.measured["layer"]["separation"]
    return {
        "level": level,
        "num_symbols": request.seen.symbols(level),
        **{name: float(np.nanmean(values)) for name, values in separation.items()},
        "purity_min": float(separation["purity"].min()),
        "test_error": spread(result.measured["test_error"]),
    }


def save(folder: RunFolder, results: Results) -> None:
    """Writes points and symbols of every level of the first seed, for the figure."""
    layers = [result.measured["layer"] for result in next(iter(results.values()))]
    names = ("plane", "symbols")
    arrays = {f"{name}_{i}": each[name][0] for i, each in enumerate(layers) for name in names}
    folder.write_arrays("embeddings.npz", arrays)


def notes(summary: dict) -> list[str]:
    """What to know of the table."""
    return [
        *(f"{name}: left out, {reason}" for name, reason in summary["skipped"].items()),
        *condition_notes(summary["conditions"]),
        *noise_notes(summary),
        f"errors on unseen strings, chance {summary['chance_error']:.3f}, "
        f"{summary['num_seeds']} seeds, on {summary['device']}",
    ]


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import layerwise_figure

    return layerwise_figure(folder, STRING_LEARNERS.colours)


EXPERIMENT = LayerwiseExperiment(
    name="layerwise_rhm",
    doc=__doc__,
    request=Request,
    follows={"preset": PRESETS},
    draw=draw,
    learners=learners,
    measures=MEASURES,
    headline=headline,
    summarize=summarize,
    save=save,
    notes=notes,
    figure=figure,
)
main = functools.partial(run, EXPERIMENT)

if __name__ == "__main__":
    main()
