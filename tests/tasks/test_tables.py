"""Look-ups by products, the branch of a TPU, against gathers: the same to the bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.tasks import tables
from hierjax.tasks.grammars import draw_random_hierarchy
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from tests.tasks.test_joint_rules import random_weights

DTYPES = (np.uint8, np.uint16, np.uint32, np.int32, np.float32)


def product_as_on_a_tpu(left, right):
    """XLA:CPU has no product of bfloat16 in float32 of some shapes; this is what a TPU makes."""
    left, right = (jnp.asarray(each, jnp.bfloat16).astype(jnp.float32) for each in (left, right))
    return jnp.matmul(left, right, precision="highest")


@pytest.fixture
def products_as_on_a_tpu(monkeypatch):
    monkeypatch.setattr(tables, "_product", product_as_on_a_tpu)


@pytest.fixture
def as_on_a_tpu(monkeypatch, products_as_on_a_tpu):
    """Within the test every choice of a platform falls on the branch of a TPU."""

    def choose(*args, default, tpu=None, **others):
        return (tpu or default)(*args)

    monkeypatch.setattr(jax.lax, "platform_dependent", choose)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("rows", "width"), [(1, 1), (2, 3), (63, 1), (64, 2), (130, 65), (tables.MOST_ROWS, 1)]
)
def test_products_find_what_gathers_find(rows, width, dtype, products_as_on_a_tpu):
    rng = np.random.default_rng(rows)
    held = rng.integers(0, 256, (rows, width, np.dtype(dtype).itemsize), np.uint8)
    held[0], held[-1] = 0, 255  # The least and the largest number, of floats a NaN.
    table = jnp.asarray(held.view(dtype)[..., 0])
    index = jnp.asarray(np.append(np.arange(rows), rng.integers(0, rows, rows)).reshape(2, rows))
    found, expected = tables.multiplied(table, index), tables.gathered(table, index)
    assert len(found) == width
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == dtype
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


SPECS = {
    "five levels": RandomHierarchySpec(16, 16, 6, 2, 5),
    "tuples that fill no word": RandomHierarchySpec(8, 8, 8, 3, 2),
    "16 bits a symbol": RandomHierarchySpec(3, 300, 5, 2, 3),
    "sizes that differ": RandomHierarchySpec(2, (5, 300, 40, 130), (3, 2, 4, 3), (2, 3, 2, 1), 4),
    "a large table, gathered": RandomHierarchySpec(9, 70, 40, 2, 2),
}


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_tpu_draws_the_strings_of_a_cpu(spec, weighted, request):
    weights = random_weights(spec) if weighted else None
    grammar, key = draw_random_hierarchy(jax.random.key(0), spec, weights), jax.random.key(1)
    expected = grammar.sample(key, 100)
    request.getfixturevalue("as_on_a_tpu")
    found = jax.jit(lambda: grammar.sample.__wrapped__(grammar, key, 100))()
    jax.tree.map(np.testing.assert_array_equal, found, expected)
