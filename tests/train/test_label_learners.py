import jax
import numpy as np
import pytest

from hierjax.measure.label_report import label_report
from hierjax.tasks.label_hierarchies import automaton, draw_reversible_hierarchy
from hierjax.train.label_learners import (
    end_to_end_label_learner,
    linear_label_learner,
    shallow_label_learner,
)

KEY = jax.random.key(1)
CNOT = draw_reversible_hierarchy(jax.random.key(0), "cnot", 8, 2)


def accuracy(layers, task, n):
    batch, test = task.sample(KEY, n), task.sample(jax.random.key(2), 300)
    params = jax.jit(layers[0].fit)(KEY, batch.inputs, batch.labels)
    return label_report(layers[0].apply(params, test.inputs)[..., -batch.labels.shape[-1] :], test)


def test_the_linear_probe_sees_sums_and_no_products():
    assert accuracy(linear_label_learner(8, 8), CNOT, 1000).accuracy[0] < 0.6
    shift = automaton(170, 8, 2)  # Every cell takes its right neighbour's value.
    window = accuracy(linear_label_learner(1, 2, (8,), 2), shift, 200)
    np.testing.assert_allclose(window.accuracy, [1, 1])
    narrow = accuracy(linear_label_learner(1, 2, (8,), 1), shift, 200)
    assert narrow.accuracy[0] == 1
    assert narrow.accuracy[1] < 0.65


def test_the_shallow_probe_sees_products():
    assert accuracy(shallow_label_learner(8), CNOT, 2000).accuracy[0] > 0.95


@pytest.fixture(scope="module")
def end_to_end():
    return {
        last: accuracy(end_to_end_label_learner(8, 2, 3000, last=last), CNOT, 3000)
        for last in (None, 4)
    }


def test_end_to_end_learns_all_levels_from_all_labels(end_to_end):
    assert end_to_end[None].accuracy.min() > 0.95


def test_labels_that_are_not_shown_are_not_learned(end_to_end):
    assert 0.3 < end_to_end[4].accuracy[0] < 0.7
    assert end_to_end[4].accuracy[1] > 0.6
