"""An unknown circuit is learned from majority votes of its gates (arXiv 2601.00455).

A teacher's circuit is random; each label is the signed majority of a few random gates of a level.
With enough such labels they form a hierarchy that a residual network climbs block by block.

    python -m experiments.brain_dump

With the default sizes (20 inputs, 3 levels of 20 gates, 40 votes of 3 gates a level) expect
accuracies above 0.99 of all levels within four blocks, where always guessing the more frequent
sign gives about 0.7, in about five minutes on two cores.
"""

import dataclasses
import functools

import jax
import numpy as np

from experiments import labels
from experiments.runner import run
from hierjax.runs import Results, nested, seed_keys
from hierjax.settings import Config, setting
from hierjax.tasks import BrainDump, BrainDumpSpec, draw_brain_dump
from hierjax.theory import estimate_vote_coefficients, recovery_coefficients, vote_coefficients
from hierjax.train import BlockConfig


@dataclasses.dataclass(frozen=True)
class Task(Config):
    """A family of circuits and votes about them, from which each seed draws one.

    Attributes:
      num_inputs: number of input bits, d.
      depth: number of levels of gates, t.
      gates_per_level: gates of each level; unset: as many as inputs.
      fan_in: inputs of each gate.
      labels_per_level: votes about each level; unset: two for each gate.
      votes: gates that vote on each label, k; odd.
      kind: what the task is called.
      brain_dump: sizes of the circuit and of the votes.
    """

    num_inputs: int = setting(20, most=labels.MAX_SIZE)
    depth: int = setting(3, most=labels.MAX_SIZE)
    gates_per_level: int | None = setting(None)
    fan_in: int = setting(2)
    labels_per_level: int | None = setting(None)
    votes: int = setting(3)
    kind: str = setting("brain_dump", flag=False)
    brain_dump: BrainDumpSpec | None = setting(None, flag=False)

    lattice = ()
    num_locations = None
    radius = input_radius = 0

    def __post_init__(self):
        super().__post_init__()
        if self.gates_per_level is None:
            self.fill(gates_per_level=self.num_inputs)
        if self.labels_per_level is None:
            self.fill(labels_per_level=2 * self.gates_per_level)
        sizes = (self.num_inputs, self.depth, self.gates_per_level, self.fan_in)
        self.fill(brain_dump=BrainDumpSpec(*sizes, self.labels_per_level, self.votes))

    @property
    def num_labels(self) -> int:
        """Number of labels, K."""
        return self.depth * self.labels_per_level

    @property
    def num_bits(self) -> int:
        """Bits of an input."""
        return self.num_inputs

    def draw(self, key: jax.Array) -> BrainDump:
        """A circuit of the family, and votes.

        Raises:
          ValueError: a number out of bounds.
        """
        return draw_brain_dump(key, self.brain_dump)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(labels.Request):
    """What is asked for; its fields are the flags.

    Attributes:
      task: the family of circuits.
      block: how the blocks are trained.
      examples_per_unit: train examples for each unit of a block, if num_train is unset.
      extra_blocks: blocks beyond one a level, if num_blocks is unset.
    """

    task: Task = nested(Task)
    block: BlockConfig = nested(BlockConfig, loss="hinge", passes=2.0, batch_size=256)
    examples_per_unit: float = setting(3.0, above=0, identity=False)
    extra_blocks: int = setting(1, least=0, identity=False)


def summarize(request: Request, results: Results) -> dict:
    """The content of summary.json."""
    return labels.summarize(request, results) | gate_recovery(request)


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
    task, count = request.task.draw(labels.task_key(key)), request.num_test
    fit_key, test_key = jax.random.fold_in(key, 4), jax.random.fold_in(key, 5)
    fit, test = task.sample(fit_key, count), task.sample(test_key, count)
    fit_gates, test_gates = task.gates(fit_key, count), task.gates(test_key, count)
    shares = {"closed_form": [], "estimated": []}
    for level in range(request.task.depth):
        seen, votes, truth = (
            np.asarray(x) for x in (fit_gates[level], fit.latents[level + 1], test_gates[level] > 0)
        )
        unseen = np.asarray(test.latents[level + 1])
        closed = vote_coefficients(task.members[level], task.signs[level], seen.shape[1])
        scores = unseen @ recovery_coefficients(closed)
        shares["closed_form"].append(float(np.mean((scores > 0) == truth)))
        estimated = recovery_coefficients(estimate_vote_coefficients(seen, votes))
        scores = (unseen - votes.mean(axis=0)) @ estimated + seen.mean(axis=0)
        shares["estimated"].append(float(np.mean((scores > 0) == truth)))
    return shares


EXPERIMENT = labels.experiment(
    name="brain_dump",
    doc=__doc__,
    request=Request,
    follows={"solver": {"ridge": {"loss": "square"}}},
    summarize=summarize,
)
main = functools.partial(run, EXPERIMENT)

if __name__ == "__main__":
    main()
