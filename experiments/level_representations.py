"""Which levels of the tree layers represent: probes, and what a change of one node does to them.

On strings of the same grammars a convolutional stack learns the class, layer by layer and end to
end, and a transformer the next token. Of each layer it is measured how well a linear probe reads
the symbols of every level, and how much the layer changes when at one node another rule of its
symbol is drawn, or another symbol: a layer that has found the symbol is blind to the rule (arXiv
2307.02129). The networks that are trained whole are looked at while they are trained, too.

    python -m experiments.level_representations
    python -m experiments.level_representations --train_multiple 128

With the default sizes (C = V = 8, M = 4, S = 2, L = 3, n = 4,096; 5 seeds) expect that layer k of
the stack trained layer by layer changes by .20, .19 and .10 of a random change when another rule is
drawn at a node of level L - k, by at most .05 with --train_multiple 128; and by .79, .84 and .91
end to end, where linear probes read these symbols as well. It takes eight minutes of a core.
"""

import dataclasses
import functools
from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.levels import MEASURES, by_distance
from experiments.runner import run
from hierjax.measure import spread
from hierjax.runs import (
    GrammarSettings,
    LayerwiseExperiment,
    Result,
    Results,
    RunFolder,
    RunRequest,
    Stack,
    TreeData,
    activation_arrays,
    draw_trees,
    nested,
    spec_name,
    total_seconds,
)
from hierjax.settings import setting
from hierjax.tasks import (
    Batch,
    FixedStrings,
    RandomHierarchySpec,
    check_split,
    next_token,
    require_filled,
)
from hierjax.theory import predicted_num_train
from hierjax.train import (
    NetworkConfig,
    Probed,
    Source,
    TokenTraining,
    TransformerConfig,
    end_to_end_learner,
    patch_layers,
    token_learner,
)

