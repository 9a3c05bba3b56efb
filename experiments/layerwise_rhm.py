"""A random hierarchy is learned layer by layer from about C * M^L examples (arXiv 2601.19756).

Draws random hierarchy grammars, trains a convolutional stack one layer at a time on strings and
labels alone, and measures what each layer knows: test error on unseen strings, and how far
synonyms have come together while different symbols stay apart.

    python -m experiments.layerwise_rhm

With the default sizes (C = V = 8, M = 4, S = 2, L = 3, n = 2,048) expect a mean test error below
0.01 where chance is 0.875, in about 40 seconds on two cores; the other learners, on the same
strings, take most of them.
"""

import functools
import math
from fractions import Fraction

import numpy as np
from absl import flags

from experiments import cli
from experiments.rhm_learners import make_learners
from experiments.rhm_request import Request
from experiments.rhm_summary import closing_table, first_seed_embeddings, headline, summarize
from experiments.runs import Plan, conclude, open_plan
from hierjax import (
    FittedLayer,
    NetworkConfig,
    PatchLayerConfig,
    RandomHierarchySpec,
    check_latin_square,
    check_split,
    predicted_num_train,
    require_filled,
)
from hierjax.models.patch_features import FEATURES
from hierjax.train.learners import OPTIMIZERS, SCHEDULES
from hierjax.train.patch_layer import NORMALIZERS, TARGETS
from hierjax.train.solvers import DESCENTS, SOLVERS

TOP_RULES = ("random", "latin_square")
PRESETS = {"paper": {"targets": "first", "normalizer": "rms", "solver": "gd"}}

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
flags.DEFINE_enum("solver", "gd", [*SOLVERS, *DESCENTS], "How a layer's linear map is fitted.")
flags.DEFINE_enum("features", "fourier", FEATURES, "Fixed features of a patch.")
flags.DEFINE_integer("num_features", 512, "Their number, D.")
flags.DEFINE_enum("normalizer", "pca", NORMALIZERS, "What is done to embeddings between layers.")
flags.DEFINE_enum(
    "preset",
    None,
    list(PRESETS),
    "paper: --targets first --normalizer rms --solver gd, the choices nearest to arXiv 2601.19756; "
    "a reconstruction. Flags that are given win.",
)
flags.DEFINE_bool("baselines", True, "Train the other learners on the same data.")
flags.DEFINE_enum("optimizer", "momentum", OPTIMIZERS, "Of the end-to-end learner.")
flags.DEFINE_enum("schedule", "cosine", SCHEDULES, "Of its learning rate, which validation picks.")
flags.DEFINE_integer("width", None, "Its features, W; unset: eight times V.")
flags.DEFINE_integer("batch_size", 32, "Strings of each of its steps.")
flags.DEFINE_integer("num_steps", None, "Most of them; unset: 20 passes, and 1,500 at least.")
flags.DEFINE_bool("data_parallel", False, "Divide its batches, not the seeds, between devices.")
cli.define_run_flags("layerwise_rhm", num_seeds=10)
FLAGS = flags.FLAGS


def main() -> None:
    """Runs the experiment as the flags say."""
    cli.run(__doc__, prepare, execute)


def prepare() -> Plan:
    """Checks the request, opens its folder and reads what is finished there."""
    request = read_request()
    learners, skipped = make_learners(
        request, FLAGS.baselines, FLAGS.impl, FLAGS.num_devices, FLAGS.data_parallel
    )
    return open_plan("layerwise_rhm", request, learners, skipped)


def execute(plan: Plan) -> None:
    """Fits what is missing, saving it layer by layer, and writes the result."""
    request, folder, learners = plan.request, plan.folder, plan.learners
    print(headline(request, folder))
    plan.fit(functools.partial(test_error, request.num_test))
    summary = summarize(request, learners, plan.skipped, cli.num_devices())
    folder.write_arrays("embeddings.npz", first_seed_embeddings(learners[0].finished))
    conclude(folder, summary, "layerwise_figure", closing_table(summary))


def test_error(num_test: int, layer: FittedLayer) -> np.ndarray:
    """Errors of the seeds after a layer.

    Raises:
      ValueError: test sets could not be filled.
    """
    if "layer" not in layer.report:
        return layer.report["learner"].test_error
    require_filled(layer.report["num_unseen"], num_test)
    return layer.report["layer"].test_error


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
    for name, value in PRESETS.get(FLAGS.preset, {}).items():
        if not FLAGS[name].present:
            FLAGS[name].value = value
    config = PatchLayerConfig(
        FLAGS.targets, FLAGS.solver, FLAGS.features, FLAGS.num_features, FLAGS.normalizer
    )
    network = NetworkConfig(
        FLAGS.optimizer, FLAGS.schedule, FLAGS.width, FLAGS.batch_size, FLAGS.num_steps
    )
    if FLAGS.data_parallel and not FLAGS.baselines:
        raise ValueError("--data_parallel is for the end-to-end learner: drop --nobaselines")
    num_train = FLAGS.num_train
    if num_train is None:
        if not 0 < FLAGS.train_multiple < math.inf:
            raise ValueError(f"train_multiple={FLAGS.train_multiple} must be a positive number")
        num_train = round(Fraction(FLAGS.train_multiple) * predicted_num_train(spec))
    elif FLAGS["train_multiple"].present:
        raise ValueError("--num_train and --train_multiple say the same thing: give only one")
    if FLAGS.top_rule == "latin_square":
        check_latin_square(spec)
    check_split(spec.num_strings, num_train, FLAGS.num_test)
    return Request(
        spec=spec,
        config=config,
        network=network,
        top_rule=FLAGS.top_rule,
        num_train=num_train,
        num_test=FLAGS.num_test,
        num_seeds=FLAGS.num_seeds,
        seed=FLAGS.seed,
    )


def _numbers(name: str) -> int | tuple[int, ...]:
    texts = FLAGS[name].value
    try:
        numbers = tuple(int(text) for text in texts)
    except ValueError:
        raise ValueError(f"--{name}={','.join(texts)} must be whole numbers") from None
    return numbers[0] if len(numbers) == 1 else numbers


if __name__ == "__main__":
    main()
