"""A pure function of one seed mapped over seeds and devices, or a batch shared by devices.

The devices are those of all processes of a run, see `hosts`.
"""

import functools
import os
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec
from jaxtyping import Array, Key

from hierjax.runs import hosts

PyTree = Any

IMPLS = ("shard_map", "pmap")
"""How seeds may be divided between devices, see `map_seeds`."""

# Most seeds that a device works on at once; fewer where memory is short. On a CPU more of them are
# no faster than one by one, and one by one they get the same bits whatever the number of devices.
_MOST_LANES = {"cpu": 1}
_MOST_ON_ACCELERATOR = 256


@runtime_checkable
class Mapped(Protocol):
    """A jitted function, which can be called, or traced and lowered for shapes of its arguments."""

    def __call__(self, *args: PyTree) -> PyTree:
        """Returns what the function makes of arguments."""
        ...

    def trace(self, *args: PyTree) -> jax.stages.Traced:
        """Traces the function for arguments, or for `jax.ShapeDtypeStruct`s in their place."""
        ...

    def lower(self, *args: PyTree) -> jax.stages.Lowered:
        """Traces and lowers the function for arguments, or for their shapes."""
        ...


@functools.partial(jax.jit, static_argnames=("seed", "num_seeds"))
def seed_keys(seed: int, num_seeds: int) -> Key[Array, " seeds"]:
    """Makes the keys of seeds, (num_seeds,); those of fewer seeds are the first ones of more.

    Args:
      seed: number from which all keys are made.
      num_seeds: number of keys.
    """
    return jax.vmap(lambda i: jax.random.fold_in(root_key(seed), i))(jnp.arange(num_seeds))


def root_key(seed: int) -> Key[Array, ""]:
    """Makes the key from which all keys of a run are made, whatever options of JAX say of keys.

    Args:
      seed: number of 32 bits; the key is that of `jax.random.key(seed)` by its defaults.
    """
    data = jnp.array([0, seed], jnp.uint32)  # JAX may add an offset to seeds.
    return jax.random.wrap_key_data(data, impl="threefry2x32")


def seed_mesh(num_devices: int | None = None) -> Mesh:
    """Makes a mesh of devices between which seeds are divided, with the axis "seed".

    Args:
      num_devices: number of devices, the first ones; None for all. Several processes use all.

    Raises:
      ValueError: there are fewer devices, or some of those of several processes are left out.
    """
    return _mesh(num_devices, "seed")


def data_mesh(num_devices: int | None = None, model_parallel: int = 1) -> Mesh:
    """Makes a mesh of devices that work on one seed at a time, with the axes "data" and "model".

    Functions that run on it divide batches and parameters by `hierjax.sharding`.

    Args:
      num_devices: number of devices, the first ones; None for all. Several processes use all.
      model_parallel: number of devices that share the weights of every layer, those along "model".

    Raises:
      ValueError: there are fewer devices, or as many cannot share the weights; or some of those of
        several processes are left out.
    """
    devices = _mesh(num_devices, "data").devices
    if model_parallel < 1 or devices.size % model_parallel:
        raise ValueError(
            f"model_parallel={model_parallel} does not divide the number of devices, {devices.size}"
        )
    shape = (devices.size // model_parallel, model_parallel)
    return Mesh(devices.reshape(shape), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


def _mesh(num_devices: int | None, axis: str) -> Mesh:
    devices = jax.devices()
    if num_devices is not None and not 1 <= num_devices <= len(devices):
        raise ValueError(
            f"num_devices={num_devices} is not between 1 and {len(devices)}, the number of "
            f"{devices[0].platform} devices here"
        )
    if hosts.count() > 1 and num_devices not in (None, len(devices)):
        raise ValueError(
            f"num_devices={num_devices}, but the {hosts.count()} processes have {len(devices)}: "
            "leave it out, or start fewer processes"
        )
    return Mesh(devices[:num_devices], (axis,), axis_types=(AxisType.Auto,))


def map_seeds(
    function: Callable[..., PyTree],
    mesh: Mesh | None = None,
    impl: str = "shard_map",
    lanes: int | None = None,
    donate: tuple[int, ...] = (),
) -> Mapped:
    """Maps a function of one seed over the leading axis of all its arguments, and jits it.

    Every device works through its share of the seeds, on a CPU one by one, elsewhere many at
    once. Seeds are padded to a multiple of the devices, and the padding is dropped.

    Args:
      function: a pure function of one seed.
      mesh: a `seed_mesh`, by default of all devices; or a `data_mesh`, whose devices work on
        all seeds together: there the function divides its batches by `hierjax.sharding`.
      impl: one of `IMPLS`, for a `seed_mesh`. JAX advises "shard_map"; "pmap" agrees to rounding.
      lanes: largest number of seeds that a device works on at once; by default `most_lanes`.
      donate: positions of the arguments whose memory results may take; a call deletes them.

    Returns:
      A function of pytrees whose arrays have one row for each seed, to a pytree of such arrays.

    Raises:
      ValueError: an unknown impl, or "pmap" with several processes, each of which it shows its own
        part of arrays alone; in a call, arguments of different lengths.
    """
    if impl not in IMPLS:
        raise ValueError(f"impl={impl!r} is unknown: choose one of {', '.join(IMPLS)}")
    if impl == "pmap" and hosts.count() > 1:
        raise ValueError(
            f"impl=pmap divides seeds between the devices of one process, and here are "
            f"{hosts.count()}: leave it out"
        )
    mesh = seed_mesh() if mesh is None else mesh
    together = is_data_mesh(mesh)
    most = lanes or most_lanes(mesh)

    def mapped(*args):
        num_seeds = _common_length(args)
        used = _used(mesh, num_seeds)
        on_each = num_seeds if together else -(-num_seeds // used.size)
        at_once = min(most, on_each)
        share = functools.partial(
            jax.lax.map, lambda lane: function(*lane), batch_size=at_once if at_once > 1 else None
        )
        if together:
            return share(args)
        extra = -num_seeds % used.size
        rows = np.minimum(np.arange(num_seeds + extra), num_seeds - 1)
        filled = jax.tree.map(lambda x: x[rows], args) if extra else args
        divide = _by_pmap if impl == "pmap" else _by_shard_map
        return jax.tree.map(lambda x: x[:num_seeds], divide(share, used)(filled))

    return jax.jit(mapped, donate_argnums=donate)


def _used(mesh: Mesh, num_seeds: int) -> Mesh:
    """Returns the devices that have seeds to work on; of several processes all work."""
    devices = mesh.devices if hosts.count() > 1 else mesh.devices[:num_seeds]
    return Mesh(devices, mesh.axis_names, axis_types=mesh.axis_types)


def _common_length(args: PyTree) -> int:
    lengths = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(args)}
    if len(lengths) != 1 or lengths == {()}:
        raise ValueError(
            f"arguments have leading axes of {sorted(lengths)}: give arrays with one entry a seed"
        )
    ((num_seeds,),) = lengths
    return num_seeds


def _by_shard_map(lanes: Callable[[PyTree], PyTree], mesh: Mesh) -> Callable[[PyTree], PyTree]:
    axis = PartitionSpec("seed")
    # Loops inside start from constants, which are the same on all devices.
    return jax.shard_map(lanes, mesh=mesh, in_specs=axis, out_specs=axis, check_vma=False)


def _by_pmap(lanes: Callable[[PyTree], PyTree], mesh: Mesh) -> Callable[[PyTree], PyTree]:
    mapped = jax.pmap(lanes, devices=mesh.devices.tolist())

    def shares(args):
        split = jax.tree.map(lambda x: x.reshape(mesh.size, -1, *x.shape[1:]), args)
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), mapped(split))

    return shares


