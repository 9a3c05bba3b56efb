import numpy as np
from scipy.stats import spearmanr

from experiments.strings import condition_notes, conditions
from hierjax.runs import Result

RNG = np.random.default_rng(0)


def layers_of(num_seeds):
    """Two layers, leaves up: the second reads the patches of level 1."""
    made = []
    for _ in range(2):
        patches = {name: RNG.uniform(size=num_seeds) for name in ("coverage", "k_rho")}
        errors = RNG.uniform(size=num_seeds)
        made.append(Result(None, {"first_patches": patches, "test_error": errors}, {}))
    return made


def test_conditions_count_from_the_root_and_are_correlated_with_the_last_error():
    layers = layers_of(40)
    found = conditions(layers)
    first, second = (layer.measured["first_patches"] for layer in layers)
    np.testing.assert_array_equal(found["k_rho"][0]["per_seed"], second["k_rho"])
    np.testing.assert_allclose(found["kappa"][1]["per_seed"], 1 / first["coverage"])
    least = np.minimum(first["coverage"], second["coverage"])
    expected = spearmanr(least, layers[1].measured["test_error"]).statistic
    np.testing.assert_allclose(found["rank_correlation"]["coverage"]["value"], expected)
    assert len(condition_notes(found)) == 2
    assert f"coverage {expected:.2f} (" in condition_notes(found)[1]


def test_few_grammars_have_no_rank_correlation_and_a_patch_that_never_occurs_no_kappa():
    layers = layers_of(5)
    layers[0].measured["first_patches"]["coverage"][2] = 0
    found = conditions(layers)
    assert found["rank_correlation"] == {}
    assert found["kappa"][1]["num_infinite"] == 1
    assert len(condition_notes(found)) == 1
