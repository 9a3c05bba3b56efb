"""What the experiments on label hierarchies have in common: flags, and how a run is carried out."""

import dataclasses
import math
from collections.abc import Callable

import jax
import numpy as np
from absl import flags

from experiments import cli
from experiments.label_learners import make_learners
from experiments.label_request import Request, StackRequest, TaskRequest, task_key
from experiments.label_summary import closing_table, headline, summarize
from experiments.runs import Plan, conclude, open_plan
from hierjax import (
    BlockConfig,
    FittedLayer,
    check_stack,
    draw_ptf_hierarchy,
    map_seeds,
    require_balanced,
    seed_keys,
)
from hierjax.models.activations import ACTIVATIONS
from hierjax.tasks.lattice import window_size
from hierjax.train.block_layer import ACCEPT, BLOCK_SOLVERS
from hierjax.train.losses import LABEL_LOSSES

_MAX_WIDTH = 2**17
_MAX_RIDGE_WIDTH = 2**14
_MAX_EXAMPLES = 2**24
_MAX_SIZE = 2**10
_LEAST_TRAIN = 64

flags.DEFINE_integer("num_blocks", None, "Blocks; unset: by task, at least one a level.")
flags.DEFINE_integer("width", None, "Units of a block, W; unset: one for every pair of inputs.")
flags.DEFINE_enum("activation", "quadratic", list(ACTIVATIONS), "Of the units.")
flags.DEFINE_integer("unit_fan_in", 2, "Inputs that a unit reads; 0 for all (beta-Xavier).")
flags.DEFINE_integer("num_train", None, "Examples of each block, n; unset: by task and width.")
flags.DEFINE_bool("fresh", True, "Draw new examples for each block, not the same ones again.")
flags.DEFINE_enum("accept", "validated", ACCEPT, "Labels that a block may correct.")
flags.DEFINE_enum("solver", "sgd", BLOCK_SOLVERS, "How second weights are fitted.")
flags.DEFINE_enum("loss", None, list(LABEL_LOSSES), "Unset: by task; square for ridge.")
flags.DEFINE_float("passes", None, "Of sgd and adam over a block's examples; unset: by task.")
flags.DEFINE_integer("batch_size", None, "Examples (or locations) of a step; unset: by task.")
flags.DEFINE_float("penalty", 1e-3, "On second weights, in units of the mean eigenvalue.")
flags.DEFINE_integer("num_test", None, "Test examples; unset: 2,000, or 200 with locations.")
flags.DEFINE_bool("baselines", True, "Train the other learners, too.")
FLAGS = flags.FLAGS


@dataclasses.dataclass(frozen=True)
class Defaults:
    """What follows from the task where a flag is not set.

    Attributes:
      examples_per_unit: train examples, or locations, as a multiple of the width.
      extra_blocks: beyond one a level.
      loss: that is minimised.
      passes: over the examples.
      batch_size: of a step.
    """

    examples_per_unit: float
    extra_blocks: int
    loss: str
    passes: float
    batch_size: int


def read_request(task: TaskRequest, defaults: Defaults) -> Request:
    """The request that the flags make.

    Raises:
      ValueError: it cannot be met.
    """
    for name in ("num_inputs", "depth"):
        if getattr(FLAGS, name) is not None and getattr(FLAGS, name) > _MAX_SIZE:
            raise ValueError(f"{name}={getattr(FLAGS, name)} must be at most {_MAX_SIZE}")
    jax.eval_shape(task.draw, jax.random.key(0))  # Its sizes are checked, nothing is drawn.
    num_seen = window_size(task.lattice, task.radius) * (task.num_inputs + task.num_labels)
    width = num_seen * (num_seen + 1) // 2 if FLAGS.width is None else FLAGS.width
    most = _MAX_RIDGE_WIDTH if FLAGS.solver == "ridge" else _MAX_WIDTH
    if width > most:
        raise ValueError(
            f"width={width} is more than {most}, the most for --solver {FLAGS.solver}: set "
            "--width, or lower --depth or --labels_per_level"
        )
    locations = task.num_locations or 1
    num_train = FLAGS.num_train
    if num_train is None:
        num_train = max(_LEAST_TRAIN, math.ceil(defaults.examples_per_unit * width / locations))
    num_test = FLAGS.num_test
    if num_test is None:
        num_test = 200 if task.lattice else 2000
    num_blocks = FLAGS.num_blocks
    if num_blocks is None:
        num_blocks = task.depth + defaults.extra_blocks
    stack = StackRequest(num_blocks, width, FLAGS.activation, FLAGS.unit_fan_in or None)
    check_stack(task.num_inputs, stack.make(task))
    for name, value, least in (("num_train", num_train, 16), ("num_test", num_test, 1)):
        if not least <= value <= _MAX_EXAMPLES:
            raise ValueError(f"{name}={value} must be from {least} to {_MAX_EXAMPLES}")
    if FLAGS.unit_fan_in == 1 and FLAGS.activation == "quadratic":
        raise ValueError("--unit_fan_in=1 makes quadratic units of signs constant: read 2 or more")
    for name in ("passes", "batch_size"):
        if FLAGS.solver == "ridge" and FLAGS[name].present:
            raise ValueError(f"--{name} is for --solver sgd or adam, not ridge: drop it")
    loss = FLAGS.loss or ("square" if FLAGS.solver == "ridge" else defaults.loss)
    block = BlockConfig(
        solver=FLAGS.solver,
        loss=loss,
        passes=defaults.passes if FLAGS.passes is None else FLAGS.passes,
        batch_size=defaults.batch_size if FLAGS.batch_size is None else FLAGS.batch_size,
        penalty=FLAGS.penalty,
        accept=FLAGS.accept,
    )
    return Request(
        task, stack, block, num_train, FLAGS.fresh, num_test, FLAGS.num_seeds, FLAGS.seed
    )


def prepare(experiment: str, request: Request) -> Plan:
    """Opens the folder of a request and reads what is finished there.

    Raises:
      ValueError: labels of a seed are nearly constant, or the folder is of no use.
    """
    if request.task.ptf is not None:
        keys = jax.vmap(task_key)(seed_keys(request.seed, request.num_seeds))
        shares = map_seeds(lambda key: draw_ptf_hierarchy(key, request.task.ptf)[1])(keys)
        require_balanced(np.asarray(shares), request.task.ptf.min_share)
    learners = make_learners(request, FLAGS.baselines, FLAGS.impl, FLAGS.num_devices)
    return open_plan(experiment, request, learners)


def execute(plan: Plan, extend: Callable[[Request], dict] | None = None) -> None:
    """Fits what is missing, saving it block by block, and writes the result.

    Args:
      plan: what to do.
      extend: request -> more entries of the summary, or None.
    """
    request, folder, learners = plan.request, plan.folder, plan.learners
    print(headline(request, folder))
    plan.fit(_test_error)
    summary = summarize(request, learners, cli.num_devices())
    if extend is not None:
        summary |= extend(request)
    conclude(folder, summary, "label_figure", closing_table(summary))


def _test_error(layer: FittedLayer) -> np.ndarray:
    """Errors of the seeds, mean over levels."""
    return 1 - layer.report["labels"].accuracy.mean(axis=1)
