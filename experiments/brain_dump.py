"""An unknown circuit is learned from majority votes of its gates (arXiv 2601.00455).

A teacher's circuit is random; each label is the signed majority of a few random gates of a level.
With enough such labels they form a hierarchy that a residual network climbs block by block.

    python -m experiments.brain_dump

With the default sizes (20 inputs, 3 levels of 20 gates, 40 votes of 3 gates a level) expect
accuracies above 0.99 of all levels within four blocks, where always guessing the more frequent
sign gives about 0.7, in about five minutes on two cores.
"""

import jax
import numpy as np
from absl import flags

from experiments import cli, label_flags
from experiments.label_flags import Defaults
from experiments.label_request import Request, TaskRequest, task_key
from hierjax import (
    BrainDumpSpec,
    estimate_vote_coefficients,
    recovery_coefficients,
    seed_keys,
    vote_coefficients,
)

_DEFAULTS = Defaults(3, 1, "hinge", 2, 256)

flags.DEFINE_integer("num_inputs", 20, "Input bits, d.")
flags.DEFINE_integer("depth", 3, "Levels of gates, t.")
flags.DEFINE_integer("gates_per_level", None, "Gates of a level; unset: as many as inputs.")
flags.DEFINE_integer("fan_in", 2, "Inputs of a gate.")
flags.DEFINE_integer("labels_per_level", None, "Votes about a level; unset: two for each gate.")
flags.DEFINE_integer("votes", 3, "Gates that vote on a label, k; odd.")
cli.define_run_flags("brain_dump", num_seeds=3)
FLAGS = flags.FLAGS


def main() -> None:
    """Runs the experiment as the flags say."""
    cli.run(__doc__, prepare, lambda plan: label_flags.execute(plan, gate_recovery))


def prepare() -> label_flags.Plan:
    """Checks the request and opens its folder."""
    gates = FLAGS.num_inputs if FLAGS.gates_per_level is None else FLAGS.gates_per_level
    labels = 2 * gates if FLAGS.labels_per_level is None else FLAGS.labels_per_level
    spec = BrainDumpSpec(FLAGS.num_inputs, FLAGS.depth, gates, FLAGS.fan_in, labels, FLAGS.votes)
    task = TaskRequest("brain_dump", spec.num_inputs, spec.depth, labels, brain_dump=spec)
    return label_flags.prepare("brain_dump", label_flags.read_request(task, _DEFAULTS))


def gate_recovery(request: Request) -> dict:
    """Share of gate values that a linear map of a level's labels recovers, mean over seeds.

    "closed_form" takes gates for independent and unbiased, "estimated" learns from other examples.
    """
    by_seed = [_recovered(key, request) for key in seed_keys(request.seed, request.num_seeds)]
    names = by_seed[0]
    return {
        "gate_recovery": {
            name: np.mean([s[name] for s in by_seed], axis=0).tolist() for name in names
        }
    }


def _recovered(key: jax.Array, request: Request) -> dict[str, list[float]]:
    """Of one seed, level by level."""
    task, count = request.task.draw(task_key(key)), request.num_test
    fit_key, test_key = jax.random.fold_in(key, 4), jax.random.fold_in(key, 5)
    fit, test = task.sample(fit_key, count), task.sample(test_key, count)
    fit_gates, test_gates = task.gates(fit_key, count), task.gates(test_key, count)
    shares = {"closed_form": [], "estimated": []}
    for level in range(request.task.depth):
        seen, labels, truth = (
            np.asarray(x) for x in (fit_gates[level], fit.latents[level + 1], test_gates[level] > 0)
        )
        unseen = np.asarray(test.latents[level + 1])
        closed = vote_coefficients(task.members[level], task.signs[level], seen.shape[1])
        scores = unseen @ recovery_coefficients(closed)
        shares["closed_form"].append(float(np.mean((scores > 0) == truth)))
        estimated = recovery_coefficients(estimate_vote_coefficients(seen, labels))
        scores = (unseen - labels.mean(axis=0)) @ estimated + seen.mean(axis=0)
        shares["estimated"].append(float(np.mean((scores > 0) == truth)))
    return shares


if __name__ == "__main__":
    main()
