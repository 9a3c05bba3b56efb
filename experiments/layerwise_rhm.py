"""A random hierarchy is learned layer by layer from about C * M^L examples (arXiv 2601.19756).

Draws random hierarchy grammars, trains a convolutional stack one layer at a time on strings and
labels alone, and measures what each layer knows: test error on unseen strings, and how far
synonyms have come together while different symbols stay apart.

    python -m experiments.layerwise_rhm

With the default sizes (C = V = 8, M = 4, S = 2, L = 3, n = 2,048) expect a mean test error below
0.01 where chance is 0.875, in about 15 seconds on two cores.
"""

import dataclasses
import math
from fractions import Fraction

import jax
import numpy as np
from absl import flags

from experiments import cli
from hierjax.checkpoint import LayerCheckpoints
from hierjax.measure.layer_report import layer_report
from hierjax.measure.metrics import spread, squared_loss
from hierjax.models.patch_features import FEATURES
from hierjax.parallel import seed_keys
from hierjax.record import RunFolder, device_name
from hierjax.tasks.grammars import draw_random_hierarchy, latin_square_top
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.tasks.splits import check_split, make_split, require_filled
from hierjax.theory.random_hierarchy import predicted_num_train
from hierjax.train.layerwise import fit_next, forward
from hierjax.train.patch_layer import NORMALIZERS, TARGETS, PatchLayerConfig, patch_layers
from hierjax.train.seeds import FittedLayer, SeedsTrainer
from hierjax.train.solvers import SOLVERS

TOP_RULES = ("random", "latin_square")

