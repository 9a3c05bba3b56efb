"""Train sets that nest, and test sets of strings that the train set does not hold."""

import functools
from decimal import Decimal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, ArrayLike, Bool, Int, Key, Shaped

from hierjax.checks import require_shape
from hierjax.tasks.batch import Batch
from hierjax.tasks.rows import first_occurrence

MAX_DRAWS = 1000
"""How many times candidates for a test set are drawn, at most."""

_MAX_EXAMPLES = 2**31 - 1


class Split(struct.PyTreeNode):
    """A train set and a test set of unseen strings.

    Attributes:
      train: independent draws; those of a smaller train set are the first ones of a larger one.
      test: independent draws conditioned on being absent from the train set.
      num_unseen: () int32, the number of test rows that were filled, for `require_filled`.
    """

    train: Batch
    test: Batch
    num_unseen: Array


def check_split(num_strings: int, num_train: int, num_test: int) -> None:
    """Refuses a split that a language is too small for.

    Args:
      num_strings: number of strings of the language.
      num_train: number of train examples.
      num_test: number of unseen test examples.

    Raises:
      ValueError: a count is no integer, not positive or cannot be indexed, or num_train + num_test
        exceeds num_strings.
    """
    for name, count in (("num_train", num_train), ("num_test", num_test)):
        if isinstance(count, bool) or not isinstance(count, int | np.integer):
            raise ValueError(f"{name}={count!r} must be an integer")
        if count < 1:
            raise ValueError(f"{name}={count} must be at least 1")
        if count > _MAX_EXAMPLES:
            raise ValueError(f"{name}={Decimal(count):.4g} must be at most {_MAX_EXAMPLES}")
    if num_train > num_strings:
        raise ValueError(
            f"num_train={num_train} is larger than the language of {num_strings} strings: "
            "lower num_train, or raise num_rules or depth"
        )
    if num_train + num_test > num_strings:
        raise ValueError(
            f"num_train={num_train} and num_test={num_test} unseen strings are more than the "
            f"language of {num_strings} strings: lower num_train or num_test"
        )


@functools.partial(jax.jit, static_argnames=("num_train", "num_test"))
def make_split(task, key: Key[Array, ""], num_train: int, num_test: int) -> Split:
    """Draws a train set, and a test set of strings that are not in it.

    The function is jitted, and may be mapped over tasks and keys by `jax.vmap`.

    Args:
      task: a pytree with a method sample(key, n) and an attribute num_strings, such as a
        RandomHierarchy; of a NoisyHierarchy strings are compared as they were without noise.
      key: typed PRNG key.
      num_train: number of train examples, static.
      num_test: number of unseen test examples, static.

    Returns:
      The split; `require_filled` tells whether its test set could be filled.

    Raises:
      ValueError: the language is too small, see `check_split`.
    """
    check_split(task.num_strings, num_train, num_test)
    clean = getattr(task, "clean", lambda batch: batch.inputs)
    train = task.sample(jax.random.fold_in(key, 0), num_train)

    def draw(state):
        attempt, num_unseen, test = state
        candidates = unseen_candidates(task, key, attempt, num_test)
        unseen = ~contains(clean(train), clean(candidates))
        row = jnp.where(unseen, num_unseen + jnp.cumsum(unseen) - 1, num_test)
        test = jax.tree.map(lambda kept, new: kept.at[row].set(new, mode="drop"), test, candidates)
        return attempt + 1, jnp.minimum(num_unseen + unseen.sum(), num_test), test

    shapes = jax.eval_shape(lambda k: task.sample(k, num_test), key)
    empty = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    start = (jnp.int32(0), jnp.int32(0), empty)
    _, num_unseen, test = jax.lax.while_loop(
        lambda state: (state[1] < num_test) & (state[0] < MAX_DRAWS), draw, start
    )
    return Split(train, test, num_unseen)


def unseen_candidates(task, key: Key[Array, ""], attempt: ArrayLike, num_test: int) -> Batch:
    """Draws examples of which those that are not in the train set become test examples, in order.

    Nearly all candidates of a large language are unseen: a quarter more than asked for are then
    enough, and one draw is all that is made.

    Args:
      task: as for `make_split`.
      key: key of the split; its train set is `task.sample(jax.random.fold_in(key, 0), num_train)`.
      attempt: how many times candidates were drawn before, () integer.
      num_test: number of test examples that are wanted, static.
    """
    key = jax.random.fold_in(jax.random.fold_in(key, 1), attempt)
    return task.sample(key, num_test + num_test // 4 + 64)


def require_filled(num_unseen: Int[Array | np.ndarray, "..."], num_test: int) -> None:
    """Refuses splits whose test set stayed short: nearly all probability mass was seen.

    Only grammars with very uneven probabilities come to this.

    Args:
      num_unseen: `Split.num_unseen` of one split or of many.
      num_test: number of test examples that was asked for.

    Raises:
      ValueError: a test set is short; the number of unseen strings that were found is named.
    """
    found = int(np.min(num_unseen))
    if found < num_test:
        raise ValueError(
            f"only {found} of {num_test} unseen test strings were found in {MAX_DRAWS} draws: "
            "the train set holds nearly all of the language's probability; lower num_train"
        )


def contains(
    rows: Shaped[Array | np.ndarray, "N d"], candidates: Shaped[Array | np.ndarray, "candidates d"]
) -> Bool[Array, " candidates"]:
    """Tells whether each candidate equals one of the rows, exactly.

    Args:
      rows: (N, d) array of any type.
      candidates: (number of candidates, d) array of the same type.

    Returns:
      (number of candidates,) bool.

    Raises:
      ValueError: these are no rows, or of another length or type than the candidates, as which no
        two could be equal bit by bit.
    """
    require_shape("rows", rows, (None, None), "give (N, d)")
    require_shape("candidates", candidates, (None, rows.shape[1]), "give rows of the same length")
    if rows.dtype != candidates.dtype:
        raise ValueError(
            f"candidates have type {candidates.dtype}, but rows {rows.dtype}: give both one type"
        )
    first = first_occurrence(jnp.concatenate([rows, candidates]))
    return first[rows.shape[0] :] < rows.shape[0]
