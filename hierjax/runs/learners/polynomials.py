"""Learners of polynomials, on the raw input or on a fixed representation of it (arXiv 2006.13436).

A learner is a function (settings, dimension of its inputs) -> layers, declared here under a name by
`POLYNOMIAL_LEARNERS.add(name, colour=...)`.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Array

from hierjax.runs.experiment import Registry
from hierjax.runs.requests import nested
from hierjax.settings import Config, setting
from hierjax.tasks import PolynomialSpec
from hierjax.theory import fully_connected_kernels
from hierjax.train import (
    REPRESENTATIONS,
    SQUARED,
    Kernel,
    KernelRidge,
    QuadraticConfig,
    QuadraticModels,
    RepresentationLayer,
    gram_bytes,
    quadratic_learner,
)

_UNITS_PER_DIRECTION = {"quadratic": 2, "relu": 8, "erf": 8, "indicator": 8}
_MOST_WIDTH = 2**17


@dataclasses.dataclass(frozen=True)
class NTKConfig(Config):
    """The neural tangent kernels that are tried, between which held-out examples decide.

    Attributes:
      networks: activation, depth, weight_std and bias_std of the networks whose neural tangent
        kernels are tried.
      ridges: ridges that are tried for the kernel machines.
      most_tried: largest number of train examples by which kernel and ridge of a kernel machine
        are chosen.

    Raises:
      ValueError: a number out of bounds.
    """

    networks: tuple[tuple[str, int, float, float], ...] = setting(
        (
            ("relu", 1, 2**0.5, 0.0),
            ("relu", 1, 2**0.5, 0.5),
            ("relu", 2, 2**0.5, 0.5),
            ("cosine", 1, 0.5, 0.0),
            ("cosine", 1, 1.0, 0.0),
            ("erf", 1, 0.5, 1.0),
        ),
        flag=False,
    )
    ridges: tuple[float, ...] = setting((1e-6, 1e-4, 1e-2, 1.0), least=0)
    most_tried: int = setting(8192, least=2, most=2**16)


@dataclasses.dataclass(frozen=True)
class PolynomialLearner:
    """A learner of polynomials.

    Attributes:
      make: (settings, dimension of what it sees) -> the layers above the input or representation.
      colour: colour of the learner in figures, which no other learner has.
      represented: whether the learner sees the representation in place of the input.
      holds_gram: whether the learner holds a Gram matrix of all train examples, whose
        factorisation keeps all cores of a CPU at work.
    """

    make: Callable[[Any, int], tuple]
    colour: str
    represented: bool = False
    holds_gram: bool = False


POLYNOMIAL_LEARNERS: Registry[PolynomialLearner] = Registry(PolynomialLearner, "learner")
"""Learners of polynomials by name, in the order of tables and figures."""


def ntk(settings: "PolynomialSettings", input_dim: int) -> tuple[KernelRidge]:
    """Kernel regression with the NTK of an infinitely wide network, chosen on validation."""
    return (
        KernelRidge(
            lambda inputs: inputs,
            lambda labels: labels[:, None],
            SQUARED,
            tuple(Kernel(_name(*network), _gram(*network)) for network in settings.ntk.networks),
            settings.ntk.ridges,
            settings.ntk.most_tried,
            settings.dtype,
        ),
    )


def _name(activation, depth, weight_std, bias_std) -> str:
    return f"{activation} depth {depth}, weights {weight_std:.2g}, biases {bias_std:g}"


def _gram(activation, depth, weight_std, bias_std) -> Callable[..., Array]:
    def gram(points, others, distance):
        del distance  # Inputs and representations have entries of size 1.
        return fully_connected_kernels(points, others, depth, activation, weight_std, bias_std).ntk

    return gram


def quad(settings: "PolynomialSettings", input_dim: int) -> tuple[QuadraticModels]:
    """The quadratic Taylor model of a two-layer network, all of its choices made on validation."""
    return quadratic_learner(input_dim, settings.quad)


POLYNOMIAL_LEARNERS.add("ntk_raw", colour="tab:orange", holds_gram=True)(ntk)
POLYNOMIAL_LEARNERS.add("quad_raw", colour="tab:green")(quad)
POLYNOMIAL_LEARNERS.add("ntk_rep", colour="tab:red", represented=True, holds_gram=True)(ntk)
POLYNOMIAL_LEARNERS.add("quad_rep", colour="tab:blue", represented=True)(quad)


def direction_count(input_dim: int) -> int:
    """Returns the number of monomials of degree 2 and less in d inputs.

    A representation by quadratic units has no more directions.

    Args:
      input_dim: dimension of the inputs, d.
    """
    return 1 + input_dim + input_dim * (input_dim + 1) // 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolynomialSettings(Config):
    """The representation, and how the learners of polynomials are tuned.

    Attributes:
      representation: activation of the units of the representation.
      width: number of units of the representation, D; unset: 2 for each direction, 8 if they are
        not quadratic; d^(p/2) for mixed targets of degree p in d dimensions, as in arXiv
        2006.13436.
      num_directions: number of directions of the representation that are whitened, E; unset:
        1 + d + d(d+1)/2 for inputs of dimension d, of mixed targets width if that is less.
      quad: choices of the quadratic models.
      ntk: choices of the kernel machines.
      float64: compute kernel machines in double precision.

    Raises:
      ValueError: a value is not allowed.
    """

    representation: str = setting("quadratic", choices=REPRESENTATIONS)
    width: int = setting(None)
    num_directions: int = setting(None, least=1, most=_MOST_WIDTH)
    quad: QuadraticConfig = nested(QuadraticConfig, "quad_", names={"num_steps": "num_steps"})
    ntk: NTKConfig = nested(NTKConfig, "ntk_")
    float64: bool = setting(False)

    def fill_sizes(self, task: PolynomialSpec) -> None:
        """Sets the sizes of the representation that were left unset, while the request is made.

        Args:
          task: sizes of the targets.

        Raises:
          ValueError: the representation has fewer units than directions, or too many.
        """
        most = math.inf
        if self.width is None and task.kind == "mixed":
            most = round(task.input_dim ** (task.degree / 2))
            self.fill(width=most)
        if self.num_directions is None:
            self.fill(num_directions=min(direction_count(task.input_dim), most))
        if self.width is None:
            self.fill(width=_UNITS_PER_DIRECTION[self.representation] * self.num_directions)
        if not self.num_directions <= self.width <= _MOST_WIDTH:
            raise ValueError(
                f"width={self.width} must be from {self.num_directions}, the directions that are "
                f"whitened, to {_MOST_WIDTH}: set width or num_directions"
            )

    @property
    def dtype(self) -> str:
        """Type in which kernel machines compute, "float32" or "float64"."""
        return "float64" if self.float64 else "float32"

    def layers(self, name: str, input_dim: int) -> tuple:
        """Makes the layers of a learner, the representation included if the learner sees it.

        Args:
          name: name of the learner in `POLYNOMIAL_LEARNERS`.
          input_dim: dimension of the inputs, d.
        """
        learner = POLYNOMIAL_LEARNERS[name]
        if not learner.represented:
            return learner.make(self, input_dim)
        size = (self.width, self.num_directions, self.representation)
        return (RepresentationLayer(*size), *learner.make(self, self.num_directions))

    def num_bytes(self, name: str, num_train: int, num_test: int) -> int:
        """Estimates the bytes that a fit of a learner takes: Gram matrices and features.

        Args:
          name: name of the learner in `POLYNOMIAL_LEARNERS`.
          num_train: number of train examples.
          num_test: number of test examples.
        """
        learner, size, held = POLYNOMIAL_LEARNERS[name], np.dtype(self.dtype).itemsize, 0
        if learner.holds_gram:
            held += gram_bytes(num_train, self.dtype) + 2 * size * num_train * num_test
        if learner.represented:
            features = 2 * (num_train + num_test) * self.width
            held = max(held, 4 * (features + 4 * min(num_train, self.width) ** 2))
        return held