flags.DEFINE_integer("num_classes", 8, "Classes, C.")
flags.DEFINE_list("vocab_size", "8", "Symbols, V: one number, or one for each level from the top.")
flags.DEFINE_list("num_rules", "4", "Rules of each symbol, M: likewise.")
flags.DEFINE_list("branching", "2", "Children of each node, S: likewise.")
flags.DEFINE_integer("depth", 3, "Levels of the tree, L.")
flags.DEFINE_float("train_multiple", 4.0, "Train strings as a multiple of C * M^L.")
flags.DEFINE_integer("num_train", None, "Train strings, n; in place of --train_multiple.")
flags.DEFINE_integer("num_test", 2000, "Test strings, none of them in the train set.")
flags.DEFINE_enum("top_rule", "random", TOP_RULES, "latin_square hides the class (control).")
flags.DEFINE_enum("targets", "concat", TARGETS, "Positions that a layer is trained on.")
flags.DEFINE_enum("solver", "gd", list(SOLVERS), "How a layer's linear map is fitted.")
flags.DEFINE_enum("features", "fourier", FEATURES, "Fixed features of a patch.")
flags.DEFINE_integer("num_features", 512, "Their number, D.")
flags.DEFINE_enum("normalizer", "pca", NORMALIZERS, "What is done to embeddings between layers.")
cli.define_run_flags("layerwise_rhm", num_seeds=10)
FLAGS = flags.FLAGS


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked for; fixes the result up to rounding."""

    spec: RandomHierarchySpec
    config: PatchLayerConfig
    top_rule: str
    num_train: int
    num_test: int
    num_seeds: int
    seed: int

    @property
    def train_multiple(self) -> float:
        """Train strings as a multiple of the predicted number."""
        return self.num_train / predicted_num_train(self.spec)


@dataclasses.dataclass
class Plan:
    """A request ready to be carried out."""

    request: Request
    folder: RunFolder
    trainer: SeedsTrainer
    finished: list[FittedLayer]


def main() -> None:
    """Runs the experiment as the flags say."""
    cli.run(__doc__, prepare, execute)


def prepare() -> Plan:
    """Checks the request, opens its folder and reads the layers finished there."""
    request = read_request()
    trainer = make_trainer(request)
    folder = RunFolder(FLAGS.workdir, "layerwise_rhm", dataclasses.asdict(request), FLAGS.overwrite)
    with LayerCheckpoints(folder.checkpoints) as checkpoints:
        finished = jax.device_get(checkpoints.restore(trainer.layouts))
    return Plan(request, folder, trainer, finished)


def execute(plan: Plan) -> None:
    """Fits the layers that are missing, saves each, and writes the result."""
    request, folder, trainer = plan.request, plan.folder, plan.trainer
    depth, num_seeds = request.spec.depth, request.num_seeds
    finished = list(plan.finished)
    print(headline(request, folder))
    if finished:
        print(f"taking up a run with {len(finished)} of {depth} layers finished")
    folder.log("started", finished_layers=len(finished))
    done, total = len(finished) * num_seeds, depth * num_seeds
    with (
        LayerCheckpoints(folder.checkpoints) as checkpoints,
        cli.Progress(total, "fits", done) as progress,
    ):
        for index in range(len(finished), depth):
            layer = trainer.fit_layer(finished, progress.advance)
            require_filled(layer.report["num_unseen"], request.num_test)
            checkpoints.save(index, layer)
            finished.append(layer)
            error = spread(layer.report["layer"].test_error)
            folder.log("layer", layer=index + 1, test_error=error, seconds=layer.seconds)
            progress.line(f"layer {index + 1} of {depth}: test error {error['mean']:.4f}")

    summary = summarize(request, finished)
    folder.write_arrays("embeddings.npz", first_seed_embeddings(finished))
    folder.write_json("summary.json", summary)
    from hierjax import plots  # Matplotlib is slow to import, and only a finished run needs it.

    folder.write_figure("figure.png", plots.layerwise_figure(folder.path))
    folder.log("finished")
    print(closing_table(summary))
    print(f"wrote summary.json and figure.png to {folder.path}")


def read_request() -> Request:
    """The request that the flags make.

    Raises:
      ValueError: it cannot be met.
    """
    spec = RandomHierarchySpec(
        num_classes=FLAGS.num_classes,
        vocab_size=_numbers("vocab_size"),
        num_rules=_numbers("num_rules"),
        branching=_numbers("branching"),
        depth=FLAGS.depth,
    )
    config = PatchLayerConfig(
        FLAGS.targets, FLAGS.solver, FLAGS.features, FLAGS.num_features, FLAGS.normalizer
    )
    num_train = FLAGS.num_train
    if num_train is None:
        if not 0 < FLAGS.train_multiple < math.inf:
            raise ValueError(f"train_multiple={FLAGS.train_multiple} must be a positive number")
        num_train = round(Fraction(FLAGS.train_multiple) * predicted_num_train(spec))
    elif FLAGS["train_multiple"].present:
        raise ValueError("--num_train and --train_multiple say the same thing: give only one")
    check_split(spec.num_strings, num_train, FLAGS.num_test)
    return Request(
        spec, config, FLAGS.top_rule, num_train, FLAGS.num_test, FLAGS.num_seeds, FLAGS.seed
    )


def _numbers(name: str) -> int | tuple[int, ...]:
    texts = FLAGS[name].value
    try:
        numbers = tuple(int(text) for text in texts)
    except ValueError:
        raise ValueError(f"--{name}={','.join(texts)} must be whole numbers") from None
    return numbers[0] if len(numbers) == 1 else numbers


def make_trainer(request: Request) -> SeedsTrainer:
    """The pure functions of one seed, and the host's loop around them."""
    spec = request.spec
    layers = patch_layers(spec, request.config)

    def make_data(key):
        grammar = draw_random_hierarchy(jax.random.fold_in(key, 0), spec)
        if request.top_rule == "latin_square":
            grammar = latin_square_top(grammar)
        split_key = jax.random.fold_in(key, 1)
        return make_split(grammar, split_key, request.num_train, request.num_test)

    def make_step(index):
        layer, level = layers[index], spec.depth - 1 - index

        def step(key, split, below):
            params, hidden = fit_next(layers, below, split.train, jax.random.fold_in(key, 2))
            test_hidden = forward(layers, below, split.test.inputs)
            votes, embeddings = layer.votes(params, test_hidden), layer.apply(params, test_hidden)
            report = {
                "layer": layer_report(votes, embeddings, split.test, level, spec.symbols(level)),
                "num_unseen": split.num_unseen,
            }
            if level == 0:
                train_votes = layer.votes(params, hidden)
                report["train_loss"] = squared_loss(train_votes, split.train.labels)
            return params, report

        return step

    return SeedsTrainer(
        seed_keys(request.seed, request.num_seeds), make_data, make_step, spec.depth
    )


