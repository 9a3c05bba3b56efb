"""How many examples each learner of a low-rank polynomial needs as the dimension grows.

The learners of `experiments.neural_representations`, in several dimensions and at several numbers
of examples, multiples of d^2; where their errors fall below a level, and by which power of d that
grows. No exponent is claimed where fewer than three dimensions have a threshold.

    python -m experiments.representation_thresholds

With the default sizes expect an hour on two cores; a killed run goes on where it was.
"""

import dataclasses

from absl import flags

from experiments import cli
from experiments.representation_learners import LEARNERS, make_learners
from experiments.representation_request import LEAST_TRAIN, Request, direction_count, require_memory
from experiments.representation_summary import summarize, test_errors
from experiments.runs import Learner, Plan, conclude, open_plan
from experiments.threshold_summary import closing_table, summarize_thresholds
from hierjax import PolynomialSpec

flags.DEFINE_list("input_dims", ["8", "12", "16", "20", "24"], "Dimensions d, ascending.")
flags.DEFINE_list(
    "train_multiples", ["1", "2", "4", "8", "16"], "Of d^2, train examples, ascending."
)
flags.DEFINE_integer("degree", 4, "Of the polynomial.")
flags.DEFINE_list("learners", list(LEARNERS), "Which to train.")
flags.DEFINE_float("level", 0.5, "Of the error over the variance.", lower_bound=0, upper_bound=1)
flags.DEFINE_integer(
    "num_steps",
    1500,
    "Most steps of each fit of a quadratic model.",
    lower_bound=1,
    upper_bound=2**24,
)
flags.DEFINE_integer("num_test", 4000, "Test examples.", lower_bound=1, upper_bound=2**22)
cli.define_run_flags("representation_thresholds", num_seeds=5)
FLAGS = flags.FLAGS


def main() -> None:
    """Runs the experiment as the flags say."""
    cli.run(__doc__, prepare, execute)


@dataclasses.dataclass(frozen=True)
class ThresholdRequest:
    """What is asked for.

    Attributes:
      level: of the error.
      requests: of each dimension, ascending.
    """

    level: float
    requests: tuple[Request, ...]


def prepare() -> Plan:
    """Checks the request, opens its folder and reads what is finished there."""
    dims = cli.ascending("input_dims", FLAGS.input_dims, 2, 256)
    request = ThresholdRequest(FLAGS.level, tuple(_request(dim) for dim in dims))
    learners = [learner for each in request.requests for learner in _learners(each)]
    return open_plan("representation_thresholds", request, learners)


def _learners(request: Request) -> list[Learner]:
    return make_learners(request, FLAGS.impl, FLAGS.num_devices, f"d{request.task.input_dim}_")


def _request(dim: int) -> Request:
    multiples = cli.ascending("train_multiples", FLAGS.train_multiples, 1, 2**12)
    directions = direction_count(dim)
    request = Request(
        task=PolynomialSpec(dim, 1, FLAGS.degree),
        num_train=tuple(dim**2 * multiple for multiple in multiples),
        learners=cli.some_of("learners", FLAGS.learners, LEARNERS),
        representation="quadratic",
        width=2 * directions,
        num_directions=directions,
        num_steps=FLAGS.num_steps,
        dtype="float32",
        num_test=FLAGS.num_test,
        num_seeds=FLAGS.num_seeds,
        seed=FLAGS.seed,
    )
    if request.num_train[0] < LEAST_TRAIN:
        raise ValueError(
            f"input_dims={dim} and train_multiples={multiples[0]} make {request.num_train[0]} "
            f"train examples, fewer than {LEAST_TRAIN}: raise one of them"
        )
    require_memory(request)
    return request


def execute(plan: Plan) -> None:
    """Fits what is missing, saving it layer by layer, and writes the result."""
    folder, learners, requests = plan.folder, plan.learners, plan.request.requests
    dims = ", ".join(str(request.task.input_dim) for request in requests)
    print(
        f"polynomials of degree {FLAGS.degree} in {dims} dimensions, "
        f"{', '.join(FLAGS.train_multiples)} times d^2 train examples, {FLAGS.num_seeds} seeds, "
        f"into {folder.path}"
    )
    plan.fit(test_errors)
    size = len(learners) // len(requests)  # Learners of each dimension.
    summaries = [
        summarize(request, learners[size * i : size * (i + 1)], cli.num_devices())
        for i, request in enumerate(requests)
    ]
    summary = summarize_thresholds(summaries, FLAGS.level)
    conclude(folder, summary, "threshold_figure", closing_table(summary))


if __name__ == "__main__":
    main()
