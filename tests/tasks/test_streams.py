import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from hierjax.exact import enumerate_language
from hierjax.tasks import RandomHierarchySpec, draw_random_hierarchy
from hierjax.tasks.splits import contains
from hierjax.tasks.streams import FixedStrings, FreshStrings

GRAMMAR = draw_random_hierarchy(
    jax.random.key(0), RandomHierarchySpec(4, vocab_size=4, num_rules=2, branching=2, depth=2)
)
NUM_DRAWS = 4096


def test_the_first_strings_of_a_fixed_set_are_drawn_alike():
    strings = jnp.arange(12).reshape(6, 2)
    draw = jax.jit(lambda count: FixedStrings(strings, count).draw(jax.random.key(1), NUM_DRAWS))
    for count in (1, 4):
        drawn = draw(jnp.int32(count))
        assert drawn.shape == (NUM_DRAWS, 2)
        counts = np.bincount(drawn[:, 0] // 2, minlength=6)
        assert not counts[count:].any()
        if count > 1:
            assert stats.chisquare(counts[:count]).pvalue > 1e-4
    assert draw._cache_size() == 1


def test_fresh_strings_are_those_of_the_language_that_are_not_kept_out():
    strings = jnp.asarray(enumerate_language(GRAMMAR).levels[-1])
    strings = strings.astype(GRAMMAR.sample(jax.random.key(0), 1).inputs.dtype)
    kept_out, others = strings[::5], strings[jnp.arange(len(strings)) % 5 > 0]
    drawn = FreshStrings(GRAMMAR, kept_out).draw(jax.random.key(2), NUM_DRAWS)
    assert not contains(kept_out, drawn).any()
    counts = [(drawn == string[None]).all(axis=1).sum() for string in others]
    assert sum(counts) == NUM_DRAWS
    # The first string, which stands for a fifth of the draws, is one of them by chance.
    first = int((drawn[:1] == others).all(axis=1).argmax())
    rest = np.delete(counts, first)
    assert stats.chisquare(rest).pvalue > 1e-4
