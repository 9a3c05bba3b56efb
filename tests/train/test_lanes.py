import jax
import jax.numpy as jnp
import numpy as np

from hierjax.train.lanes import any_lane, change_where

FLAGS = jnp.array([[False, True, False], [False, False, False]])
STATE = {"sum": jnp.arange(6.0).reshape(2, 3), "key": jax.random.split(jax.random.key(0), (2, 3))}


def change(state):
    return {"sum": state["sum"] + 10, "key": jax.random.fold_in(state["key"], 1)}


def test_what_is_flagged_changes_and_nothing_else():
    changed = jax.vmap(jax.vmap(lambda flag, state: change_where(flag, change, state)))(
        FLAGS, STATE
    )
    np.testing.assert_array_equal(changed["sum"], [[0, 11, 2], [3, 4, 5]])
    moved = jax.random.key_data(changed["key"]) != jax.random.key_data(STATE["key"])
    np.testing.assert_array_equal(moved.any(axis=-1), FLAGS)
    assert (
        change_where(jnp.bool_(True), change, jax.tree.map(lambda x: x[0, 0], STATE))["sum"] == 10
    )


def test_under_vmap_a_branch_stays_a_branch():
    """It is computed for all lanes if one has the flag set, and otherwise for none."""
    calls = []

    def counted(state):
        jax.debug.callback(calls.append, state["sum"])
        return change(state)

    lanes = jax.jit(jax.vmap(lambda flag, state: change_where(flag, counted, state)))
    for flags in FLAGS:
        lanes(flags, jax.tree.map(lambda x: x[0], STATE))
    jax.effects_barrier()
    assert len(calls) == 3


def test_lanes_of_all_axes_count():
    flags = jax.vmap(jax.vmap(any_lane))(FLAGS)
    np.testing.assert_array_equal(flags, True)
    assert not jax.vmap(any_lane)(FLAGS[1]).any()
    assert any_lane(jnp.bool_(True))
