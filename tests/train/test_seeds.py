import collections

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax import parallel
from hierjax.parallel import seed_chunks, seed_keys
from hierjax.train.seeds import SeedsTrainer


def make_data(key):
    return jax.random.normal(key, (5,))


def make_step(index):
    def step(key, data, below):
        mean = data.mean() + sum(params["mean"] for params in below)
        return {"mean": mean, "index": jnp.int32(index)}, {"twice": 2 * mean}

    return step


def fit_all(trainer):
    finished, calls = [], []
    for _ in range(3):
        finished.append(trainer.fit_layer(finished, calls.append))
    return finished, calls


def test_layers_stack_seeds_and_see_those_below():
    keys = seed_keys(0, 4)
    finished, calls = fit_all(SeedsTrainer(keys, make_data, make_step, 3))
    assert sum(calls) == 3 * 4
    means = np.array([make_data(key).mean() for key in keys])
    np.testing.assert_allclose(finished[0].params["mean"], means, rtol=1e-6)
    np.testing.assert_allclose(finished[1].report["twice"], 4 * means, rtol=1e-6)
    np.testing.assert_allclose(finished[2].params["mean"], 4 * means, rtol=1e-6)
    assert finished[2].params["index"].tolist() == [2] * 4


def test_layouts_are_those_of_the_fitted_layers():
    trainer = SeedsTrainer(seed_keys(0, 3), make_data, make_step, 3)
    for layout, layer in zip(trainer.layouts, fit_all(trainer)[0], strict=True):
        chex.assert_trees_all_equal_shapes_and_dtypes(layout, layer)


def test_each_step_is_traced_once():
    traces = collections.Counter()

    def count(name, function):
        def counted(*args):
            traces[name] += 1
            return function(*args)

        return counted

    steps = [count(index, make_step(index)) for index in range(3)]
    fit_all(SeedsTrainer(seed_keys(0, 3), count("data", make_data), steps.__getitem__, 3))
    assert traces == {"data": 1, 0: 1, 1: 1, 2: 1}


def test_padding_is_dropped(monkeypatch):
    monkeypatch.setattr(parallel.jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(parallel, "_LANES_ON_ACCELERATOR", 3)
    chunks = list(seed_chunks(7))
    assert [lanes.tolist() for lanes, _ in chunks] == [[0, 1, 2], [3, 4, 5], [6, 6, 6]]
    assert [count for _, count in chunks] == [3, 3, 1]
    in_chunks, _ = fit_all(SeedsTrainer(seed_keys(0, 7), make_data, make_step, 3))
    monkeypatch.undo()
    one_by_one, _ = fit_all(SeedsTrainer(seed_keys(0, 7), make_data, make_step, 3))
    for ours, theirs in zip(in_chunks, one_by_one, strict=True):
        chex.assert_trees_all_close(ours.params, theirs.params, rtol=1e-6)


def test_seeds_do_not_depend_on_their_number():
    few, many = seed_keys(3, 2), seed_keys(3, 5)
    np.testing.assert_array_equal(jax.random.key_data(few), jax.random.key_data(many)[:2])


def test_a_layer_that_is_not_finite_is_named():
    def broken(index):
        def step(key, data, below):
            params, report = make_step(index)(key, data, below)
            bad = (index == 1) & (data[0] > 0)
            return params | {"mean": jnp.where(bad, jnp.nan, params["mean"])}, report

        return step

    keys = seed_keys(0, 4)
    bad = [seed for seed in range(4) if make_data(keys[seed])[0] > 0]
    assert 0 < len(bad) < 4
    trainer = SeedsTrainer(keys, make_data, broken, 3)
    first = trainer.fit_layer([], lambda count: None)
    names = ", ".join(map(str, bad))
    with pytest.raises(FloatingPointError, match=f"layer 2 of 3 is not finite for seeds {names}:"):
        trainer.fit_layer([first], lambda count: None)
