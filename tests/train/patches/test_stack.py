import math

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hierjax.tasks.batch import Batch
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.train.patches.config import PatchLayerConfig
from hierjax.train.patches.stack import string_bounds, strings_of_layer

SPEC = RandomHierarchySpec(8, 8, (2, 3, 4), 2, 3)
SPLIT = PatchLayerConfig(split_strings=True)


def batch_of(n):
    return Batch(np.arange(n)[:, None], np.arange(n), ())


@given(n=st.integers(40, 2**31))
def test_layers_have_strings_in_proportion_to_the_rules_above(n):
    counts = np.diff(string_bounds(SPEC, n))
    assert counts.sum() == n
    np.testing.assert_allclose(counts, n * np.array([24, 6, 2]) / 32, atol=1)


def test_every_string_is_of_one_layer():
    seen = [strings_of_layer(SPEC, SPLIT, batch_of(64), index).labels for index in range(3)]
    assert [len(each) for each in seen] == [48, 12, 4]
    assert np.concatenate(seen).tolist() == list(range(64))
    assert strings_of_layer(SPEC, PatchLayerConfig(), batch_of(64), 0).labels.shape == (64,)


def test_too_few_strings_for_every_layer_are_refused():
    least = math.ceil(32 / 2)
    assert np.diff(string_bounds(SPEC, least)).min() == 1
    with pytest.raises(ValueError, match=r"5 train strings leave none .* give at least 16"):
        string_bounds(SPEC, 5)
    with pytest.raises(ValueError, match="leave none"):
        jax.eval_shape(lambda batch: strings_of_layer(SPEC, SPLIT, batch, 0), batch_of(5))
