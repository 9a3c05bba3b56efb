"""Which targets a network climbs step by step: a staircase, and a parity (arXiv 2108.10573).

Both have the same degree k. The staircase (x_1 + x_1 x_2 + ... + x_1 ... x_k) / sqrt(k) shows the
way to its highest term, the parity x_1 ... x_k does not. A residual network sees fresh examples of
either, all of its weights trained together, or one block at a time with a read-out of its own.

    python -m experiments.staircase

With the default sizes (30 inputs, degree 10) expect errors over the variance of .002 end to end and
.057 layer by layer on the staircase, and 1 on the parity, in two minutes on two cores.
"""

from absl import flags

from experiments import cli
from experiments.runs import Plan, conclude, open_plan
from experiments.staircase_learners import NUM_PROBES, Request, make_learners
from experiments.staircase_summary import closing_table, headline, summarize, test_errors

_BOUNDS = {"num_inputs": 2**12, "num_steps": 2**20}

flags.DEFINE_integer("num_inputs", 30, "Inputs, signs, d.")
flags.DEFINE_integer(
    "degree", 10, "Of staircase and parity, k; parities of 6 and less are learned."
)
flags.DEFINE_integer("num_steps", 5000, "End to end; each block alone takes three tenths of them.")
cli.define_run_flags("staircase", num_seeds=10)
FLAGS = flags.FLAGS


def main() -> None:
    """Runs the experiment as the flags say."""
    cli.run(__doc__, prepare, execute)


def prepare() -> Plan:
    """Checks the request, opens its folder and reads what is finished there."""
    for name, most in _BOUNDS.items():
        if not 1 <= FLAGS[name].value <= most:
            raise ValueError(f"{name}={FLAGS[name].value} must be from 1 to {most}")
    if FLAGS.degree > NUM_PROBES // 4:
        raise ValueError(
            f"degree={FLAGS.degree} must be at most {NUM_PROBES // 4}: coefficients are measured "
            f"on {NUM_PROBES} inputs"
        )
    request = Request(FLAGS.num_inputs, FLAGS.degree, FLAGS.num_steps, FLAGS.num_seeds, FLAGS.seed)
    learners = make_learners(request, FLAGS.impl, FLAGS.num_devices)
    return open_plan("staircase", request, learners)


def execute(plan: Plan) -> None:
    """Fits what is missing, saving it layer by layer, and writes the result."""
    request, folder, learners = plan.request, plan.folder, plan.learners
    print(headline(request, folder))
    plan.fit(test_errors)
    summary = summarize(request, learners, cli.num_devices())
    conclude(folder, summary, "staircase_figure", closing_table(summary))


if __name__ == "__main__":
    main()