def summarize(request: Request, finished: list[FittedLayer]) -> dict:
    """The content of summary.json."""
    spec = request.spec
    reports = [layer.report for layer in finished]
    seconds = [layer.seconds for layer in finished]
    levels = []
    for index, report in enumerate(reports):
        measures = dataclasses.asdict(report["layer"].separation)
        levels.append(
            {
                "level": spec.depth - 1 - index,
                "num_symbols": spec.symbols(spec.depth - 1 - index),
                **{name: float(np.nanmean(values)) for name, values in measures.items()},
                "purity_min": float(measures["purity"].min()),
                "test_error": spread(report["layer"].test_error),
            }
        )
    return {
        "spec": dataclasses.asdict(spec),
        "config": dataclasses.asdict(request.config),
        "top_rule": request.top_rule,
        "num_train": request.num_train,
        "num_test": request.num_test,
        "predicted_num_train": predicted_num_train(spec),
        "train_multiple": request.train_multiple,
        "chance_error": 1 - 1 / spec.num_classes,
        "num_seeds": request.num_seeds,
        "seed": request.seed,
        "device": device_name(),
        "learners": {
            "layerwise": {
                "test_error": levels[-1]["test_error"],
                "train_loss": float(reports[-1]["train_loss"].mean()),
                "seconds": {
                    name: float(sum(each[name] for each in seconds)) for name in ("compile", "run")
                },
            }
        },
        "levels": levels,
    }


def first_seed_embeddings(finished: list[FittedLayer]) -> dict[str, np.ndarray]:
    """Points and symbols of every level, leaves up, for the figure."""
    arrays = {}
    for index, layer in enumerate(finished):
        arrays[f"plane_{index}"] = layer.report["layer"].plane[0]
        arrays[f"symbols_{index}"] = layer.report["layer"].symbols[0]
    return arrays


def headline(request: Request, folder: RunFolder) -> str:
    """What is about to be run."""
    spec = request.spec
    return (
        f"random hierarchy C={spec.num_classes} V={_short(spec.vocab_size)} "
        f"M={_short(spec.num_rules)} S={_short(spec.branching)} L={spec.depth}: "
        f"{request.num_train} train strings of {spec.num_leaves} tokens "
        f"({request.train_multiple:g} x C*M^L), {request.num_seeds} seeds, into {folder.path}"
    )


def _short(sizes: tuple[int, ...]) -> str:
    return str(sizes[0]) if len(set(sizes)) == 1 else ",".join(map(str, sizes))


def closing_table(summary: dict) -> str:
    """What each layer knows, and the result."""
    lines = ["layer  level  test error     within  between  purity"]
    for index, level in enumerate(summary["levels"]):
        error = level["test_error"]
        lines.append(
            f"{index + 1:5d}  {level['level']:5d}  {error['mean']:.4f} ± {error['std']:.4f}"
            f"  {level['within_rms']:.2f}    {level['between_min']:.2f}     {level['purity']:.4f}"
        )
    learner = summary["learners"]["layerwise"]
    error, seconds = learner["test_error"], learner["seconds"]
    lines.append(
        f"test error on unseen strings {error['mean']:.4f} (worst seed {error['max']:.4f}, chance "
        f"{summary['chance_error']:.3f}); {seconds['run']:.1f} s to fit {summary['num_seeds']} "
        f"seeds, {seconds['compile']:.1f} s to compile, on {summary['device']}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