LEARNERS = ("layerwise", "end_to_end", "transformer")
_CONFIGS = ("spec", "grammar", "network", "transformer", "training")
_NUMBERS = ("train_multiple", "num_train", "num_test", "num_seeds", "seed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(RunRequest, GrammarSettings):
    """What is asked for; its fields are the flags.

    Attributes:
      spec: sizes of the grammars.
      train_multiple: train strings as a multiple of C * M^L.
      num_test: number of test strings, none of them in the train set; probes are fitted on a half
        of them.
      learners: learners to train: the convolutional stack layer by layer or end to end, on classes,
        and a transformer on the next token.
      network: choices of the stack that is trained end to end, with one learning rate.
      transformer: how the transformer is built.
      training: how the transformer is trained; the end-to-end stack is looked at as often.
      activations: write the features of the test strings of the first seed, with their trees, to
        activations.npz in the workdir.
      num_seeds: number of seeds; each draws its own grammar, strings and weights.
    """

    spec: RandomHierarchySpec = nested(
        RandomHierarchySpec, num_classes=8, vocab_size=8, num_rules=4, branching=2, depth=3
    )
    train_multiple: float = setting(8.0, above=0, most=2.0**20)
    num_test: int = setting(1000, least=16, most=2**16)
    learners: tuple[str, ...] = setting(LEARNERS, choices=LEARNERS, identity=False)
    network: NetworkConfig = nested(NetworkConfig, learning_rates=(0.2,), stop_loss=0.0)
    transformer: TransformerConfig = nested(TransformerConfig, "transformer_")
    training: TokenTraining = nested(TokenTraining, "token_", num_steps=1000, num_looks=10)
    activations: bool = setting(False, identity=False)
    num_seeds: int = setting(5, least=1, most=2**20)

    def __post_init__(self):
        super().__post_init__()
        if len(self.network.learning_rates) > 1:
            raise ValueError(
                f"learning_rates={self.network.learning_rates} would be compared first, but the "
                "network is looked at while it is trained: give one"
            )
        for name, sizes in (
            ("num_classes", (self.spec.num_classes,)),
            ("num_rules", self.spec.num_rules),
        ):
            if min(sizes) == 1:
                raise ValueError(f"{name}={sizes} leaves no other one to draw: give 2 or more")
        check_split(self.spec.num_strings, self.num_train, self.num_test)

    @property
    def num_train(self) -> int:
        """Number of train strings, n."""
        return round(Fraction(self.train_multiple) * predicted_num_train(self.spec))


def draw(key: jax.Array, request: Request) -> TreeData:
    """The strings of a seed."""
    sizes = (request.spec, request.num_train, request.num_test)
    data = draw_trees(key, *sizes, request.grammar)
    return data.replace(kept=request.activations)


def learners(request: Request) -> dict[str, Stack]:
    """The learners that are asked for."""

    def train(data: TreeData, index: int) -> Batch:
        return data.train

    def source(data: TreeData, index: int) -> Source:
        strings = data.train.inputs
        return Source(FixedStrings(strings, jnp.int32(strings.shape[0])))

    stacks = {
        "layerwise": lambda: Stack(patch_layers(request.seen), train),
        "end_to_end": lambda: Stack(_end_to_end(request), train),
        "transformer": lambda: Stack(_transformer(request), source, lambda data: data.for_tokens),
    }
    return {name: stacks[name]() for name in request.learners}


def _end_to_end(request: Request) -> tuple[Probed]:
    (network,) = end_to_end_learner(request.seen, request.num_train, request.network)
    return (Probed(network, lambda params: params, _looks(request).looks),)


def _looks(request: Request) -> TokenTraining:
    """Looks at the stack that is trained end to end: as those at the transformer, in its steps."""
    (network,) = end_to_end_learner(request.seen, request.num_train, request.network)
    steps = {name: getattr(network.descent, name) for name in ("num_steps", "steps_per_round")}
    return dataclasses.replace(request.training, **steps)


def _transformer(request: Request) -> tuple[Probed]:
    spec = request.seen
    num_symbols = spec.symbols(spec.depth)

    def examples(key, source, n):
        return next_token(source.draw(key, n), num_symbols)

    module = request.transformer.module(num_symbols, spec.num_leaves, causal=True)
    return token_learner(module, request.training, examples)


def headline(request: Request) -> str:
    """What is about to be run."""
    return (
        f"representations of random hierarchies {spec_name(request.spec)}: "
        f"{', '.join(request.learners)}, {request.num_train} strings "
        f"({request.train_multiple:g} x C*M^L), {request.num_seeds} seeds"
    )


def summarize(request: Request, results: Results) -> dict:
    """The content of summary.json; lists over levels begin at the lowest one."""
    first = results[request.learners[0]][0].measured
    require_filled(first["num_unseen"], request.num_test)
    return {
        **{name: dataclasses.asdict(getattr(request, name)) for name in _CONFIGS},
        **{name: getattr(request, name) for name in _NUMBERS},
        "chance": _spreads(first["chance"]),
        "learners": {name: _learner(request, name, each) for name, each in results.items()},
        "uniform_attention": _uniform_attention(request.seen),
    }


def _learner(request: Request, name: str, layers: list[Result]) -> dict:
    """What is measured of a learner; arrays are (seeds, layers, levels) before they are spread."""
    found = [layer.measured for layer in layers]
    names = [f"probe, level {level}" for level in reversed(range(request.spec.depth + 1))]
    kinds = {"probe": lambda m: np.stack([m["probe"][each] for each in names], axis=2)}
    kinds |= {kind: lambda m, kind=kind: m["changes"][kind] for kind in found[0]["changes"]}
    values = {kind: np.concatenate([*map(of, found)], axis=1) for kind, of in kinds.items()}
    num_layers = values["probe"].shape[1]
    said = {
        **{each: spread(found[-1][each]) for each in ("test_error", "excess") if each in found[-1]},
        "layers": [
            {kind: _spreads(each[:, layer]) for kind, each in values.items()}
            for layer in range(num_layers)
        ],
        "seconds": total_seconds(layers),
    }
    if "growth" in found[0]:
        growth = {kind: each.mean(axis=0) for kind, each in found[0]["growth"].items()}
        said["growth"] = {"steps": _steps(request, name), **growth}
    if "attention" in found[0]:
        said["attention"] = found[0]["attention"].mean(axis=0)
    return said


def _spreads(values: np.ndarray) -> list[dict]:
    """Of (seeds, levels)."""
    return [spread(each) for each in values.T]


def _steps(request: Request, name: str) -> tuple[int, ...]:
    """Steps at which a network was looked at."""
    training = request.training if name == "transformer" else _looks(request)
    return training.steps_of_looks


def _uniform_attention(spec: RandomHierarchySpec) -> np.ndarray:
    """Shares of the distances where a position attends alike to all that it may see."""
    seen = np.tri(spec.num_leaves, dtype=np.float32)
    weights = seen / seen.sum(axis=1, keepdims=True)
    return np.asarray(by_distance(jnp.asarray(weights)[None, None], spec))[0]


def save(folder: RunFolder, results: Results) -> None:
    """Writes the features of all layers of the first seed, if they were kept, with the trees."""
    if "activations" not in next(iter(results.values()))[0].measured:
        return
    kept = {name: [each.measured["activations"] for each in results[name]] for name in results}
    features = {}
    for name, layers in kept.items():
        found = [feature[0] for layer in layers for feature in layer["features"]]
        features |= {f"{name}_{number}": each for number, each in enumerate(found, 1)}
    batch = jax.tree.map(lambda leaf: leaf[0], layers[0]["strings"])
    batch = batch.replace(inputs=batch.latents[-1])
    folder.write_arrays("activations.npz", activation_arrays(features, batch))


def notes(summary: dict) -> list[str]:
    """Sensitivity to rules of each layer and level, and what the numbers are."""
    depth = summary["spec"]["depth"]
    lines = ["change of a layer, of a random change, when another rule is drawn at a node of"]
    for name, found in summary["learners"].items():
        for number, layer in enumerate(found["layers"], 1):
            levels = zip(reversed(range(depth)), layer["rule"], strict=True)
            cells = [f"level {level} {_cell(each)}" for level, each in levels]
            lines.append(f"  {_plain(name)}, layer {number}: {', '.join(cells)}")
    chance = ", ".join(f"{each['mean']:.3f}" for each in reversed(summary["chance"]))
    lines.append(f"guessing the most frequent symbol finds {chance} from the root to the leaves")
    lines.append(
        f"means (and worst) over {summary['num_seeds']} seeds of {summary['num_test']} unseen "
        f"strings, on {summary['device']}"
    )
    return lines


def _cell(found: dict) -> str:
    return "-" if np.isnan(found["mean"]) else f"{found['mean']:.3f} ({found['max']:.3f})"


def _plain(name: str) -> str:
    return name.replace("_", " ")


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import level_figure

    return level_figure(folder)


EXPERIMENT = LayerwiseExperiment(
    name="level_representations",
    doc=__doc__,
    request=Request,
    draw=draw,
    learners=learners,
    measures=MEASURES,
    headline=headline,
    summarize=summarize,
    notes=notes,
    figure=figure,
    save=save,
)
main = functools.partial(run, EXPERIMENT)

if __name__ == "__main__":
    main()
