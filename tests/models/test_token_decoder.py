import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.models import TokenDecoder

# Two blocks of 2 x 3 x 2 tokens.
BRANCHING, SIZES, BLOCKS = (2, 3, 2), (5, 4), 2
LENGTHS = (4 * 5, 12 * 4, 24)
MODULE = TokenDecoder(BRANCHING, SIZES, BLOCKS, 3, 8)
KEY = jax.random.key(0)


def uses(both):
    """(tokens, nodes) of each level: whether the scores of a token depend on a node."""
    module = MODULE.clone(both=both)
    tokens = jax.random.randint(KEY, (LENGTHS[2],), 0, 3)
    variables = module.init(KEY, jnp.zeros((1, sum(LENGTHS))))

    def scores(row, tokens):
        return module.apply(variables, jnp.concatenate([row, tokens])[None])[0]

    @jax.jit
    def measure():
        row = jax.random.normal(KEY, (sum(LENGTHS[:2]),))
        slopes = jnp.abs(jax.jacobian(scores)(row, tokens * 1.0)).sum(axis=1)
        others = (tokens[None] + jnp.eye(LENGTHS[2], dtype=int)) % 3
        changes = jax.vmap(lambda tokens: scores(row, tokens * 1.0))(others)
        changes = jnp.abs(changes - scores(row, tokens * 1.0)[None]).sum(axis=2).T
        return slopes[:, :20].reshape(24, 4, 5), slopes[:, 20:].reshape(24, 12, 4), changes

    one, two, three = map(np.asarray, measure())
    # Rounding alone changes a score by less.
    return [(one > 0).any(axis=-1), (two > 0).any(axis=-1), three > 1e-4]


@pytest.mark.parametrize("both", [False, True])
def test_a_token_is_told_by_the_largest_subtrees_that_do_not_hold_it(both):
    for used, size, children in zip(uses(both), (6, 2, 1), BRANCHING, strict=True):
        for token in range(24):
            own = token // size
            first = own - own % children
            siblings = range(first, first + children if both else own)
            assert np.flatnonzero(used[token]).tolist() == [
                each for each in siblings if each != own
            ]


@pytest.mark.usefixtures("untyped")
def test_rows_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"inputs have shape .* give embeddings of all nodes"):
        MODULE.init(KEY, jnp.zeros((1, 7)))
