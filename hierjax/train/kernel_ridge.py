"""Kernel ridge regression, kernel and ridge chosen on held-out examples."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from hierjax.train.layerwise import ChoosingLayer
from hierjax.train.losses import Loss
from hierjax.train.validation import num_fitted

RADIAL: dict[str, Callable[[jax.Array], jax.Array]] = {
    "rbf": lambda squared: jnp.exp(-squared / 2),
    "laplace": lambda squared: jnp.exp(-jnp.sqrt(squared)),
}
"""Kernels of the squared distance, in bandwidths."""

_MATRICES = 6
_TINY = 1e-12


class Kernel(NamedTuple):
    """A kernel.

    Attributes:
      name: for people.
      gram: (points (N, D), others (M, D), distance) -> (N, M); the distance is the root mean
        square distance of two train points.
    """

    name: str
    gram: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def radial_kernels(names: tuple[str, ...], bandwidths: tuple[float, ...]) -> tuple[Kernel, ...]:
    """Some of `RADIAL` with each bandwidth, in units of the distance of two train points."""

    def make(name, bandwidth):
        def gram(points, others, distance):
            squares = jnp.sum(points**2, axis=-1)[:, None] + jnp.sum(others**2, axis=-1)[None]
            squared = jnp.maximum(squares - 2 * points @ others.T, 0)
            return RADIAL[name](squared / (bandwidth * distance) ** 2)

        return Kernel(f"{name} {bandwidth:g}", gram)

    return tuple(make(name, bandwidth) for name in names for bandwidth in bandwidths)


class KernelMachine(struct.PyTreeNode):
    """A fitted kernel machine.

    Attributes:
      inputs: (N, ...) train inputs.
      weights: (N, C) of the points.
      mean: (C,) of the train targets.
      distance: root mean square distance of two train points.
      kernel: index in `KernelRidge.kernels`.
      ridge: that was added to the Gram matrix's diagonal, in units of its mean.
    """

    inputs: jax.Array
    weights: jax.Array
    mean: jax.Array
    distance: jax.Array
    kernel: jax.Array
    ridge: jax.Array


@dataclasses.dataclass(frozen=True)
class KernelRidge(ChoosingLayer):
    """Kernel ridge regression: a stack of one layer.

    Each kernel is tried with each ridge on seven eighths of the examples (of the first
    `most_tried` if there are more); what errs least on the rest is fitted to all of them. A Gram
    matrix that has no Cholesky factor gets more ridge, tenfold until it has one or the ridge is 1.

    Attributes:
      embed: inputs (N, ...) -> real vectors (N, D).
      encode: labels (N, ...) -> targets (N, C) of the regression.
      loss: whose `mistakes` are compared.
      kernels: tried.
      ridges: tried, in units of the mean of the Gram matrix's diagonal.
      most_tried: bounds what the choice costs.
      dtype: in which all is computed, "float32" or "float64".

    Raises:
      ValueError: float64 is asked for, and JAX does not have it enabled.
    """

    embed: Callable[[jax.Array], jax.Array]
    encode: Callable[[jax.Array], jax.Array]
    loss: Loss
    kernels: tuple[Kernel, ...]
    ridges: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0)
    most_tried: int = 2048
    dtype: str = "float32"

    def __post_init__(self):
        if self.dtype == "float64" and not jax.config.jax_enable_x64:
            raise ValueError(
                "dtype='float64' needs jax.config.update('jax_enable_x64', True) before anything "
                "is computed"
            )

    def fit(self, key: jax.Array, inputs: jax.Array, labels: jax.Array) -> KernelMachine:
        """Fits the machine to inputs (N, ...) and labels (N, ...); the key is not used.

        Raises:
          ValueError: there are fewer than two examples.
        """
        with jax.default_matmul_precision("highest"):
            points, targets = self._points(inputs), self.encode(labels).astype(self.dtype)
            mean = targets.mean(axis=0)
            distance = jnp.sqrt(2 * points.var(axis=0).sum() + _TINY)
            tried = slice(self.most_tried)
            kernel, ridge = self._choose(points[tried], targets[tried], labels[tried], distance)
            gram = self._gram(kernel, points, points, distance)
            ridge, weights = _solve(gram, ridge, targets - mean[None])
            return KernelMachine(inputs, weights, mean, distance, kernel, ridge)

    def apply(self, params: KernelMachine, inputs: jax.Array) -> jax.Array:
        """Scores (N, C) float32."""
        with jax.default_matmul_precision("highest"):
            points, others = self._points(inputs), self._points(params.inputs)
            gram = self._gram(params.kernel, points, others, params.distance)
            return (gram @ params.weights + params.mean[None]).astype(jnp.float32)

    def chosen(self, params: KernelMachine) -> dict[str, jax.Array]:
        """The number of the kernel, and the ridge."""
        return {"kernel": params.kernel, "ridge": params.ridge}

    def describe(self, chosen: Mapping[str, np.ndarray]) -> dict[str, list]:
        """The kernels by name, and the ridges."""
        names = [self.kernels[int(index)].name for index in chosen["kernel"]]
        return super().describe(chosen) | {"kernel": names}

    def _points(self, inputs: jax.Array) -> jax.Array:
        return self.embed(inputs).astype(self.dtype)

    def _choose(self, points, targets, labels, distance) -> tuple[jax.Array, jax.Array]:
        count = num_fitted(points.shape[0])
        mean = targets[:count].mean(axis=0)

        def errors(kernel):
            gram = self._gram(kernel, points, points[:count], distance)

            def error(ridge):
                _, weights = _solve(gram[:count], ridge, targets[:count] - mean[None])
                scores = gram[count:] @ weights + mean[None]
                wrong = self.loss.mistakes(scores, labels[count:]).mean()
                return jnp.where(jnp.isfinite(scores).all(), wrong, jnp.inf)

            return jax.lax.map(error, ridges)

        ridges = jnp.asarray(self.ridges, self.dtype)
        grid = jax.lax.map(errors, jnp.arange(len(self.kernels)))
        kernel, ridge = jnp.unravel_index(grid.argmin(), grid.shape)
        return kernel, ridges[ridge]

    def _gram(self, kernel, points: jax.Array, others: jax.Array, distance) -> jax.Array:
        return jax.lax.switch(
            kernel, [each.gram for each in self.kernels], points, others, distance
        )


def _solve(gram: jax.Array, ridge: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The ridge that was enough, and weights (N, C), not finite if none up to 1 was."""
    scale, identity = jnp.trace(gram) / gram.shape[0], jnp.eye(gram.shape[0], dtype=gram.dtype)

    def attempt(ridge):
        return jax.scipy.linalg.solve(gram + ridge * scale * identity, targets, assume_a="pos")

    def fails(state):
        ridge, weights = state
        return ~jnp.isfinite(weights).all() & (ridge < 1)

    def again(state):
        ridge = jnp.maximum(10 * state[0], jnp.finfo(gram.dtype).eps)
        return ridge, attempt(ridge)

    return jax.lax.while_loop(fails, again, (ridge, attempt(ridge)))


def gram_bytes(num_examples: int, dtype: str = "float32") -> int:
    """Memory that a fit of so many examples takes: the Gram matrix, its factor and copies."""
    return _MATRICES * num_examples**2 * np.dtype(dtype).itemsize
