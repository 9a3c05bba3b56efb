"""Kernel ridge regression, kernel and ridge chosen on held-out examples."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Integer, Key, Shaped

from hierjax.checks import as_floats, require_examples, require_shape
from hierjax.distances import squared_distances
from hierjax.train.layerwise import ChoosingLayer
from hierjax.train.losses import Loss, require_suited
from hierjax.train.validation import num_fitted

RADIAL: dict[str, Callable[[Array], Array]] = {
    "rbf": lambda squared: jnp.exp(-squared / 2),
    "laplace": lambda squared: jnp.exp(-jnp.sqrt(squared)),
}
"""Radial kernels by name: squared distance, in units of the squared bandwidth -> kernel."""

_MATRICES = 6
_TINY = 1e-12


class Kernel(NamedTuple):
    """A kernel, that is a similarity of two points.

    Attributes:
      name: name of the kernel, for people.
      gram: (points (N, D), others (M, D), distance) -> the kernel (N, M) of all pairs; the
        distance, a scalar, is the root mean square distance of two train points.
    """

    name: str
    gram: Callable[[Array, Array, Array], Array]


def radial_kernels(names: tuple[str, ...], bandwidths: tuple[float, ...]) -> tuple[Kernel, ...]:
    """Makes radial kernels of several bandwidths.

    Args:
      names: names of kernels in `RADIAL`.
      bandwidths: bandwidths of each of them, in units of the root mean square distance of two
        train points.

    Returns:
      The kernels, all bandwidths of the first name first.

    Raises:
      ValueError: a name is unknown, or a bandwidth is not positive.
    """
    if not set(names) <= set(RADIAL):
        raise ValueError(f"names={names} are not all known: choose of {', '.join(RADIAL)}")
    if not all(0 < each < float("inf") for each in bandwidths):
        raise ValueError(f"bandwidths={bandwidths} must be positive numbers")

    def make(name, bandwidth):
        def gram(points, others, distance):
            points, others = as_floats("points", points), as_floats("others", others)
            return RADIAL[name](squared_distances(points, others) / (bandwidth * distance) ** 2)

        return Kernel(f"{name} {bandwidth:g}", gram)

    return tuple(make(name, bandwidth) for name in names for bandwidth in bandwidths)


class KernelMachine(struct.PyTreeNode):
    """A fitted kernel machine.

    Attributes:
      inputs: (N, ...) train inputs.
      weights: (N, C) weights of the train inputs.
      mean: (C,) mean of the train targets.
      distance: () root mean square distance of two train points.
      kernel: () integer, index of the kernel in `KernelRidge.kernels`.
      ridge: () number that was added to the Gram matrix's diagonal, in units of its mean.
    """

    inputs: Array
    weights: Array
    mean: Array
    distance: Array
    kernel: Array
    ridge: Array


@dataclasses.dataclass(frozen=True)
class KernelRidge(ChoosingLayer):
    """Kernel ridge regression: a stack of one layer.

    Each kernel is tried with each ridge on seven eighths of the examples (of the first
    `most_tried` if there are more); the pair that errs least on the rest is fitted to all of them.
    A Gram matrix that has no Cholesky factor gets more ridge, tenfold until it has one or the
    ridge is 1. Matrix products are of the highest precision.

    Attributes:
      embed: inputs (N, ...) -> real vectors (N, D).
      encode: labels (N, ...) -> targets (N, C) of the regression.
      loss: the loss whose `mistakes` on held-out examples are compared.
      kernels: kernels that are tried.
      ridges: ridges that are tried, in units of the mean of the Gram matrix's diagonal.
      most_tried: largest number of examples by which kernel and ridge are chosen.
      dtype: type in which all is computed, "float32" or "float64".

    Raises:
      ValueError: there are no kernels or ridges, a ridge is negative, fewer than two examples are
        to be tried, or float64 is asked for, and JAX does not have it enabled.
    """

    embed: Callable[[Array], Array]
    encode: Callable[[Array], Array]
    loss: Loss
    kernels: tuple[Kernel, ...]
    ridges: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0)
    most_tried: int = 2048
    dtype: str = "float32"

    def __post_init__(self):
        if not self.kernels:
            raise ValueError("kernels is empty: give at least one kernel")
        if not self.ridges or not all(0 <= each < float("inf") for each in self.ridges):
            raise ValueError(f"ridges={self.ridges} must be numbers that are not negative")
        if self.most_tried < 2:
            raise ValueError(f"most_tried={self.most_tried} must be at least 2")
        enabled = jax.config.jax_enable_x64  # pyrefly: ignore[missing-attribute]: made by JAX.
        if self.dtype == "float64" and not enabled:
            raise ValueError(
                "dtype='float64' needs jax.config.update('jax_enable_x64', True) before anything "
                "is computed"
            )

    def fit(
        self, key: Key[Array, ""], inputs: Shaped[Array, "N ..."], labels: Shaped[Array, "N ..."]
    ) -> KernelMachine:
        """Chooses kernel and ridge, and fits the machine.

        Args:
          key: typed PRNG key, not used.
          inputs: (N, ...) train inputs.
          labels: (N, ...) train labels.

        Returns:
          The machine.

        Raises:
          ValueError: there are fewer than two examples, not as many labels as inputs, or labels
            that the encoding or the loss refuses.
        """
        require_examples(inputs, labels)
        num_fitted(inputs.shape[0])
        with jax.default_matmul_precision("highest"):
            points, targets = self._points(inputs), self.encode(labels).astype(self.dtype)
            remedy = "have the encoding make a row of targets of each label, (N, C)"
            require_shape("encoded labels", targets, (points.shape[0], None), remedy)
            require_suited(self.loss, lambda: jnp.zeros(targets.shape), labels)
            mean = targets.mean(axis=0)
            distance = jnp.sqrt(2 * points.var(axis=0).sum() + _TINY)
            tried = slice(self.most_tried)
            kernel, ridge = self._choose(points[tried], targets[tried], labels[tried], distance)
            gram = self._gram(kernel, points, points, distance)
            ridge, weights = _solve(gram, ridge, targets - mean[None])
            return KernelMachine(inputs, weights, mean, distance, kernel, ridge)

    def apply(self, params: KernelMachine, inputs: Shaped[Array, "M ..."]) -> Float[Array, "M C"]:
        """Returns the values (M, C) float32 that the machine predicts at inputs (M, ...)."""
        with jax.default_matmul_precision("highest"):
            points, others = self._points(inputs), self._points(params.inputs)
            gram = self._gram(params.kernel, points, others, params.distance)
            return (gram @ params.weights + params.mean[None]).astype(jnp.float32)

    def chosen(self, params: KernelMachine) -> dict[str, Array]:
        """Returns the index of the "kernel", and the "ridge" that was added."""
        return {"kernel": params.kernel, "ridge": params.ridge}

    def describe(self, chosen: Mapping[str, np.ndarray]) -> dict[str, list]:
        """Returns the names of the kernels and the ridges of all seeds, by "kernel" and "ridge"."""
        names = [self.kernels[int(index)].name for index in chosen["kernel"]]
        return super().describe(chosen) | {"kernel": names}

    def _points(self, inputs: Shaped[Array, "N ..."]) -> Float[Array, "N D"]:
        points = self.embed(inputs).astype(self.dtype)
        remedy = "have the embedding make a vector of each input, (N, D)"
        require_shape("embedded inputs", points, (inputs.shape[0], None), remedy)
        return points

    def _choose(
        self, points, targets, labels, distance
    ) -> tuple[Integer[Array, ""], Float[Array, ""]]:
        """Returns the index of the kernel and the ridge that err least on held-out points."""
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

    def _gram(
        self,
        kernel: Integer[Array, ""],
        points: Float[Array, "N D"],
        others: Float[Array, "M D"],
        distance: Float[Array, ""],
    ) -> Float[Array, "N M"]:
        return jax.lax.switch(
            kernel, [each.gram for each in self.kernels], points, others, distance
        )


def _solve(
    gram: Float[Array, "N N"], ridge: Float[Array, ""], targets: Float[Array, "N C"]
) -> tuple[Float[Array, ""], Float[Array, "N C"]]:
    """Returns the ridge that was enough, and weights (N, C), not finite if none up to 1 was."""
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
    """Estimates the bytes that a fit takes: those of the Gram matrix, its factor and copies.

    Args:
      num_examples: number of train examples.
      dtype: type of the matrices, "float32" or "float64".
    """
    return _MATRICES * num_examples**2 * np.dtype(dtype).itemsize
