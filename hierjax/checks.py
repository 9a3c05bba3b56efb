"""Checks of what the library is given, so that it tells no wrong numbers without a word.

One rule holds everywhere. Shapes and types are checked wherever a function is traced, which costs
a compiled program nothing. Values are checked where they are known, that is where a function that
is not inside `jax.jit` or `jax.vmap` is given arrays. Inside of these a symbol or a class that is
out of range makes NaN of what depends on it, which neither trains nor wins nor counts as right.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, Shaped

AnyArray = Array | np.ndarray
Dims = tuple[Any, ...]
"""A shape: numbers, None for any number, and at most one ... for any number of axes."""


def require_shape(name: str, array: Any, shape: Dims, remedy: str) -> None:
    """Refuses an array of another shape, and what is no array.

    Args:
      name: what the array is called in the message.
      array: the array, or a tracer of one.
      shape: the shape that is wanted, see `Dims`.
      remedy: what to do about it.

    Raises:
      ValueError: the shape is another one, or there is none.
    """
    if not isinstance(array, Array | np.ndarray):
        raise ValueError(
            f"{name} are of type {type(array).__name__}, but must be an array: {remedy}"
        )
    with _refused(f"{name} have shape {array.shape}, but must have {_text(shape)}: {remedy}"):
        chex.assert_shape(array, shape)


def require_integers(name: str, array: AnyArray, bound: int, what: str) -> None:
    """Refuses what are no integers from 0 to a bound.

    Args:
      name: what the array is called in the message.
      array: an array of any shape.
      bound: number of the symbols or classes that there are.
      what: what is counted, in the plural, such as "classes".

    Raises:
      ValueError: the type is no integer type, or a value is known and out of range.
    """
    with _refused(f"{name} have type {array.dtype}, but must count {what}: give integers from 0"):
        chex.assert_type(array, int)
    values = known(array)
    if values is not None and values.size and not 0 <= values.min() <= values.max() < bound:
        low, high = values.min(), values.max()
        more = f", or allow for {high + 1} {what}" if low >= 0 else ""
        raise ValueError(
            f"{name} are from {low} to {high}, but must be from 0 to {bound - 1}: count {what} "
            f"from 0{more}"
        )


def require_numbers(name: str, array: AnyArray) -> None:
    """Refuses what are no finite real numbers.

    Raises:
      ValueError: the type is none of integers or floats, or a value is known and not finite.
    """
    _require_real(name, array)
    values = known(array)
    if values is not None and not np.isfinite(values).all():
        raise ValueError(
            f"{name} have {np.sum(~np.isfinite(values))} values that are not finite: leave them out"
        )


def require_examples(inputs: Any, labels: Any) -> None:
    """Refuses a set of examples that is empty, or whose inputs and labels are not as many.

    Args:
      inputs: (N, ...) inputs.
      labels: (N, ...) labels.

    Raises:
      ValueError: N is not one number, or it is 0; or inputs are known and not finite.
    """
    for name, array in (("inputs", inputs), ("labels", labels)):
        require_shape(name, array, (None, ...), "give one entry for each example")
    counts = f"{inputs.shape[0]} inputs and {labels.shape[0]} labels"
    with _refused(f"there are {counts}: give as many labels as inputs"):
        chex.assert_equal_shape_prefix((inputs, labels), 1)
    if not inputs.shape[0]:
        raise ValueError(f"there are {counts}: give at least 1 example")
    if jnp.issubdtype(inputs.dtype, jnp.floating):
        require_numbers("inputs", inputs)


def require_classes(labels: Any, scores: Any) -> None:
    """Refuses labels that are not one class for each example, of those that have scores.

    Args:
      labels: (...) integers below C.
      scores: (..., C) scores of the classes.

    Raises:
      ValueError: shape or type is another one, there are no examples, or a label is known and out
        of range.
    """
    require_scores(scores, (..., None))
    require_shape(
        "labels",
        labels,
        scores.shape[:-1],
        f"for scores (N, C), here {scores.shape}, give the number of each example's class, of "
        "one-hot labels their argmax(axis=-1)",
    )
    require_integers("labels", labels, scores.shape[-1], "classes")


def require_scores(scores: Any, shape: Dims) -> None:
    """Refuses scores that are no real numbers, none at all, or not of the shape that is wanted.

    Those that are not finite are not refused: they count as mistakes.

    Raises:
      ValueError: the scores are of this kind.
    """
    require_shape("scores", scores, shape, "give the scores of every example")
    _require_real("scores", scores)
    if not scores.size:
        raise ValueError(f"scores have shape {scores.shape}: give at least 1 example and 1 score")


def require_signs(labels: Any, shape: Dims) -> None:
    """Refuses labels that are no signs, or not of the shape that is wanted.

    Args:
      labels: array of -1 and 1.
      shape: the shape that is wanted, see `Dims`.

    Raises:
      ValueError: shape or type is another one, or a label is known and no sign.
    """
    require_shape("labels", labels, shape, "give the sign of every label of each example")
    require_numbers("labels", labels)
    values = known(labels)
    if values is not None and not np.isin(values, (-1, 1)).all():
        raise ValueError(
            f"labels have values such as {values[~np.isin(values, (-1, 1))][0]}, but must be -1 or "
            "1: of zeros and ones give 2 * labels - 1"
        )


def wrong_classes(
    scores: Float[AnyArray, "*N C"], labels: Integer[AnyArray, "*N"]
) -> Bool[Array, "*N"]:
    """Returns which examples (...) have a largest score of another class, or one not finite.

    Args:
      scores: (..., C) scores of the classes.
      labels: (...) integers below C.

    Raises:
      ValueError: these are what `require_classes` refuses.
    """
    require_classes(labels, scores)
    return (scores.argmax(axis=-1) != labels) | ~jnp.isfinite(scores).all(axis=-1)


def wrong_signs(
    scores: Float[AnyArray, "*shape"], labels: Shaped[AnyArray, "*shape"]
) -> Bool[Array, "*shape"]:
    """Returns which scores (...) are not of the sign of their labels (...), or not finite."""
    return ((scores > 0) != (labels > 0)) | ~jnp.isfinite(scores)


def in_range(values: Integer[AnyArray, "*shape"], bound: int) -> Bool[Array, "*shape"]:
    """Returns whether integers (...) are from 0 to bound - 1."""
    values = jnp.asarray(_wide(values, bound))
    return (values >= 0) & (values < bound)


def one_or_nan(valid: Bool[Array, "*shape"], dtype: Any = jnp.float32) -> Float[Array, "*shape"]:
    """Returns factors (...) that keep what is valid to the bit, and make NaN of the rest.

    They make NaN of gradients, too, which a `jnp.where` would leave finite.
    """
    return jnp.where(valid, 1, jnp.nan).astype(dtype)


def one_hot(
    symbols: Integer[AnyArray, "*shape"],
    num_symbols: int,
    name: str = "inputs",
    what: str = "symbols",
) -> Float[Array, "*shape V"]:
    """Returns indicators (..., V) float32 of symbols (...); NaN for those that are out of range.

    Args:
      symbols: (...) integers below V.
      num_symbols: number of symbols, V.
      name: what the symbols are called in a message, see `require_integers`.
      what: what is counted.

    Raises:
      ValueError: the symbols are no integers, or known and out of range.
    """
    require_integers(name, symbols, num_symbols, what)
    hot = jax.nn.one_hot(_wide(symbols, num_symbols), num_symbols)
    return jnp.where(in_range(symbols, num_symbols)[..., None], hot, jnp.nan)


def as_floats(name: str, array: Shaped[AnyArray, "*shape"]) -> Any:
    """Returns floats (...) as they are, and integers as floats, whose products do not overflow.

    Raises:
      ValueError: these are no real numbers, or they are known and not finite.
    """
    require_numbers(name, array)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else jnp.asarray(array, float)


def known(array: Any) -> np.ndarray | None:
    """Returns the values of an array on the host, or None where there are none to see yet."""
    if isinstance(array, jax.core.Tracer):
        return None
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        return None
    return np.asarray(array)


def _require_real(name: str, array: AnyArray) -> None:
    is_float = jnp.issubdtype(array.dtype, jnp.floating)
    with _refused(f"{name} have type {array.dtype}, but must be real numbers: give floats"):
        chex.assert_type(array, float if is_float else int)


@contextlib.contextmanager
def _refused(message: str) -> Iterator[None]:
    """Says in one sentence what an assertion of chex has found."""
    try:
        yield
    except AssertionError:
        raise ValueError(message) from None


def _text(shape: Dims) -> str:
    words = ["..." if size is ... else "any" if size is None else str(size) for size in shape]
    return f"({', '.join(words)}{',' * (len(words) == 1)})"


def _wide(values: Integer[AnyArray, "*shape"], bound: int) -> Integer[AnyArray, "*shape"]:
    """Returns integers in a type that holds the bound, to compare them with it."""
    return values if jnp.iinfo(values.dtype).max >= bound else jnp.asarray(values, jnp.int32)
