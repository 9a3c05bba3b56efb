"""The learners that see a target through the raw input or through a fixed representation."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from experiments.representation_request import Request, SeedData, draw_data
from experiments.runs import Learner
from hierjax import (
    SQUARED,
    Batch,
    BestOf,
    Kernel,
    KernelRidge,
    RepresentationLayer,
    Seeds,
    SeedsTrainer,
    Stage,
    forward,
    fully_connected_kernels,
    layer_stage,
    quadratic_learner,
    seed_keys,
    seed_mesh,
)

LEARNERS = ("ntk_raw", "quad_raw", "ntk_rep", "quad_rep")

# Activation, depth, weight_std, bias_std of the networks whose NTKs are tried.
_NETWORKS = (
    ("relu", 1, 2**0.5, 0.0),
    ("relu", 1, 2**0.5, 0.5),
    ("relu", 2, 2**0.5, 0.5),
    ("cosine", 1, 0.5, 0.0),
    ("cosine", 1, 1.0, 0.0),
    ("erf", 1, 0.5, 1.0),
)
_RIDGES = (1e-6, 1e-4, 1e-2, 1.0)
_MOST_TRIED = 8192
_LEAST_VARIANCE = 1e-8


def ntk_learner(dtype: str) -> tuple[KernelRidge]:
    """Kernel regression with the NTK of an infinitely wide network, chosen on validation."""
    kernels = tuple(Kernel(_name(*network), _gram(*network)) for network in _NETWORKS)
    return (
        KernelRidge(
            lambda inputs: inputs,
            lambda labels: labels[:, None],
            SQUARED,
            kernels,
            _RIDGES,
            _MOST_TRIED,
            dtype,
        ),
    )


def _name(activation, depth, weight_std, bias_std) -> str:
    return f"{activation} depth {depth}, weights {weight_std:.2g}, biases {bias_std:g}"


def _gram(activation, depth, weight_std, bias_std) -> Callable[..., jax.Array]:
    def gram(points, others, distance):
        del distance  # Inputs and representations have entries of size 1.
        return fully_connected_kernels(points, others, depth, activation, weight_std, bias_std).ntk

    return gram


def make_learners(
    request: Request, impl: str, num_devices: int | None, prefix: str = ""
) -> list[Learner]:
    """The learners that are asked for, each at each number of examples, smallest first.

    Args:
      request: what is asked for.
      impl: as for `map_seeds`.
      num_devices: between which seeds are divided; None for all.
      prefix: of their names.

    Raises:
      ValueError: there are fewer devices.
    """
    keys = seed_keys(request.seed, request.num_seeds)
    learner_keys = jax.vmap(lambda key: jax.random.fold_in(key, 3))(keys)
    seeds = Seeds(keys, lambda key: draw_data(key, request), seed_mesh(num_devices), impl)
    return [
        Learner(
            f"{prefix}{name}_{num_train}",
            SeedsTrainer(seeds, _stages(request, name, num_train), learner_keys),
            request.num_seeds,
        )
        for num_train in request.num_train
        for name in request.learners
    ]


def top_layers(request: Request, name: str) -> tuple[KernelRidge] | tuple[BestOf]:
    """What a learner trains, on the input or on the representation of it."""
    if name.startswith("ntk"):
        return ntk_learner(request.dtype)
    sees = request.num_directions if name.endswith("rep") else request.task.input_dim
    return quadratic_learner(sees, num_steps=request.num_steps)


def _stages(request: Request, name: str, num_train: int) -> list[Stage]:
    layers = top_layers(request, name)
    if name.endswith("rep"):
        layers = (
            RepresentationLayer(request.width, request.num_directions, request.representation),
            *layers,
        )

    def batch(data: SeedData) -> Batch:
        return jax.tree.map(lambda leaf: leaf[:num_train], data.train)

    def report(index, data, below, params, _):
        if index < len(layers) - 1:
            return {"dropped": params.dropped, "moment": params.moment}
        return _errors(forward(layers, (*below, params), data.test.inputs)[:, 0], data.test)

    return [
        layer_stage(layers, index, batch, functools.partial(report, index))
        for index in range(len(layers))
    ]


def _errors(values: jax.Array, test: Batch) -> dict:
    """Squared error to the target without its noise, over the variance of that, and what of each
    component is found: its coefficient in the regression of the values on all components, NaN
    for those that do not vary."""
    components = jnp.stack(test.latents)
    target = components.sum(axis=0)
    centred = components - components.mean(axis=1, keepdims=True)
    varies = jnp.mean(centred**2, axis=1) > _LEAST_VARIANCE
    with jax.default_matmul_precision("highest"):
        solve = jnp.linalg.pinv(jnp.where(varies[:, None], centred, 0).T)
        found = solve @ (values - values.mean())
    return {
        "test_error": jnp.mean((values - target) ** 2) / target.var(),
        "explained": jnp.where(varies, found, jnp.nan),
    }
