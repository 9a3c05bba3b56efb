"""On eight fake devices."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from hierjax.models.conv_stack import ConvStack
from hierjax.models.residual_stack import ResidualStack
from hierjax.runs.parallel import data_mesh, map_seeds
from hierjax.sharding import partition
from hierjax.tasks.grammars import draw_random_hierarchy
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.tasks.token_objectives import next_token
from hierjax.train.descent import Descent
from hierjax.train.losses import TOKEN_CROSS_ENTROPY, label_loss
from hierjax.train.network import Network
from hierjax.train.token_learners import TransformerConfig

KEY = jax.random.key(0)
SPEC = RandomHierarchySpec(4, 4, 2, 2, 3)


def trained(mesh, width=512, run=True, **more):
    """A state after 100 steps by momentum, and the program that takes them.

    The kernels of width 512 are large enough to be divided along "data", too.
    """
    batch = draw_random_hierarchy(KEY, SPEC).sample(KEY, 256)
    descent = Descent(lambda rate: optax.sgd(rate, momentum=0.9), (0.05,), 100, 16, mesh=mesh)
    layer = Network(ConvStack((2, 2, 2), 4, 4, width, **more), descent)
    seed = jax.tree.map(lambda x: x[None], (KEY, batch.inputs, batch.labels))
    start = jax.jit(jax.vmap(layer.start))(*seed)
    mapped = map_seeds(layer.advance, data_mesh(1) if mesh is None else mesh)
    args = seed[0], start, *seed[1:]
    return mapped(*args) if run else None, mapped.lower(*args)


@pytest.fixture(scope="module")
def alone():
    return trained(None)[0]


@pytest.mark.parametrize("model_parallel", [1, 2, 4, 8])
def test_every_mesh_trains_what_one_device_trains(alone, model_parallel):
    """And every device holds its part of the weights and of their momentum."""
    state, _ = trained(data_mesh(8, model_parallel))
    np.testing.assert_allclose(state.loss, alone.loss, atol=1e-5)
    assert 1e-3 < state.loss < 1.2
    for found, wanted in zip(*map(jax.tree.leaves, (state, alone)), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    for tree in (state.params, state.opt_state[0].trace):
        for name in ("layers_1", "layers_2"):
            kernel = tree["variables"]["params"][name]["kernel"]
            assert {shard.data.size for shard in kernel.addressable_shards} == {kernel.size // 8}


@pytest.mark.parametrize(
    ("name", "shape", "spec"),
    [
        ("params/layers_0/kernel", (2, 512, 512), (None, "data", "model")),
        ("1/trace/params/layers_1/kernel", (2, 512, 512), (None, "model", "data")),
        ("params/layers_10/kernel", (2, 512, 512), (None, "data", "model")),
        ("params/layers_0/kernel", (2, 8, 64), (None, None, "model")),
        ("params/layers_0/kernel", (2, 513, 511), (None, None, None)),
        ("params/layers_0/bias", (512,), ()),
        ("params/head/kernel", (512, 512), ()),
        ("params/blocks_0/first/kernel", (65, 64), (None, "model")),
        ("params/blocks_0/second/kernel", (64, 8), ("model", None)),
    ],
)
def test_the_rules(name, shape, spec):
    assert partition(name, shape, data_mesh(8, 2)) == PartitionSpec(*spec)


def test_what_is_gathered_is_a_layer_and_not_a_state():
    """Of two layers of 2 x 512 x 512, each divided in two: half a kernel, rounded, at a time."""
    text = trained(data_mesh(8, 2), precision="bfloat16", run=False)[1].compile().as_text()
    gathered = re.findall(r"= \(?(\w+\[[\d,]*\])[^=]* all-gather(?:-start)?\(", text)
    assert gathered
    sizes = [
        math.prod(map(int, filter(None, each[each.index("[") + 1 : -1].split(","))))
        for each in gathered
    ]
    assert max(sizes) <= 512**2


def test_layers_that_are_computed_anew_change_nothing(alone):
    again, _ = trained(None, remat=True)
    np.testing.assert_allclose(again.loss, alone.loss, atol=1e-6)


def test_half_precision_is_near_and_keeps_single_precision_weights(alone):
    half, lowered = trained(None, precision="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(half.params)} == {jnp.dtype(jnp.float32)}
    assert 1e-6 < abs(half.loss - alone.loss)[0] < 0.1
    products = [line for line in lowered.as_text().splitlines() if "stablehlo.dot_general" in line]
    sums = [line.split("->")[-1] for line in products if "bf16" in line]
    assert len(sums) >= 8
    assert all("f32" in each for each in sums)


@pytest.mark.parametrize("model_parallel", [0, 3, 16])
def test_weights_that_devices_cannot_share(model_parallel):
    with pytest.raises(ValueError, match=f"model_parallel={model_parallel} does not divide"):
        data_mesh(8, model_parallel)


@pytest.mark.parametrize("model_parallel", [1, 4])
def test_residual_stacks_are_divided_too(model_parallel):
    inputs = jax.random.rademacher(KEY, (64, 6), jnp.float32)
    labels = jnp.stack([inputs[:, 0] * inputs[:, 1], inputs[:, 2] * inputs[:, 3]], axis=1)
    states = []
    for mesh in (None, data_mesh(8, model_parallel)):
        descent = Descent(optax.sgd, (0.01,), 50, 16, mesh=mesh)
        layer = Network(ResidualStack(2, 2, 24), descent, loss=label_loss("square"))
        start = layer.start(KEY, inputs, labels)
        states.append(jax.jit(layer.advance)(KEY, start, inputs, labels))
    alone, shared = states
    np.testing.assert_allclose(shared.loss, alone.loss, atol=1e-5)
    first = shared.params["variables"]["params"]["blocks_1"]["first"]["kernel"]
    assert {shard.data.shape for shard in first.addressable_shards} == {(9, 24 // model_parallel)}


def test_a_transformer_is_trained_alike_on_a_mesh():
    strings = draw_random_hierarchy(KEY, SPEC).sample(KEY, 256).inputs
    examples = next_token(strings, 4)
    module = TransformerConfig(width=64, num_blocks=2, num_heads=4).module(4, 8, causal=True)

    def losses(mesh):
        descent = Descent(lambda rate: optax.sgd(rate, momentum=0.9), (0.01,), 50, 16, mesh=mesh)
        layer = Network(module, descent, loss=TOKEN_CROSS_ENTROPY)
        state = jax.jit(layer.start)(KEY, *examples)
        return jax.jit(layer.advance)(KEY, state, *examples)

    alone, shared = losses(None), losses(data_mesh(8, 2))
    np.testing.assert_allclose(shared.loss, alone.loss, rtol=1e-5)
    assert alone.loss < 8 * math.log(4)
    first = shared.params["variables"]["params"]["layers_0"]["first"]["kernel"]
    assert {shard.data.shape for shard in first.addressable_shards} == {(64, 128)}
