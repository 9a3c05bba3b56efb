"""On eight fake devices."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from hierjax.models.conv_stack import ConvStack
from hierjax.runs.parallel import data_mesh, map_seeds
from hierjax.sharding import partition
from hierjax.tasks.grammars import draw_random_hierarchy
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.train.descent import Descent
from hierjax.train.network import Network

KEY = jax.random.key(0)
SPEC = RandomHierarchySpec(4, 4, 2, 2, 3)
MODEL_PARALLEL = (1, 2, 4, 8)


def trained(mesh, width=512, **more):
    """A state after 100 steps by momentum, seen to fall, and the program that takes them.

    The kernels of width 512 are large enough to be divided along "data", too.
    """
    batch = draw_random_hierarchy(KEY, SPEC).sample(KEY, 256)
    descent = Descent(lambda rate: optax.sgd(rate, momentum=0.9), (0.05,), 100, 16, mesh=mesh)
    layer = Network(ConvStack((2, 2, 2), 4, 4, width, **more), descent)
    seed = jax.tree.map(lambda x: x[None], (KEY, batch.inputs, batch.labels))

    def advance(key, state, inputs, labels):
        return layer.advance(key, state, inputs, labels)

    start = jax.jit(jax.vmap(layer.start))(*seed)
    mapped = map_seeds(advance, data_mesh(1) if mesh is None else mesh)
    return mapped(seed[0], start, *seed[1:]), mapped.lower(seed[0], start, *seed[1:])


@pytest.fixture(scope="module")
def alone():
    return trained(None)[0]


@pytest.mark.parametrize("model_parallel", MODEL_PARALLEL)
def test_every_mesh_trains_what_one_device_trains(alone, model_parallel):
    state, _ = trained(data_mesh(8, model_parallel))
    np.testing.assert_allclose(state.loss, alone.loss, atol=1e-5)
    assert state.loss < 1.0
    for found, wanted in zip(*map(jax.tree.leaves, (state, alone)), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("model_parallel", MODEL_PARALLEL)
def test_every_device_holds_its_part_of_weights_and_momentum(model_parallel):
    state, _ = trained(data_mesh(8, model_parallel))
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


def test_layers_are_gathered_and_no_state_is():
    """What is gathered is one kernel, not divided along "model", or less; nothing is of all."""
    _, lowered = trained(data_mesh(8, 2), precision="bfloat16")
    text = lowered.compile().as_text()
    assert "all-gather" in text


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
