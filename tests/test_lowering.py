"""Every main program lowers for TPUs and GPUs on a machine that has none."""

import functools
import importlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.runs.stages import layer_stages
from hierjax.tasks import tables
from hierjax.tasks.grammars import draw_random_hierarchy
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.tasks.rows import first_occurrence
from hierjax.tasks.splits import make_split

NUM = 2**17  # In blocks on a CPU and on a TPU.
SPEC = RandomHierarchySpec(16, 16, 8, 2, 5)
PRIOR = np.full(16, 1 / 16, np.float32)
WEIGHTS = [np.tile(np.float32(2.0 ** -np.array([1, 2, 3, 4, 5, 6, 7, 7])), (16, 1))] * 5
LARGE_CONSTANT = 2 * 2**20  # Characters: a byte is printed as two.
SMALL = {
    "layerwise_rhm": {
        "vocab_size": 4,
        "num_classes": 4,
        "depth": 2,
        "num_train": 80,
        "num_test": 50,
    },
    "label_hierarchy": {"num_inputs": 8, "depth": 2, "num_train": 100, "extra_blocks": 0},
    "neural_representations": {
        "input_dim": 3,
        "degree": 2,
        "num_train": (60,),
        "learners": ("ntk_raw", "quad_rep"),
    },
    "staircase": {"num_inputs": 6, "degree": 3, "num_steps": 100, "width": 8, "block_width": 8},
    "layer_compression": {"width": 8, "num_layers": 2, "num_inputs": 64, "num_classes": 3},
    "deep_quadratic": {"num_inputs": 8, "num_terms": 4, "depth": 2, "num_train": (40,)},
    "parity_budget": {"num_inputs": 8, "degrees": (2,), "num_steps": 160, "width": 8},
    "sample_complexity": {
        "num_rules": (2,),
        "depth": (2,),
        "num_test": 20,
        "train_multiples": (1.0,),
        "learners": ("layerwise", "end_to_end"),
    },
}


def lowered(function, *args, platforms=(("tpu", "cuda"),)):
    """Texts of a program for groups of platforms, of which is asserted what holds for every one."""
    traced = jax.jit(function).trace(*args)
    texts = [traced.lower(lowering_platforms=each).as_text() for each in platforms]
    for text in texts:
        assert not re.search(r"tensor<(\d+x)*f64>", text)
        assert "callback" not in text
        assert not re.search(r"tensor<[^>]*\?", text)
        assert max(map(len, text.splitlines())) < LARGE_CONSTANT
        # Of a product of float32 at its default precision a GPU or a TPU makes less.
        products = [line for line in text.splitlines() if "dot_general" in line]
        factors = re.compile(r": \(tensor<(\d+x)*f32>, tensor<(\d+x)*f32>\)")
        coarse = [line for line in products if factors.search(line) and "HIGHEST" not in line]
        assert not coarse, coarse[0]
    return texts


@pytest.mark.parametrize("weights", [(None, None), (WEIGHTS, PRIOR)], ids=["plain", "weighted"])
def test_strings_are_made_without_gathers_on_a_tpu(weights):
    grammar, key = draw_random_hierarchy(jax.random.key(0), SPEC, *weights), jax.random.key(1)

    def sample(grammar, key):
        return grammar.sample(key, NUM)

    texts = lowered(sample, grammar, key, platforms=(("tpu",), ("cuda",), ("cpu",)))
    assert ["stablehlo.gather" in text for text in texts] == [False, True, True]


def test_large_tables_are_gathered_on_a_tpu():
    index = jnp.zeros(10, jnp.int32)
    small = jnp.zeros((tables.MOST_ROWS, 2), jnp.uint8)
    large = jnp.zeros((tables.MOST_ROWS + 1, 2), jnp.uint8)
    texts = [
        lowered(tables.look_up, table, index, platforms=(("tpu",),))[0] for table in (small, large)
    ]
    assert ["stablehlo.gather" in text for text in texts] == [False, True]


def test_splits_lower():
    grammar = draw_random_hierarchy(jax.random.key(0), SPEC)
    lowered(lambda grammar, key: make_split(grammar, key, 5000, 100), grammar, jax.random.key(1))


def test_a_tpu_sorts_by_one_key_at_a_time():
    rows = jnp.zeros((100, 32), jnp.uint8)

    sorts = [
        re.findall(r"stablehlo.sort\"\(([^)]*)\)", t)
        for t in lowered(first_occurrence, rows, platforms=(("tpu",), ("cuda",)))
    ]
    assert [[len(each.split(",")) for each in found] for found in sorts] == [[2], [9]]


@pytest.mark.parametrize("name", SMALL)
def test_experiments_lower(name):
    """All that a seed goes through: data, layers or rounds, and measures."""
    experiment = importlib.import_module(f"experiments.{name}").EXPERIMENT
    request = experiment.make_request(**SMALL[name])
    programs = _of_points if hasattr(experiment, "points") else _of_learners
    for program, *args in programs(experiment, request):
        lowered(program, *args)


def _of_points(experiment, request):
    key = jax.random.key(0)
    for point in experiment.points(request):
        yield point.draw, key
        yield point.measure, key, jax.eval_shape(point.draw, key)


def _of_learners(experiment, request):
    key = jax.random.key(0)

    def draw(key):
        return experiment.draw(key, request)

    yield draw, key
    for stack in experiment.learners(request).values():
        yield functools.partial(_learn, experiment, stack), key, jax.eval_shape(draw, key)


def _learn(experiment, stack, key, data):
    """Fits and measures the layers of a stack; of a layer that is fitted in rounds one round."""
    below, measured = (), []
    for stage in layer_stages(stack.layers, stack.examples):
        fitted = stage.start(key, data, below)
        if stage.advance is not None:
            context, state = fitted
            fitted = stage.finish(context, stage.advance(key, context, state))
        for measure in experiment.measures.values():
            measured.append(measure.function(stack.layers, stack.view(data), below, fitted))
        below = (*below, fitted)
    return below, measured
