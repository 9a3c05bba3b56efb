"""What the numbers of a run depend on beside its request: options of JAX, and versions."""

import contextlib
import hashlib
import os
import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

PINNED: Mapping[str, Any] = {
    "enable_x64": False,
    "default_prng_impl": "threefry2x32",
    "threefry_partitionable": True,
    "legacy_prng_key": "allow",
    "numpy_dtype_promotion": "standard",
    "numpy_rank_promotion": "allow",
    "softmax_custom_jvp": False,
    "disable_jit": False,
}
"""Options of JAX under which every run computes, by name, whatever the environment says."""

# Each is a context manager of JAX of this name, too.
_OPTIONS = (*PINNED, "default_matmul_precision")
# The others decide what is an error.
_OF_NUMBERS = (
    "enable_x64",
    "default_prng_impl",
    "threefry_partitionable",
    "default_matmul_precision",
)
_DEVICES_FLAG = "--xla_force_host_platform_device_count"
_PACKAGES = ("jax", "jaxlib", "flax", "optax")


def options_here() -> dict[str, Any]:
    """Returns the options of JAX that computations depend on, by name, as this thread has them."""
    return {name: getattr(jax.config, f"jax_{name}") for name in _OPTIONS}


@contextlib.contextmanager
def under(options: Mapping[str, Any]) -> Iterator[None]:
    """Within it this thread computes under these options of JAX.

    Args:
      options: values by name, see `options_here`.
    """
    with contextlib.ExitStack() as stack:
        for name, value in options.items():
            stack.enter_context(getattr(jax, name)(value))
        yield


def conditions() -> dict[str, Any]:
    """Returns the versions and options that training has in common wherever it goes on."""
    options = options_here()
    return versions() | {name: options[name] for name in _OF_NUMBERS}


def versions() -> dict[str, str]:
    """Returns the versions that driver and workers have in common, as they were imported.

    The experiments count where they stand beside the package, in a clone.
    """
    return _VERSIONS


def _read_versions() -> dict[str, str]:
    package = Path(__file__).parents[1]
    try:
        version = metadata.version("hierjax")
    except metadata.PackageNotFoundError:
        version = "not installed"
    found = {
        "python": ".".join(platform.python_version_tuple()[:2]),
        **{name: metadata.version(name) for name in _PACKAGES},
        "hierjax": f"{version} (source {_digest(package)})",
        "XLA_FLAGS": xla_flags() or "none",
    }
    experiments = package.parent / "experiments"
    if experiments.is_dir():
        found["experiments"] = f"(source {_digest(experiments)})"
    return found


def xla_flags() -> str:
    """Returns the flags of XLA that are set, without the one that only makes devices of a CPU."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    return " ".join(sorted(f for f in flags if not f.startswith(_DEVICES_FLAG)))


def _digest(folder: Path) -> str:
    """Of the source in it, which may have changed since its version; figures fix no numbers."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        if path.parent.name != "plots":
            found.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return found.hexdigest()[:12]


# As this process has imported them: the files may change later.
_VERSIONS = _read_versions()