def compile_for(mesh: Mesh, traced: jax.stages.Traced, effort: int = 1) -> jax.stages.Compiled:
    """Compiles a program for the devices of a mesh.

    Where XLA_FLAGS say with how much effort to compile, all programs are.

    Args:
      mesh: the devices on which it is to run.
      traced: a function that was traced, such as `map_seeds(...).trace(...)`.
      effort: effort of LLVM on a CPU, from 0 to 3. Programs at 1 were as fast as at 3, and were
        compiled in three quarters of the time; at 0, in half of it, networks took three times as
        long to train.
    """
    flag = "xla_backend_optimization_level"
    options: dict[str, Any] = {}
    if mesh.devices.flat[0].platform == "cpu" and flag not in os.environ.get("XLA_FLAGS", ""):
        options = {flag: effort}
    return traced.lower().compile(options)


def call(compiled: jax.stages.Compiled, *args: PyTree) -> PyTree:
    """Calls a program of `compile_for`, its arguments brought to the devices where it wants them.

    They may be elsewhere: XLA chooses for arguments that a program takes and makes nothing of.
    """
    return compiled(*hosts.to_devices(args, compiled.input_shardings[0]))


def seed_chunks(num_seeds: int, mesh: Mesh, lanes: int) -> Iterator[tuple[np.ndarray, int]]:
    """Divides seeds into chunks that run in one call each, so that memory does not grow.

    Args:
      num_seeds: number of all seeds.
      mesh: the devices on which they run.
      lanes: largest number of seeds that a device works on at once.

    Yields:
      The indices of the seeds of a chunk, and how many of them are not padding: the last chunk is
      padded by repeating its end, so that every call has the same shapes.
    """
    devices = 1 if is_data_mesh(mesh) else _used(mesh, num_seeds).size
    size = devices * min(lanes, -(-num_seeds // devices))
    for start in range(0, num_seeds, size):
        count = min(size, num_seeds - start)
        yield np.minimum(np.arange(start, start + size), num_seeds - 1), count


def is_one_cpu() -> bool:
    """Returns whether the devices are the cores of one machine, which a single one may fill."""
    return jax.default_backend() == "cpu" and hosts.count() == 1


def is_data_mesh(mesh: Mesh) -> bool:
    """Returns whether the devices work on one seed at a time, see `data_mesh`."""
    return "data" in mesh.axis_names


def most_lanes(mesh: Mesh) -> int:
    """Returns the largest number of seeds that a device works on at once, if memory is enough."""
    if is_data_mesh(mesh):
        return 1
    return _MOST_LANES.get(mesh.devices.flat[0].platform, _MOST_ON_ACCELERATOR)
