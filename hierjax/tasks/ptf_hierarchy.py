"""Random hierarchies of polynomial threshold functions, of any depth, degree, fan-in and width.

A polynomial threshold function (PTF) is the sign of a polynomial. The wiring of these hierarchies
is random, so they may collapse: a deep label may equal a shallow function, or be nearly constant.
Labels are drawn again until they are balanced; how shallow each level is, the linear and the
shallow learner of `train.label_learners` tell.
"""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from hierjax.tasks.label_hierarchy import LabelHierarchy, LabelLevel, Monomials, draw_signs
from hierjax.tasks.lattice import check_lattice, num_locations, window_size, window_table

KINDS = ("parity", "and", "majority", "random")
"""What a label makes of the nodes that it reads, see `PTFSpec`."""

_CANDIDATES = 16
_PROBES = 1024
_MAX_MONOMIALS = 2**12
_MAX_SIZE = 2**11  # Sums of so many coefficients of this size are exact in float32.


@dataclasses.dataclass(frozen=True)
class PTFSpec:
    """Sizes of a random hierarchy of polynomial threshold functions.

    Attributes:
      kind: what every label makes of the nodes that it reads, signs drawn at random: their
        product ("parity", of degree fan_in), their conjunction ("and", a junta and of degree 1),
        the sign of their sum ("majority", of degree 1), or the sign of a "random" polynomial.
      num_inputs: number of input bits at each location, d.
      depth: number of levels of labels, R.
      labels_per_level: number of labels of a level at each location.
      fan_in: number of different nodes that a label reads: one of the level below, the others of
        any lower level or the input.
      degree: degree of random polynomials; other kinds ignore it.
      max_coefficient: largest coefficient of random polynomials; these are whole numbers with an
        odd sum, so that no polynomial comes nearer to zero than 1. Other kinds ignore it.
      lattice: lengths of the sides of a ring or grid; () for none.
      radius: radius of the windows in which the nodes that a label reads stand.
      min_share: least share of the inputs on which a label may have its rarer sign.

    Raises:
      ValueError: the kind is unknown, or a number is out of bounds.
    """

    kind: str
    num_inputs: int
    depth: int
    labels_per_level: int
    fan_in: int = 3
    degree: int = 2
    max_coefficient: int = 3
    lattice: tuple[int, ...] = ()
    radius: int = 0
    min_share: float = 0.2

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r} is unknown: choose one of {', '.join(KINDS)}")
        names = ("num_inputs", "depth", "labels_per_level", "fan_in", "degree", "max_coefficient")
        for name in names:
            if not 1 <= getattr(self, name) <= _MAX_SIZE:
                raise ValueError(f"{name}={getattr(self, name)} must be from 1 to {_MAX_SIZE}")
        check_lattice(self.lattice, self.radius)
        reach = window_size(self.lattice, self.radius) * self.num_inputs
        if self.fan_in > reach:
            raise ValueError(
                f"fan_in={self.fan_in} is more than the {reach} nodes below a label of level 1: "
                "lower it, or raise num_inputs"
            )
        if self.kind == "majority" and self.fan_in % 2 == 0:
            raise ValueError(f"fan_in={self.fan_in} must be odd: an even majority may be tied")
        if self.kind == "random" and self.degree > self.fan_in:
            raise ValueError(f"degree={self.degree} must be at most fan_in={self.fan_in}")
        if not 0 <= self.min_share < 0.5:
            raise ValueError(f"min_share={self.min_share} must be at least 0 and below 0.5")
        if self.kind == "random":
            count = sum(math.comb(self.fan_in, size) for size in range(self.degree + 1))
            if count > _MAX_MONOMIALS:
                raise ValueError(
                    f"fan_in={self.fan_in} and degree={self.degree} make {count} monomials, more "
                    f"than {_MAX_MONOMIALS}: lower one of them"
                )

    @property
    def monomials(self) -> Monomials:
        """Monomials of the polynomial of every label, as sets of the nodes that it reads."""
        nodes = range(self.fan_in)
        if self.kind == "parity":
            return (tuple(nodes),)
        if self.kind == "majority":
            return tuple((node,) for node in nodes)
        degree = 1 if self.kind == "and" else self.degree
        sizes = range(degree + 1)
        return tuple(itertools.chain(*(itertools.combinations(nodes, size) for size in sizes)))


