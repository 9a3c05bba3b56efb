"""Strict arithmetic and types for all tests, and the order in which they run."""

import gc
import os
from pathlib import Path

# Where there is an accelerator, too; JAX_PLATFORMS=cuda,cpu tests that, but for tests of devices.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Eight devices on fewer cores: with too few threads their collectives can wait for each other.
os.environ["NPROC"] = "16"
# Most of the time goes into compiling. Here and in commands under test two thirds of it are saved,
# and what one process has compiled the others have, today and tomorrow.
os.environ["XLA_FLAGS"] = " ".join(
    (
        os.environ.get("XLA_FLAGS", ""),
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_parallel_codegen_split_count=1",
        "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters",
    )
)
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(
    Path(__file__).resolve().parents[1] / ".pytest_cache" / "programs"
)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

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


def pytest_collection_finish():
    """What was imported stays: fits collect garbage, which would look at all of it each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def programs_of_a_module_end_with_it():
    """Thousands of compiled programs would fill the memory, and slow down collecting garbage."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture
def untyped():
    """The library as its users have it, whose arguments no type checker sees first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
