"""Strict arithmetic and types for all tests, and the order in which they run."""

import os

# Eight devices on fewer cores: with too few threads their collectives can wait for each other.
os.environ["NPROC"] = "16"
# Most of the time goes into compiling: a quarter of it is saved, here and in commands under test.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

import jax
import jaxtyping
import pytest
from hypothesis import settings

from tests.typecheck import PACKAGES

jaxtyping.install_import_hook(PACKAGES, "tests.typecheck.checked")

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")

settings.register_profile("hierjax", deadline=None, max_examples=30, derandomize=True)
settings.load_profile("hierjax")

_SLOW_LAST = (
    "tests/train",
    "tests/theory",
    "tests/benchmarks",
    "tests/experiments",
    "tests/test_examples",
)


def pytest_collection_modifyitems(items):
    """Quick tests first, whole experiments last."""

    def slowness(item: pytest.Item) -> int:
        name = item.nodeid
        return next((i for i, room in enumerate(_SLOW_LAST, 1) if name.startswith(room)), 0)

    items.sort(key=slowness)
