"""The learners of a staircase and of a parity: one residual network, trained in two ways."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from flax import struct

from experiments.runs import Learner
from hierjax import (
    SQUARED,
    Batch,
    CubePolynomial,
    Descent,
    Network,
    Probed,
    ResidualNet,
    Seeds,
    SeedsTrainer,
    Stage,
    forward,
    fourier_coefficients,
    layer_stage,
    network_layers,
    parity,
    prefix_sets,
    seed_keys,
    seed_mesh,
    staircase,
)

TARGETS = {"staircase": staircase, "parity": parity}
LEARNERS = ("end_to_end", "layerwise")

NUM_BLOCKS = 4
STEPS_BETWEEN_LOOKS = 20
_WIDTH = {"end_to_end": 64, "layerwise": 128}
_RATE = 2e-3
_BATCH = 128
_STEPS_PER_BLOCK = 0.3
_MOST_NUMBERS = 2**25
NUM_PROBES = 4096
_NUM_TEST = 8192


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked for; fixes the result up to rounding.

    Attributes:
      num_inputs: of the cube, d.
      degree: of both targets, k.
      num_steps: of the network trained end to end; each block takes three tenths of them.
      num_seeds: each draws its own data and weights.
      seed: of everything random.
    """

    num_inputs: int
    degree: int
    num_steps: int
    num_seeds: int
    seed: int

    @property
    def steps_per_block(self) -> int:
        """Steps of each block of the layerwise learner."""
        return max(1, round(_STEPS_PER_BLOCK * self.num_steps))


class SeedData(struct.PyTreeNode):
    """What the learners of a seed share.

    Attributes:
      key: of the train examples, which every stage draws for itself.
      test: for each target, by name.
    """

    key: jax.Array
    test: dict[str, Batch]


def make_learners(request: Request, impl: str, num_devices: int | None) -> list[Learner]:
    """Both learners of both targets.

    Args:
      request: what is asked for.
      impl: as for `map_seeds`.
      num_devices: between which seeds are divided; None for all.

    Raises:
      ValueError: there are fewer devices, or no such targets.
    """
    keys = seed_keys(request.seed, request.num_seeds)
    learner_keys = jax.vmap(lambda key: jax.random.fold_in(key, 2))(keys)
    tasks = {name: make(request.num_inputs, request.degree) for name, make in TARGETS.items()}

    def draw(key):
        test_key, train_key = jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)
        return SeedData(train_key, {n: t.sample(test_key, _NUM_TEST) for n, t in tasks.items()})

    seeds = Seeds(keys, draw, seed_mesh(num_devices), impl)
    stages = {"end_to_end": end_to_end_stages, "layerwise": layerwise_stages}
    return [
        Learner(
            f"{target}_{learner}",
            SeedsTrainer(seeds, stages[learner](request, target, task), learner_keys),
            request.num_seeds,
        )
        for target, task in tasks.items()
        for learner in LEARNERS
    ]


def end_to_end_stages(request: Request, target: str, task: CubePolynomial) -> list[Stage]:
    """One stage, which records the coefficients of all prefixes as they grow."""
    sets = prefix_sets(request.num_inputs, request.degree)
    network = Network(_module("end_to_end"), _descent(request.num_steps), loss=SQUARED)

    def probe(params):
        # Seeds fold in their own numbers, which stay below this one.
        probe_key = jax.random.fold_in(jax.random.key(request.seed), 2**32 - 1)
        inputs = task.sample(probe_key, NUM_PROBES).inputs
        return fourier_coefficients(network.apply(params, inputs)[:, 0], inputs, sets)

    layers = (Probed(network, probe, -(-request.num_steps // STEPS_BETWEEN_LOOKS)),)

    def report(data, below, params, _):
        values = network.apply(params.params, data.test[target].inputs)
        return _error(values, data.test[target]) | {"prefix_coefficients": params.trace}

    return [layer_stage(layers, 0, _fresh(request, task, 0, request.num_steps), report)]


def layerwise_stages(request: Request, target: str, task: CubePolynomial) -> list[Stage]:
    """A stage for each block: its two weight matrices and a read-out of its own are trained."""
    num_steps = request.steps_per_block
    layers = network_layers(_module("layerwise"), _descent(num_steps), SQUARED)

    def make_stage(index):
        def report(data, below, params, _):
            hidden = forward(layers, below, data.test[target].inputs)
            return _error(layers[index].votes(params, hidden), data.test[target])

        return layer_stage(layers, index, _fresh(request, task, index, num_steps), report)

    return [make_stage(index) for index in range(len(layers))]


def _module(learner: str) -> ResidualNet:
    return ResidualNet(1, NUM_BLOCKS, _WIDTH[learner])


def _descent(num_steps: int) -> Descent:
    def optimizer(rate):
        return optax.adam(optax.cosine_decay_schedule(rate, num_steps))

    return Descent(
        optimizer,
        (_RATE,),
        num_steps,
        _BATCH,
        in_order=True,
        steps_per_round=STEPS_BETWEEN_LOOKS,
    )


def num_examples(request: Request, num_steps: int) -> int:
    """Of a stage: each is seen once, unless they would be more than 2^25 numbers."""
    return min(num_steps * _BATCH, max(_BATCH, _MOST_NUMBERS // request.num_inputs))


def _fresh(request: Request, task: CubePolynomial, index: int, num_steps: int):
    """Examples of a stage, see `num_examples`."""
    count = num_examples(request, num_steps)

    def batch(data: SeedData) -> Batch:
        key = jax.random.fold_in(data.key, index)
        return task.sample(key, count).replace(latents=())

    return batch


def _error(values: jax.Array, test: Batch) -> dict:
    """Over the variance, which is 1."""
    return {"test_error": jnp.mean(SQUARED.per_example(values, test.labels))}