def draw_ptf_hierarchy(
    key: Key[Array, ""], spec: PTFSpec
) -> tuple[LabelHierarchy, Float[Array, "R labels"]]:
    """Draws a hierarchy; pure, to be jitted and mapped over keys.

    Of 16 candidates for a label the first that is balanced is taken, else the most balanced.

    Args:
      key: typed PRNG key.
      spec: sizes.

    Returns:
      The hierarchy, and the shares (R, labels_per_level) of the rarer sign of each label among
      1,024 random inputs, for `require_balanced`.
    """
    table = window_table(spec.lattice, spec.radius)
    count = -(-_PROBES // num_locations(spec.lattice))
    below = draw_signs(jax.random.fold_in(key, 0), count, (table.shape[0], spec.num_inputs))
    levels, shares = [], []
    for index in range(spec.depth):
        newest = spec.labels_per_level if index else spec.num_inputs
        level_key = jax.random.fold_in(key, index + 1)
        num_below = below.shape[-1]
        tried = jax.vmap(lambda k: _draw_level(k, spec, num_below, newest))(  # noqa: B023
            jax.random.split(level_key, _CANDIDATES)
        )
        values = jax.lax.map(lambda level: level.evaluate(below, table), tried)  # noqa: B023
        minority = (1 - jnp.abs(values.mean(axis=(1, 2)))) / 2
        balanced = minority >= spec.min_share
        best = jnp.where(balanced.any(axis=0), balanced.argmax(axis=0), minority.argmax(axis=0))
        chosen = best, jnp.arange(spec.labels_per_level)
        levels.append(jax.tree.map(lambda leaf: leaf[chosen], tried))  # noqa: B023
        shares.append(minority[chosen])
        values = jnp.moveaxis(values, 0, 2)[:, :, *chosen]
        below = jnp.concatenate([below, values], axis=-1)
    hierarchy = LabelHierarchy(tuple(levels), spec.num_inputs, spec.lattice, spec.radius)
    return hierarchy, jnp.stack(shares)


def require_balanced(
    shares: Float[Array | np.ndarray, "*seeds R labels"], min_share: float
) -> None:
    """Refuses hierarchies some of whose labels are nearly constant.

    Args:
      shares: (..., R, labels_per_level) shares of the rarer signs, from `draw_ptf_hierarchy`.
      min_share: least share that will do.

    Raises:
      ValueError: a share is less; the lowest level where one is less is named.
    """
    least = shares.reshape(-1, *shares.shape[-2:]).min(axis=(0, 2))
    bad = [level + 1 for level, share in enumerate(least) if share < min_share]
    if bad:
        raise ValueError(
            f"of {_CANDIDATES} draws of a label of level {bad[0]} none had a rarer sign on "
            f"min_share={min_share} of the inputs, only on {float(least[bad[0] - 1]):.3f} at most: "
            "lower min_share or fan_in, or take another kind"
        )


def _draw_level(key: Key[Array, ""], spec: PTFSpec, num_below: int, newest: int) -> LabelLevel:
    wiring, signs = jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)
    size = window_size(spec.lattice, spec.radius)
    places = _draw_places(wiring, spec, num_below, newest, size)
    monomials = spec.monomials
    shape = (spec.labels_per_level, len(monomials))
    if spec.kind == "random":
        coefficients = _odd_coefficients(signs, shape, spec.max_coefficient)
    else:
        coefficients = jax.random.rademacher(signs, shape, jnp.float32)
        if spec.kind == "and":  # The constant comes first: all nodes together outweigh it.
            coefficients = coefficients.at[:, 0].set(1.0 - spec.fan_in)
    return LabelLevel(
        (places % num_below).astype(jnp.int32),
        (places // num_below).astype(jnp.int32),
        coefficients,
        monomials,
        spec.labels_per_level,
    )


def _draw_places(
    key: Key[Array, ""], spec: PTFSpec, num_below: int, newest: int, size: int
) -> Int[Array, "labels fan_in"]:
    """Draws (labels, fan_in) different places, offset * num_below + node, the first one new."""
    keys = [jax.random.fold_in(key, place) for place in range(spec.fan_in)]
    shape = (spec.labels_per_level,)
    first = jax.random.randint(keys[0], shape, 0, size * newest)
    first = first // newest * num_below + (num_below - newest) + first % newest
    places = first[:, None]
    for place_key in keys[1:]:
        drawn = jax.random.randint(place_key, shape, 0, size * num_below - places.shape[1])
        for taken in jnp.sort(places, axis=1).T:  # Steps over what is taken.
            drawn += drawn >= taken
        places = jnp.concatenate([places, drawn[:, None]], axis=1)
    return places


def _odd_coefficients(
    key: Key[Array, ""], shape: tuple[int, int], bound: int
) -> Float[Array, "labels monomials"]:
    """Draws whole numbers up to a bound; one of a row is moved by one if their sum is even."""
    drawn = jax.random.randint(key, shape, -bound, bound + 1)
    moved = drawn.at[:, -1].add(jnp.where(drawn[:, -1] > 0, -1, 1))
    even = drawn.sum(axis=1, keepdims=True) % 2 == 0
    return jnp.where(even, moved, drawn).astype(jnp.float32)
