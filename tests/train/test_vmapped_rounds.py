"""Rounds of a descent, mapped over seeds."""

import math
import re

import chex
import jax
import jax.numpy as jnp

from hierjax.tasks.grammars import draw_random_hierarchy
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.train.learners import NetworkConfig, end_to_end_learner

KEY = jax.random.key(1)
SPEC = RandomHierarchySpec(4, 4, 2, 2, 2)


def vmapped_round(num_seeds):
    """A round of the learner trained end to end, mapped over seeds, and its arguments."""
    (layer,) = end_to_end_learner(SPEC, 512, NetworkConfig(num_steps=250, batch_size=11, width=13))
    keys = jax.random.split(KEY, num_seeds)
    batch = jax.vmap(
        lambda key: draw_random_hierarchy(key, SPEC).sample(jax.random.fold_in(key, 1), 512)
    )(keys)
    start = jax.vmap(layer.start)(keys, batch.inputs, batch.labels)
    return layer, (keys, start, batch.inputs, batch.labels)


def test_seeds_in_lanes_choose_between_no_kernels():
    """Of 3 lanes; the batch and the widths are such that no activations are of a kernel's size."""
    layer, args = vmapped_round(3)
    text = jax.jit(jax.vmap(layer.advance)).lower(*args).as_text()
    kernels = {math.prod(leaf.shape) for leaf in jax.tree.leaves(args[1].params) if leaf.ndim > 2}
    sizes = [
        math.prod(map(int, shape.split("x")[:-1]))
        for shape in re.findall(r"stablehlo\.select.*tensor<([0-9x]+x)f32>", text)
    ]
    assert sizes
    assert not kernels & set(sizes)


def test_seeds_in_lanes_are_those_of_a_loop():
    """After the three rounds of the first rate, the last with spare steps, and what is decided."""

    def rounds(key, state, inputs, labels):
        for _ in range(3):
            state = layer.advance(key, state, inputs, labels)
            state = layer.decide(key, state, inputs, labels)
        return state

    layer, args = vmapped_round(3)
    lanes = jax.jit(jax.vmap(rounds))(*args)
    alone = [jax.jit(rounds)(*jax.tree.map(lambda x, i=i: x[i], args)) for i in range(3)]
    chex.assert_trees_all_close(lanes, jax.tree.map(lambda *x: jnp.stack(x), *alone), atol=1e-5)
    assert lanes.choice.tolist() == [1, 1, 1]
