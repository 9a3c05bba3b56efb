"""What holds for every task: the contract that learners and splits stand on."""

import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp


def take(tree: Any, rows: int | slice) -> Any:
    """The given rows of every leaf."""
    return jax.tree.map(lambda leaf: leaf[rows], tree)


def check_task_laws(draw_task: Callable[[jax.Array], Any], atol: float = 0.0) -> None:
    """Asserts the laws of a task that is drawn from a key and has sample(key, n).

    To the bit, or to an absolute tolerance for tasks of real numbers.

    The same key gives the same data; the first examples do not depend on how many are asked for;
    other keys give other data; vmap over tasks and keys, under jit, equals the loop outside of it.
    """
    same = functools.partial(chex.assert_trees_all_close, atol=atol, rtol=0)
    task, key = draw_task(jax.random.key(1)), jax.random.key(2)
    batch = task.sample(key, 50)
    same(batch, task.sample(key, 50))
    same(take(batch, slice(17)), task.sample(key, 17))

    other = task.sample(jax.random.key(3), 50)
    assert not jnp.array_equal(batch.inputs, other.inputs)

    task_keys, keys = jax.random.split(jax.random.key(4), (2, 3))
    # Of as many examples as before, whose program is there.
    many = jax.jit(jax.vmap(lambda a, b: draw_task(a).sample(b, 50)))(task_keys, keys)
    for lane in range(3):
        one = draw_task(task_keys[lane]).sample(keys[lane], 50)
        same(take(many, lane), one)
