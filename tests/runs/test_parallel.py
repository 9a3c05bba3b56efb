"""On eight fake devices."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from hierjax.runs.parallel import (
    IMPLS,
    data_mesh,
    map_seeds,
    seed_chunks,
    seed_keys,
    seed_mesh,
)
from hierjax.sharding import share_batch


def solve(key, data):
    """Something with loops, random numbers, integers and a key in it."""
    matrix = jax.random.normal(key, (6, 6)) + 8 * jnp.eye(6)
    steps, value = jax.lax.while_loop(
        lambda state: (state[0] < 50) & (jnp.abs(matrix @ state[1] - data).max() > 1e-6),
        lambda state: (state[0] + 1, state[1] - 0.1 * (matrix @ state[1] - data)),
        (jnp.int32(0), jnp.zeros(6)),
    )
    return {"value": value, "steps": steps, "key": jax.random.fold_in(key, 1)}


@pytest.mark.parametrize("num_devices", [1, 3, 8])
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("num_seeds", [1, 7, 16])
def test_mapped_equals_one_by_one(num_devices, impl, num_seeds):
    keys, data = seed_keys(0, num_seeds), jnp.arange(6.0 * num_seeds).reshape(num_seeds, 6)
    mapped = map_seeds(solve, seed_mesh(num_devices), impl)(keys, data)
    for seed in range(num_seeds):
        alone = jax.jit(solve)(keys[seed], data[seed])
        assert mapped["steps"][seed] == alone["steps"]
        np.testing.assert_allclose(mapped["value"][seed], alone["value"], rtol=1e-5)
        chex.assert_trees_all_equal(
            jax.random.key_data(mapped["key"][seed]), jax.random.key_data(alone["key"])
        )


@pytest.mark.parametrize("impl", IMPLS)
def test_every_device_has_its_share(impl):
    keys = seed_keys(0, 16)
    value = map_seeds(solve, seed_mesh(8), impl)(keys, jnp.ones((16, 6)))["value"]
    assert {shard.data.shape for shard in value.addressable_shards} == {(2, 6)}
    assert len({shard.device for shard in value.addressable_shards}) == 8


def test_few_seeds_need_few_devices():
    value = map_seeds(lambda key: jax.random.normal(key), seed_mesh(8))(seed_keys(0, 3))
    assert len(value.devices()) == 3


@pytest.mark.parametrize("lengths", [(3, 2), (2, 1), (5, 4)])
def test_arguments_of_different_lengths_are_refused(lengths):
    keys, data = seed_keys(0, lengths[0]), jnp.ones((lengths[1], 6))
    for mesh in (seed_mesh(2), data_mesh(2)):
        with pytest.raises(ValueError, match="arguments have leading axes of"):
            map_seeds(solve, mesh)(keys, data)
    with pytest.raises(ValueError, match="arguments have leading axes of"):
        map_seeds(solve)(keys, 1.0)


def test_all_devices_are_the_default():
    value = map_seeds(lambda key: jax.random.normal(key))(seed_keys(0, 8))
    assert len(value.devices()) == 8


def test_a_function_is_traced_once():
    traces = []

    def traced(key):
        traces.append(key)
        return jax.random.normal(key)

    mapped = map_seeds(traced, seed_mesh(2))
    for _ in range(3):
        mapped(seed_keys(0, 4))
    assert len(traces) == 1


def test_devices_share_a_batch():
    mesh = data_mesh(4)
    shardings = []

    def mean(key, data):
        shared = share_batch(data, mesh)
        jax.debug.inspect_array_sharding(shared, callback=shardings.append)
        return (shared**2).mean()

    data = jax.random.normal(jax.random.key(0), (3, 8, 5))
    means = map_seeds(mean, mesh)(seed_keys(0, 3), data)
    np.testing.assert_allclose(means, (data**2).mean(axis=(1, 2)), rtol=1e-6)
    assert len(means.devices()) == 4
    assert [sharding.spec for sharding in shardings] == [PartitionSpec("data")]


def test_a_batch_that_devices_do_not_divide_is_refused():
    mesh = data_mesh(4)
    with pytest.raises(ValueError, match="a batch of 6 cannot be divided between 4 devices"):
        jax.jit(lambda x: share_batch(x, mesh))(jnp.ones((6, 2)))


def test_unknown_requests_are_refused():
    with pytest.raises(ValueError, match="impl='xmap' is unknown: choose one of shard_map, pmap"):
        map_seeds(solve, seed_mesh(1), "xmap")
    for make_mesh in (seed_mesh, data_mesh):
        for num_devices in (0, 9):
            with pytest.raises(
                ValueError, match=f"num_devices={num_devices} is not between 1 and 8"
            ):
                make_mesh(num_devices)


@pytest.mark.parametrize(("num_seeds", "num_devices"), [(1, 1), (5, 1), (5, 2), (3, 8), (16, 8)])
def test_chunks_hold_every_seed_once(num_seeds, num_devices):
    chunks = list(seed_chunks(num_seeds, seed_mesh(num_devices), 1))
    assert {len(lanes) for lanes, _ in chunks} == {min(num_devices, num_seeds)}
    kept = np.concatenate([lanes[:count] for lanes, count in chunks])
    np.testing.assert_array_equal(kept, np.arange(num_seeds))
    assert all(lanes.max() < num_seeds for lanes, _ in chunks)


def test_seeds_do_not_depend_on_their_number():
    few, many = seed_keys(3, 2), seed_keys(3, 5)
    np.testing.assert_array_equal(jax.random.key_data(few), jax.random.key_data(many)[:2])
