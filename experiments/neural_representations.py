"""What a fixed random representation adds to a quadratic Taylor model (arXiv 2006.13436).

Four learners see targets that are polynomials of a few directions on a sphere: the NTK and the
quadratic model of a two-layer network, each on the raw input (ntk_raw, quad_raw) and on a random
one-layer representation, whitened on the inputs that are not held out (ntk_rep, quad_rep). Each
makes all of its choices on validation, both quadratic models by one rule.

    python -m experiments.neural_representations
    python -m experiments.neural_representations --input_dim 20 --representation relu

With the default sizes (He_4 of one direction in 16 dimensions) expect test errors over the variance
at 2,000 examples of .0005 for quad_rep, .05 for quad_raw, .42 for ntk_raw and .53 for ntk_rep, in
five minutes on two cores.
"""

import jax
from absl import flags

from experiments import cli
from experiments.representation_learners import LEARNERS, make_learners
from experiments.representation_request import LEAST_TRAIN, Request, direction_count, require_memory
from experiments.representation_summary import (
    closing_table,
    headline,
    summarize,
    test_errors,
    warnings,
)
from experiments.runs import Plan, conclude, open_plan
from hierjax import REPRESENTATIONS, PolynomialSpec
from hierjax.tasks.harmonics import KINDS

_UNITS_PER_DIRECTION = {"quadratic": 2, "relu": 8, "erf": 8, "indicator": 8}
_MAX_WIDTH = 2**17
_MAX_EXAMPLES = 2**22
_MAX_STEPS = 2**24

flags.DEFINE_integer("input_dim", 16, "Dimensions of the input, d.")
flags.DEFINE_integer("rank", 1, "Directions that the target depends on.")
flags.DEFINE_integer("degree", 4, "Of the polynomial.")
flags.DEFINE_enum("target", "hermite", KINDS, "Polynomial of each direction.")
flags.DEFINE_float("noise", 0.0, "Standard deviation of label noise; that of the target is 1.")
flags.DEFINE_list("num_train", ["500", "1000", "2000"], "Train examples, n, ascending.")
flags.DEFINE_enum("representation", "quadratic", REPRESENTATIONS, "Activation of its units.")
flags.DEFINE_integer(
    "width", None, "Its units, D; unset: 2 for each direction, 8 if not quadratic."
)
flags.DEFINE_integer("num_directions", None, "Directions whitened, E; unset: 1 + d + d(d+1)/2.")
flags.DEFINE_list("learners", list(LEARNERS), "Which to train.")
flags.DEFINE_integer("num_steps", 1500, "Most steps of each fit of a quadratic model.")
flags.DEFINE_bool("float64", False, "Compute kernel machines in double precision.")
flags.DEFINE_integer("num_test", 4000, "Test examples.")
cli.define_run_flags("neural_representations", num_seeds=5)
FLAGS = flags.FLAGS


def main() -> None:
    """Runs the experiment as the flags say."""
    cli.run(__doc__, prepare, execute)


def prepare() -> Plan:
    """Checks the request, opens its folder and reads what is finished there."""
    if FLAGS.float64:
        jax.config.update("jax_enable_x64", True)
    request = read_request()
    learners = make_learners(request, FLAGS.impl, FLAGS.num_devices)
    return open_plan("neural_representations", request, learners)


def read_request() -> Request:
    """The request that the flags make.

    Raises:
      ValueError: it cannot be met.
    """
    task = PolynomialSpec(FLAGS.input_dim, FLAGS.rank, FLAGS.degree, FLAGS.target, FLAGS.noise)
    num_directions = FLAGS.num_directions
    if num_directions is None:
        num_directions = direction_count(task.input_dim)
    width = FLAGS.width
    if width is None:
        width = _UNITS_PER_DIRECTION[FLAGS.representation] * num_directions
    if not 1 <= num_directions <= _MAX_WIDTH:
        raise ValueError(
            f"num_directions={num_directions} must be from 1 to {_MAX_WIDTH}: set --num_directions"
        )
    if not num_directions <= width <= _MAX_WIDTH:
        raise ValueError(
            f"width={width} must be from {num_directions}, the directions that are whitened, to "
            f"{_MAX_WIDTH}: set --width or --num_directions"
        )
    for name, most in (("num_test", _MAX_EXAMPLES), ("num_steps", _MAX_STEPS)):
        if not 1 <= FLAGS[name].value <= most:
            raise ValueError(f"{name}={FLAGS[name].value} must be from 1 to {most}")
    request = Request(
        task,
        cli.ascending("num_train", FLAGS.num_train, LEAST_TRAIN, _MAX_EXAMPLES),
        cli.some_of("learners", FLAGS.learners, LEARNERS),
        FLAGS.representation,
        width,
        num_directions,
        FLAGS.num_steps,
        "float64" if FLAGS.float64 else "float32",
        FLAGS.num_test,
        FLAGS.num_seeds,
        FLAGS.seed,
    )
    require_memory(request)
    return request


def execute(plan: Plan) -> None:
    """Fits what is missing, saving it layer by layer, and writes the result."""
    request, folder, learners = plan.request, plan.folder, plan.learners
    print(headline(request, folder))
    plan.fit(test_errors)
    summary = summarize(request, learners, cli.num_devices())
    conclude(
        folder,
        summary,
        "representation_figure",
        "\n".join([*warnings(summary), closing_table(summary)]),
    )


if __name__ == "__main__":
    main()
