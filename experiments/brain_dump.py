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

import numpy as np

from experiments import labels
from experiments.runner import run
from hierjax.measure import spread
from hierjax.runs import Results, nested, seed_keys, task_key
from hierjax.settings import setting
from hierjax.tasks import BrainDumpFamily
from hierjax.theory import gate_recovery, recovery_by_votes
from hierjax.train import BlockConfig

VOTES_PER_GATE = (2, 5, 10, 20)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(labels.Request):
    """What is asked for; its fields are the flags.

    Attributes:
      task: the family of circuits.
      block: how the blocks are trained.
      examples_per_unit: train examples for each unit of a block, if num_train is unset.
      extra_blocks: blocks beyond one a level, if num_blocks is unset.
    """

    task: BrainDumpFamily = nested(BrainDumpFamily)
    block: BlockConfig = nested(BlockConfig, loss="hinge", passes=2.0, batch_size=256)
    examples_per_unit: float = setting(3.0, above=0, most=2**20, identity=False)
    extra_blocks: int = setting(1, least=0, most=2**10, identity=False)


def summarize(request: Request, results: Results) -> dict:
    """The content of summary.json; shares of gate values that are recovered, means over seeds."""
    of_seeds = [
        gate_recovery(request.task.draw(task_key(key)), key, request.num_test)
        for key in seed_keys(request.seed, request.num_seeds)
    ]
    recovered = {
        name: np.mean([s[name] for s in of_seeds], axis=0).tolist() for name in of_seeds[0]
    }
    return labels.summarize(request, results) | {
        "gate_recovery": recovered,
        "recovery_by_votes": _by_votes(request),
    }


def _by_votes(request: Request) -> dict:
    """What more labels would recover, {mean, std, max, per_seed} by votes a gate and level."""
    keys = seed_keys(request.seed, request.num_seeds)
    found = [
        recovery_by_votes(request.task.brain_dump, task_key(key), VOTES_PER_GATE, request.num_test)
        for key in keys
    ]
    shares = {name: np.array([each[name] for each in found]) for name in found[0]}
    return {
        "votes_per_gate": VOTES_PER_GATE,
        **{
            name: [[spread(level) for level in number] for number in np.moveaxis(values, 0, -1)]
            for name, values in shares.items()
        },
    }


def notes(summary: dict) -> list[str]:
    """What to know of the table."""
    found = summary["recovery_by_votes"]
    shares = [
        f"{number}: {np.mean([level['mean'] for level in found['vote_sum'][place]]):.3f}"
        for place, number in enumerate(found["votes_per_gate"])
    ]
    return [
        *labels.notes(summary),
        f"gate values that sums of votes recover, by votes a gate, {', '.join(shares)}",
    ]


EXPERIMENT = labels.experiment(
    name="brain_dump",
    doc=__doc__,
    request=Request,
    follows={"solver": {"ridge": {"loss": "square"}}},
    summarize=summarize,
    notes=notes,
)
main = functools.partial(run, EXPERIMENT)

if __name__ == "__main__":
    main()
