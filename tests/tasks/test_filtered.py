import jax
import numpy as np
import pytest
from scipy import stats

from hierjax.exact import likelihood, observe
from hierjax.tasks import FilteredHierarchy, RandomHierarchySpec, draw_random_hierarchy, from_rules
from tests.tasks.laws import check_task_laws

SPEC = RandomHierarchySpec(2, (2, 3, 2), (2, 2, 3), (2, 1, 2), 3, ambiguous=True)


@pytest.mark.parametrize("level", [1, 3])
def test_laws_of_tasks(level):
    check_task_laws(lambda key: FilteredHierarchy(draw_random_hierarchy(key, SPEC), level))


@pytest.mark.parametrize("level", [1, 2, 3])
def test_strings_have_the_law_of_filtered_inference(level):
    key = jax.random.key(5)
    probabilities = [
        jax.random.dirichlet(jax.random.fold_in(key, each), np.ones(m), (SPEC.symbols(each),))
        for each, m in enumerate(SPEC.num_rules)
    ]
    grammar = draw_random_hierarchy(key, SPEC, probabilities, class_prior=np.array([0.3, 0.7]))
    batch = FilteredHierarchy(grammar, level).sample(jax.random.key(6), 20_000)
    assert [each is None for each in batch.latents] == [0 < each < level for each in range(4)]
    language = np.stack(np.unravel_index(np.arange(2**4), (2,) * 4), axis=1)
    exact = likelihood(grammar, observe(SPEC, language), filtered=level)
    expected = np.exp(exact.log_likelihood)[:, None] * exact.classes
    assert expected.sum() == pytest.approx(1, abs=1e-5)
    found = np.zeros_like(expected)
    np.add.at(found, (np.asarray(batch.inputs) @ 2 ** np.arange(3, -1, -1), batch.labels), 1)
    assert found[expected == 0].sum() == 0
    there = expected > 0
    assert stats.chisquare(found[there], 20_000 * expected[there], sum_check=False).pvalue > 1e-5


def test_below_the_level_trees_are_those_of_the_grammar():
    grammar = draw_random_hierarchy(jax.random.key(0), RandomHierarchySpec(4, 6, 3, 2, 3))
    latents = FilteredHierarchy(grammar, 1).sample(jax.random.key(1), 500).latents

    def is_rule(level):
        rules = np.asarray(grammar.rules[level])[np.asarray(latents[level])]
        made = np.asarray(latents[level + 1]).reshape(*latents[level].shape, 1, -1)
        return (rules == made).all(axis=-1).any(axis=-1)

    assert is_rule(1).all()
    assert is_rule(2).all()
    assert not is_rule(0).all()


def test_a_level_that_is_not_there_is_refused():
    grammar = from_rules([[[[0, 1]], [[1, 0]]]])
    for level in (0, 2):
        with pytest.raises(ValueError, match=f"filter_level={level} must be from 1, .* to depth=1"):
            FilteredHierarchy(grammar, level).sample(jax.random.key(0), 3)
