import jax
import numpy as np
import pytest

from hierjax.runs import conditions, record
from hierjax.runs.conditions import PINNED, options_here, under
from hierjax.runs.parallel import root_key, seed_keys
from hierjax.runs.record import RunFolder

OTHERWISE = {
    "enable_x64": True,
    "default_prng_impl": "rbg",
    "threefry_partitionable": False,
    "numpy_dtype_promotion": "strict",
    "numpy_rank_promotion": "raise",
    "disable_jit": True,
}


def draws():
    """Keys, bits and normal numbers of two seeds."""
    keys = seed_keys(5, 2)
    with_shapes = [
        jax.random.key_data(keys),
        jax.vmap(lambda key: jax.random.bits(key, (9,)))(keys),
    ]
    return [*map(np.asarray, with_shapes), np.asarray(jax.random.normal(keys[1], (3,)))]


def test_pinned_options_give_the_same_draws_whatever_those_around_are():
    with under(PINNED):
        expected = draws()
    with under(OTHERWISE):
        with under(PINNED):
            found = draws()
        assert options_here()["default_prng_impl"] == "rbg"
    for one, other in zip(expected, found, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("seed", [0, 5, 2**32 - 1])
def test_the_root_key_is_that_of_jax_without_its_offset(seed):
    expected = jax.random.key_data(jax.random.key(seed, impl="threefry2x32"))
    offset = jax.config.values["jax_random_seed_offset"]
    try:
        jax.config.update("jax_random_seed_offset", 7)
        assert jax.random.key_impl(root_key(seed)) == "threefry2x32"
        np.testing.assert_array_equal(jax.random.key_data(root_key(seed)), expected)
    finally:
        jax.config.update("jax_random_seed_offset", offset)


def folder(path):
    return RunFolder(path, "test", {"seed": 0})


def test_training_goes_on_under_the_conditions_under_which_it_began(tmp_path, monkeypatch):
    folder(tmp_path).close()
    changes = {"jax": "0.1", "hierjax": "0 (source 0)", "default_matmul_precision": "bfloat16"}
    for name, value in changes.items():
        changed = conditions.conditions() | {name: value}
        monkeypatch.setattr(record, "conditions", lambda changed=changed: changed)
        opened = folder(tmp_path)
        with pytest.raises(ValueError, match=rf"holds part of a run with {name} .*, and here is"):
            opened.take_up(1, 3)
        opened.take_up(3, 3)  # What is finished is only measured.
        opened.close()


def test_what_was_not_begun_begins_under_the_conditions_of_the_day(tmp_path, monkeypatch):
    folder(tmp_path).close()
    here = conditions.conditions()
    monkeypatch.setattr(record, "conditions", lambda: here | {"jax": "0.1"})
    opened = folder(tmp_path)
    opened.take_up(0, 3)
    opened.take_up(1, 3)
    monkeypatch.setattr(record, "conditions", lambda: here)
    with pytest.raises(ValueError, match=r"holds part of a run with jax 0\.1, and here is"):
        opened.take_up(1, 3)
    opened.close()


def test_a_run_that_does_not_tell_its_conditions_is_not_gone_on_with(tmp_path):
    folder(tmp_path).close()
    config = tmp_path / "config.json"
    for damage in ('"conditions": 5, "were": {', '"were": {'):
        config.write_text(config.read_text().replace('"conditions": {', damage))
        opened = folder(tmp_path)
        with pytest.raises(ValueError, match="holds part of a run with python absent, and here"):
            opened.take_up(1, 3)
        opened.close()
