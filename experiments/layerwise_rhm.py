"""A random hierarchy is learned layer by layer from about C * M^L examples (arXiv 2601.19756).

Draws random hierarchy grammars, trains a convolutional stack one layer at a time on strings and
labels alone, and measures what each layer knows: test error on unseen strings, and how far
synonyms have come together while different symbols stay apart.

    python -m experiments.layerwise_rhm

With the default sizes (C = V = 8, M = 4, S = 2, L = 3, n = 2,048) expect a mean test error below
0.01 where chance is 0.875, in about 40 seconds on two cores; the other learners, on the same
strings, take most of them.
"""

import dataclasses
import functools
from fractions import Fraction

import jax
import numpy as np

from experiments import rhm
from experiments.runner import run
from hierjax.measure import error_rate, layer_report, spread, squared_loss
from hierjax.runs import (
    ERROR,
    LayerwiseExperiment,
    Result,
    Results,
    RunFolder,
    RunRequest,
    Stack,
    data_mesh,
    measures,
    nested,
    seed_mesh,
    total_seconds,
)
from hierjax.settings import setting
from hierjax.tasks import RandomHierarchySpec, check_latin_square, check_split, require_filled
from hierjax.theory import predicted_num_train
from hierjax.train import (
    KernelMachine,
    Network,
    PatchLayer,
    TrainedNetwork,
    class_scores,
    end_to_end_learner,
    forward,
)

TOP_RULES = ("random", "latin_square")
PRESETS = {"paper": {"targets": "first", "normalizer": "rms", "solver": "gd"}}
_TRAIN_MULTIPLE = 4.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(RunRequest, rhm.LearnerSettings):
    """What is asked for; its fields are the flags.

    Attributes:
      spec: sizes of the grammars.
      train_multiple: train strings as a multiple of C * M^L; unset: 4.
      num_train: number of train strings, n, in place of train_multiple.
      num_test: number of test strings, none of them in the train set.
      top_rule: rules of the root; latin_square hides the class from every single patch, so that
        no layerwise learner can learn it (a control).
      preset: "paper" takes the choices nearest to arXiv 2601.19756: targets of the first patch,
        no PCA, gradient descent; a reconstruction. Flags that are given win.
      baselines: train the other learners on the same data.
      data_parallel: divide the batches of the end-to-end learner, not the seeds, between devices.
    """

    spec: RandomHierarchySpec = nested(
        RandomHierarchySpec, num_classes=8, vocab_size=8, num_rules=4, branching=2, depth=3
    )
    train_multiple: float | None = setting(None)
    num_train: int | None = setting(None)
    num_test: int = setting(2000)
    top_rule: str = setting("random", choices=TOP_RULES)
    preset: str | None = setting(None, choices=tuple(PRESETS), identity=False)
    baselines: bool = setting(True, identity=False)
    data_parallel: bool = setting(False, identity=False)

    def __post_init__(self):
        if self.num_train is None:
            multiple = _TRAIN_MULTIPLE if self.train_multiple is None else self.train_multiple
            if not 0 < multiple < float("inf"):
                raise ValueError(f"train_multiple={multiple} must be a positive number")
            self.fill(num_train=round(Fraction(multiple) * predicted_num_train(self.spec)))
        elif self.train_multiple is not None:
            raise ValueError("--num_train and --train_multiple say the same thing: give only one")
        self.fill(train_multiple=self.num_train / predicted_num_train(self.spec))
        super().__post_init__()
        if self.data_parallel and not self.baselines:
            raise ValueError("--data_parallel is for the end-to-end learner: drop --nobaselines")
        if self.top_rule == "latin_square":
            check_latin_square(self.spec)
        check_split(self.spec.num_strings, self.num_train, self.num_test)


def draw(key: jax.Array, request: Request) -> rhm.SeedData:
    """The grammar of a seed and its strings."""
    return rhm.draw(key, request.spec, request.num_train, request.num_test, request.top_rule)


def learners(request: Request) -> dict[str, Stack]:
    """The learners that are asked for and can be trained, layerwise first."""
    chosen = rhm.LEARNERS if request.baselines else {"layerwise": rhm.LEARNERS["layerwise"]}
    stacks = {}
    for name, learner in chosen.items():
        if name in skipped(request):
            continue
        # On a CPU one factorisation has all cores already, and several get in each other's way.
        alone = learner.fills_cpu and jax.default_backend() == "cpu"
        layers, mesh = learner.make(request.spec, request.num_train, request), None
        if name == "end_to_end" and request.data_parallel:
            mesh = data_mesh(request.num_devices)
            layers = end_to_end_learner(request.spec, request.num_train, request.network, mesh)
        stacks[name] = Stack(
            layers, lambda data, index: data.train, mesh=seed_mesh(1) if alone else mesh
        )
    return stacks


def skipped(request: Request) -> dict[str, str]:
    """The learners that cannot be trained, and why."""
    names = [name for name in rhm.LEARNERS if request.baselines and name != "layerwise"]
    reasons = {name: rhm.obstacle(name, request.spec, request.num_train, request) for name in names}
    return {name: reason for name, reason in reasons.items() if reason}


MEASURES = measures()


@MEASURES.add("test_error", column="test error (worst)", text=ERROR)
def test_error(layers, data, below, params):
    """Share of wrong classes on unseen strings."""
    scores = class_scores(layers, (*below, params), data.test.inputs)
    return error_rate(scores, data.test.labels)


