import dataclasses

import jax
import numpy as np
import pytest

from hierjax.tasks.grammars import draw_random_hierarchy
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.train.layerwise import RoundsLayer, forward, layer_key
from hierjax.train.patches.config import PatchLayerConfig
from hierjax.train.patches.descent import DescentPatchLayer
from hierjax.train.patches.stack import patch_layers
from hierjax.train.patches.table import TableLayer
from hierjax.train.solvers import DESCENTS

SPEC = RandomHierarchySpec(3, 4, 2, 2, 3)
SMALL = PatchLayerConfig(num_features=32)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def below():
    """A train set through the first layer."""
    batch = draw_random_hierarchy(jax.random.key(1), SPEC).sample(jax.random.key(2), 600)
    layers = patch_layers(SPEC, SMALL)
    params = layers[0].fit(layer_key(KEY, 0), batch.inputs, batch.labels)
    return forward(layers, (params,), batch.inputs), batch.labels


@pytest.mark.parametrize("targets", ["concat", "first", "pooled"])
@pytest.mark.parametrize("solver", DESCENTS)
def test_descent_comes_near_least_squares(below, solver, targets):
    """On the same features the scores of both solvers agree but for regularisation."""
    hidden, labels = below
    config = dataclasses.replace(SMALL, targets=targets)
    exact = patch_layers(SPEC, dataclasses.replace(config, solver="ridge"))[1]
    layer = patch_layers(SPEC, dataclasses.replace(config, solver=solver))[1]
    assert isinstance(layer, DescentPatchLayer)
    scores = []
    for each in (exact, layer):
        params = jax.jit(each.fit)(KEY, hidden, labels)
        scores.append(np.asarray(each.class_scores(params, hidden)) - params["class_mean"][None])
    assert np.corrcoef(scores[0].ravel(), scores[1].ravel())[0, 1] > 0.97
    assert 0.7 < scores[1].std() / scores[0].std() < 1.3


def test_only_layers_above_the_table_go_in_rounds():
    layers = patch_layers(SPEC, dataclasses.replace(SMALL, solver="adam"))
    assert isinstance(layers[0], TableLayer)
    assert [isinstance(layer, RoundsLayer) for layer in layers] == [False, True, True]
    assert not any(isinstance(layer, RoundsLayer) for layer in patch_layers(SPEC, SMALL))
