import chex
import jax
import numpy as np
import pytest

from hierjax.tasks.grammars import draw_random_hierarchy
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.train import LabelBaselines, QuadraticConfig
from hierjax.train.learners import (
    OPTIMIZERS,
    SCHEDULES,
    KernelConfig,
    NetworkConfig,
    ShallowConfig,
    end_to_end_learner,
    kernel_learner,
    shallow_learner,
)

SPEC = RandomHierarchySpec(3, (4, 5), 2, (2, 3), 2)


def test_networks_fit_the_strings_of_any_tree():
    tokens = draw_random_hierarchy(jax.random.key(0), SPEC).sample(jax.random.key(1), 5).inputs
    for layers in (end_to_end_learner(SPEC, 100), shallow_learner(SPEC, 100)):
        scores, _ = layers[0].module.init_with_output(jax.random.key(2), tokens)
        assert scores.shape == (5, 3)
    assert kernel_learner(SPEC)[0].embed(tokens).shape == (5, 6 * 5)


def test_sizes_follow_from_the_task():
    descent = end_to_end_learner(SPEC, 10_000)[0].descent
    assert descent.num_steps * descent.batch_size == 20 * 10_000
    assert end_to_end_learner(SPEC, 10)[0].descent.num_steps == 1500
    assert end_to_end_learner(SPEC, 10)[0].module.width == 8 * 5
    assert shallow_learner(SPEC, 10, ShallowConfig(min_steps=7))[0].descent.num_steps >= 7
    given = end_to_end_learner(SPEC, 10_000, NetworkConfig(width=7, batch_size=3, num_steps=11))[0]
    assert (given.module.width, given.descent.batch_size, given.descent.num_steps) == (7, 3, 11)


def test_less_memory_is_taken_for_the_same_steps():
    """In parts, and with layers computed anew."""
    batch = draw_random_hierarchy(jax.random.key(0), SPEC).sample(jax.random.key(1), 50)
    found = []
    for choices in ({}, {"parts": 4, "remat": True}):
        config = NetworkConfig(num_steps=20, learning_rates=(0.1,), **choices)
        (layer,) = end_to_end_learner(SPEC, 50, config)
        params = jax.jit(layer.fit)(jax.random.key(2), batch.inputs, batch.labels)
        found.append(layer.apply(params, batch.inputs))
    chex.assert_trees_all_close(*found, atol=1e-4)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_updates_follow_the_schedule(optimizer, schedule):
    """Of a constant gradient: steps stay of one size, or shrink to nothing."""
    config = NetworkConfig(optimizer, schedule, num_steps=200)
    transform = end_to_end_learner(SPEC, 100, config)[0].descent.optimizer(0.1)
    state, sizes = transform.init(np.float32(0)), []
    for _ in range(201):
        update, state = transform.update(np.float32(1), state)
        sizes.append(-float(update))
    assert max(sizes) > 0.0999
    if schedule == "cosine":
        np.testing.assert_allclose(sizes[-1], 0, atol=1e-6)
    else:
        np.testing.assert_allclose(sizes[-1], max(sizes), rtol=1e-3)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"optimizer": "lion"}, "optimizer='lion' is unknown: choose one of adam, momentum, sgd"),
        ({"schedule": "linear"}, "schedule='linear' is unknown"),
        ({"width": 0}, "width=0 must be from 1 to 65536"),
        ({"batch_size": 3 * 10**9}, "batch_size=3000000000 must be from 1 to 1048576"),
        ({"num_steps": 3 * 10**9}, "num_steps=3000000000 must be"),
    ],
)
def test_bad_choices_are_refused(choice, words):
    with pytest.raises(ValueError, match=words):
        NetworkConfig(**choice)


def test_kernels_and_ridges_are_those_of_the_config():
    config = KernelConfig(kernels=("rbf",), bandwidths=(0.5, 2.0), ridges=(0.1,), most_tried=64)
    (machine,) = kernel_learner(SPEC, config)
    assert [kernel.name for kernel in machine.kernels] == ["rbf 0.5", "rbf 2"]
    assert (machine.ridges, machine.most_tried) == ((0.1,), 64)


@pytest.mark.parametrize(
    ("config", "choice", "words"),
    [
        (KernelConfig, {"kernels": ("rbf", "cubic")}, "kernels=rbf,cubic must be different ones"),
        (KernelConfig, {"bandwidths": ()}, "bandwidths= is empty"),
        (KernelConfig, {"ridges": (-1.0,)}, "ridges=-1.0 must be numbers at least 0"),
        (ShallowConfig, {"learning_rates": (0.1, float("nan"))}, "learning_rates=0.1,nan must be"),
        (ShallowConfig, {"width_per_symbol": 0}, "width_per_symbol=0 must be"),
        (NetworkConfig, {"learning_rates": ()}, "learning_rates= is empty"),
        (
            QuadraticConfig,
            {"widths": (16, 4)},
            "widths=16,4 must be numbers from 1 to 65536 that ascend",
        ),
        (QuadraticConfig, {"activations": ("sine",)}, "activations=sine must be different ones"),
        (LabelBaselines, {"penalty": 0.0}, "penalty=0.0 must be above 0"),
        (LabelBaselines, {"shallow_width": 2**15}, "shallow_width=32768 must be from 1 to 16384"),
    ],
)
def test_bad_tunings_are_refused(config, choice, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        config(**choice)