@MEASURES.add("train_loss", column="train loss", text="{mean:.4f}")
def train_loss(layers, data, below, params):
    """Loss on the train strings, of the kind that is minimised, of a whole learner."""
    if len(below) < len(layers) - 1:
        return None
    scores = class_scores(layers, (*below, params), data.train.inputs)
    if isinstance(layers[-1], Network):
        return layers[-1].loss.per_example(scores, data.train.labels).mean()
    return squared_loss(scores, data.train.labels)


@MEASURES.add("num_unseen")
def num_unseen(layers, data, below, params):
    """Number of unseen test strings that were found."""
    return data.num_unseen


@MEASURES.add("layer")
def layer(layers, data, below, params):
    """How the embeddings of a patch layer gather around their symbols."""
    if not isinstance(layers[0], PatchLayer):
        return None
    spec, level = data.grammar.spec, len(layers) - 1 - len(below)
    hidden = forward(layers, below, data.test.inputs)
    scores = layers[len(below)].class_scores(params, hidden)
    embeddings = layers[len(below)].apply(params, hidden)
    return dataclasses.asdict(
        layer_report(scores, embeddings, data.test, level, spec.symbols(level))
    )


@MEASURES.add("within_rms", column="within", text="{mean:.2f}")
def within_rms(layers, data, below, params):
    """Spread of the synonyms of a symbol."""
    return _separation(layers, data, below, params, "within_rms")


@MEASURES.add("between_min", column="between", text="{mean:.2f}")
def between_min(layers, data, below, params):
    """Least distance of two symbols."""
    return _separation(layers, data, below, params, "between_min")


@MEASURES.add("purity", column="purity", text="{mean:.4f}")
def purity(layers, data, below, params):
    """Share of patches that are nearest to their own symbol."""
    return _separation(layers, data, below, params, "purity")


def _separation(layers, data, below, params, name: str):
    measured = layer(layers, data, below, params)
    return None if measured is None else measured["separation"][name]


def headline(request: Request) -> str:
    """What is about to be run."""
    spec = request.spec
    return (
        f"random hierarchy C={spec.num_classes} V={_short(spec.vocab_size)} "
        f"M={_short(spec.num_rules)} S={_short(spec.branching)} L={spec.depth}: "
        f"{request.num_train} train strings of {spec.num_leaves} tokens "
        f"({request.train_multiple:g} x C*M^L), {request.num_seeds} seeds"
    )


def _short(sizes: tuple[int, ...]) -> str:
    return str(sizes[0]) if len(set(sizes)) == 1 else ",".join(map(str, sizes))


def summarize(request: Request, results: Results) -> dict:
    """The content of summary.json."""
    spec = request.spec
    require_filled(results["layerwise"][0].measured["num_unseen"], request.num_test)
    return {
        **{name: dataclasses.asdict(getattr(request, name)) for name in _CONFIGS},
        "top_rule": request.top_rule,
        "num_train": request.num_train,
        "num_test": request.num_test,
        "predicted_num_train": predicted_num_train(spec),
        "train_multiple": request.train_multiple,
        "chance_error": 1 - 1 / spec.num_classes,
        "num_seeds": request.num_seeds,
        "seed": request.seed,
        "learners": {name: _learner(request, layers) for name, layers in results.items()},
        "skipped": skipped(request),
        "levels": [_level(request, index, each) for index, each in enumerate(results["layerwise"])],
    }


_CONFIGS = ("spec", "config", "network", "shallow", "kernel")


def _learner(request: Request, layers: list[Result]) -> dict:
    measured = layers[-1].measured
    return {
        "test_error": spread(measured["test_error"]),
        "train_loss": float(measured["train_loss"].mean()),
        "seconds": total_seconds(layers),
        "chosen": _chosen(request, layers[-1].params),
    }


def _chosen(request: Request, params) -> dict:
    """What validation chose for each seed."""
    if isinstance(params, TrainedNetwork):
        return {"learning_rate": params.learning_rate.tolist(), "steps": params.num_steps.tolist()}
    if isinstance(params, KernelMachine):
        (machine,) = rhm.LEARNERS["kernel"].make(request.spec, request.num_train, request)
        return {
            "kernel": [machine.kernels[index].name for index in params.kernel],
            "ridge": params.ridge.tolist(),
        }
    return {}


def _level(request: Request, index: int, result: Result) -> dict:
    """What a layer makes of the symbols of its level, means over seeds."""
    level, measured = request.spec.depth - 1 - index, result.measured
    separation = measured["layer"]["separation"]
    return {
        "level": level,
        "num_symbols": request.spec.symbols(level),
        **{name: float(np.nanmean(values)) for name, values in separation.items()},
        "purity_min": float(separation["purity"].min()),
        "test_error": spread(measured["test_error"]),
    }


def save(folder: RunFolder, results: Results) -> None:
    """Writes points and symbols of every level of the first seed, for the figure."""
    arrays = {}
    for index, result in enumerate(results["layerwise"]):
        arrays[f"plane_{index}"] = result.measured["layer"]["plane"][0]
        arrays[f"symbols_{index}"] = result.measured["layer"]["symbols"][0]
    folder.write_arrays("embeddings.npz", arrays)


def notes(summary: dict) -> list[str]:
    """What to know of the table."""
    return [
        *(f"{name}: left out, {reason}" for name, reason in summary["skipped"].items()),
        f"errors on unseen strings, chance {summary['chance_error']:.3f}, "
        f"{summary['num_seeds']} seeds, on {summary['device']}",
    ]


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
    figure="layerwise_figure",
    drawn_with=lambda: {"colours": rhm.colours()},
)
main = functools.partial(run, EXPERIMENT)

if __name__ == "__main__":
    main()
