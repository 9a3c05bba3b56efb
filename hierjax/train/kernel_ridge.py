"""Kernel ridge regression, bandwidth and ridge chosen on held-out examples."""

import dataclasses
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct

from hierjax.train.validation import num_fitted

KERNELS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "rbf": lambda squared: jnp.exp(-squared / 2),
    "laplace": lambda squared: jnp.exp(-jnp.sqrt(squared)),
}

_MAX_TRIED = 2048
_TINY = 1e-12


class KernelMachine(struct.PyTreeNode):
    """A fitted kernel machine.

    Attributes:
      inputs: (N, ...) train inputs.
      weights: (N, C) of the points.
      class_mean: (C,) train shares of the classes.
      kernel: index in `KERNELS`.
      bandwidth: in the units of the points.
      ridge: added to the Gram matrix's diagonal, which is 1.
    """

    inputs: jax.Array
    weights: jax.Array
    class_mean: jax.Array
    kernel: jax.Array
    bandwidth: jax.Array
    ridge: jax.Array


@dataclasses.dataclass(frozen=True)
class KernelRidge:
    """Kernel ridge regression on one-hot labels: a stack of one layer.

    Every kernel, bandwidth and ridge of the grids is tried on seven eighths of the examples (of
    the first 2,048 if there are more); what errs least on the rest is fitted to all of them. A
    Gram matrix that has no Cholesky factor in float32 counts as erring always.

    Attributes:
      embed: inputs (N, ...) -> real vectors (N, D).
      num_classes: C.
      kernels: of `KERNELS`.
      bandwidths: in units of the root mean square distance of two examples.
      ridges: tried.
    """

    embed: Callable[[jax.Array], jax.Array]
    num_classes: int
    kernels: tuple[str, ...] = tuple(KERNELS)
    bandwidths: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    ridges: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0)

    def fit(self, key: jax.Array, inputs: jax.Array, labels: jax.Array) -> KernelMachine:
        """Fits the machine to inputs (N, ...) and labels (N,); the key is not used.

        Raises:
          ValueError: there are fewer than two examples.
        """
        with jax.default_matmul_precision("highest"):
            points = self.embed(inputs)
            class_mean = jnp.bincount(labels, length=self.num_classes) / labels.size
            targets = jax.nn.one_hot(labels, self.num_classes) - class_mean[None]
            scale = jnp.sqrt(2 * points.var(axis=0).sum() + _TINY)
            kernel, bandwidth, ridge = self._choose(points[:_MAX_TRIED] / scale, targets, labels)
            gram = self._gram(kernel, bandwidth * scale, points, points)
            weights = _solve(gram, ridge, targets)
            return KernelMachine(inputs, weights, class_mean, kernel, bandwidth * scale, ridge)

    def apply(self, params: KernelMachine, inputs: jax.Array) -> jax.Array:
        """Class scores (N, C)."""
        with jax.default_matmul_precision("highest"):
            points, train_points = self.embed(inputs), self.embed(params.inputs)
            gram = self._gram(params.kernel, params.bandwidth, points, train_points)
            return gram @ params.weights + params.class_mean[None]

    def _choose(self, points, targets, labels) -> tuple[jax.Array, jax.Array, jax.Array]:
        count = num_fitted(points.shape[0])
        targets, labels = targets[:count], labels[count : points.shape[0]]

        def error(choice):
            gram = self._gram(*choice[:2], points, points[:count])
            weights = _solve(gram[:count], choice[2], targets)
            scores = gram[count:] @ weights
            wrong = jnp.mean(scores.argmax(axis=-1) != labels)
            return jnp.where(jnp.isfinite(scores).all(), wrong, jnp.inf)

        indices = [tuple(KERNELS).index(name) for name in self.kernels]
        grid = itertools.product(indices, self.bandwidths, self.ridges)
        kernels, bandwidths, ridges = zip(*grid, strict=True)
        choices = jnp.array(kernels), jnp.array(bandwidths), jnp.array(ridges)
        best = jax.lax.map(error, choices).argmin()
        return choices[0][best], choices[1][best], choices[2][best]

    def _gram(self, kernel, bandwidth, points: jax.Array, others: jax.Array) -> jax.Array:
        squares = jnp.sum(points**2, axis=-1)[:, None] + jnp.sum(others**2, axis=-1)[None]
        squared = jnp.maximum(squares - 2 * points @ others.T, 0) / bandwidth**2
        return jax.lax.switch(kernel, list(KERNELS.values()), squared)


def _solve(gram: jax.Array, ridge: jax.Array, targets: jax.Array) -> jax.Array:
    regular = gram + ridge * jnp.eye(gram.shape[0])
    return jax.scipy.linalg.solve(regular, targets, assume_a="pos")
