"""What main programs would cost on TPUs, estimated on a CPU by the TPU's own compiler.

    make tpu

compiles them for TPU v5e of 8 and of 64 chips, which needs no TPU, and adds a line of JSON for each
to a results file. It takes ten to twenty minutes on two idle cores. Nothing is measured but the
time of the compiler: seconds of a call are XLA's estimated cycles at 1.5 GHz. Gathers carry none;
5.6 ns for each row that they fetch are told apart, and added. Collectives carry none, either, and
nothing is added for them. A program runs on every chip, on arguments of its own; of the wide stack
all chips train one model.
"""

import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import NamedTuple

os.environ["TPU_SKIP_MDS_QUERY"] = "1"
os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from benchmarks import hlo, sampler
from benchmarks.harness import machine
from benchmarks.session import RESULTS, append
from benchmarks.wide_stack import wide_step
from experiments.command import cli, process
from hierjax.models.products import PRECISIONS
from hierjax.runs.environment import now
from hierjax.runs.record import local_path
from hierjax.settings import Config, setting
from hierjax.tasks.grammars import draw_random_hierarchy
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.tasks.splits import make_split
from hierjax.train.learners import end_to_end_learner

_TOPOLOGIES = {1: "v5e:2x4", 8: "v5e:2x4", 64: "v5e:8x8"}
_CLOCK = 1.5e9
_GATHER_SECONDS = 5.6e-9
_PEAK = 197e12
_ESTIMATE = "by XLA's cycles and a count of gathered rows, for a TPU that was not there"


class Program(NamedTuple):
    """A program.

    Attributes:
      name: what tells it apart.
      lower: lowers it for chips, an array of devices.
      items: what each chip makes in a call, in `unit`.
      unit: name of the items, plural.
      chips: numbers of chips that it is compiled for.
      flops: floating-point operations that a call cannot do without on each chip; 0 if they are
        not its cost.
    """

    name: str
    lower: Callable[[np.ndarray], jax.stages.Lowered]
    items: int
    unit: str
    chips: tuple[int, ...] = (1,)
    flops: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(Config):
    """What is asked for; its fields are the flags.

    Attributes:
      only: compile the programs alone in whose names this stands; unset: all.
      out: file to append to; unset: named for the date.
    """

    only: str | None = setting(None)
    out: str | None = setting(None)


def programs() -> Iterator[Program]:
    """All programs, each made only when it is its turn."""
    yield from _samplers()
    spec = RandomHierarchySpec(8, 16, 4, 2, 5)
    num_train, num_test = 32_768, 2_000
    yield Program(
        "make_split C8 V16 M4 L5",
        _on_each(
            lambda grammar, key: make_split(grammar, key, num_train, num_test),
            (jax.eval_shape(lambda key: draw_random_hierarchy(key, spec), _key()), _key()),
        ),
        num_train + num_test,
        "strings",
    )
    for num_seeds in (1, 64):
        yield _round(num_seeds, (1,) if num_seeds == 1 else (1, 8, 64))
    for precision in PRECISIONS:
        yield _wide_stack(precision, (1, 1))
    for shape in ((64, 1), (16, 4), (8, 8)):
        yield _wide_stack("bfloat16", shape)


def _key() -> jax.ShapeDtypeStruct:
    return jax.eval_shape(lambda: jax.random.key(0))


def _samplers() -> Iterator[Program]:
    spec, num = RandomHierarchySpec(16, 16, 8, 2, 5), 2**20
    plain, weighted = sampler.grammar_of(spec, False), sampler.grammar_of(spec, True)

    def program(what, grammar, draw):
        args = (jax.eval_shape(lambda: grammar), _key())
        return Program(f"strings C16 V16 M8 S2 L5{what}", _on_each(draw, args), num, "strings")

    yield program("", plain, lambda grammar, key: grammar.sample(key, num).inputs)
    yield program(", weighted", weighted, lambda grammar, key: grammar.sample(key, num).inputs)
    yield program(", with latents", plain, lambda grammar, key: grammar.sample(key, num))


def _round(num_seeds: int, chips: tuple[int, ...]) -> Program:
    """A round of the end-to-end learner of the main job, of seeds side by side."""
    spec, num_train = RandomHierarchySpec(8, 8, 4, 2, 3), 2048
    (layer,) = end_to_end_learner(spec, num_train)

    def start(key):
        data = draw_random_hierarchy(key, spec).sample(key, num_train)
        return key, layer.start(key, data.inputs, data.labels), data.inputs, data.labels

    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), num_seeds))
    num_steps = layer.descent.round_steps
    return Program(
        f"{num_steps} steps of the end-to-end learner of the main job, seeds: {num_seeds}",
        _on_each(jax.vmap(layer.advance), jax.eval_shape(jax.vmap(start), keys)),
        num_steps * num_seeds,
        "steps",
        chips,
    )


def _wide_stack(precision: str, shape: tuple[int, int]) -> Program:
    """A step of one wide stack on a mesh of (data, model) chips, 2,048 strings a chip."""
    chips, batch = math.prod(shape), 2048

    def wide(mesh):
        return wide_step(chips * batch, precision, mesh)

    def lower(devices):
        axis_types = (AxisType.Auto,) * 2
        mesh = Mesh(devices.reshape(shape), ("data", "model"), axis_types=axis_types)
        found = wide(mesh)
        return found.step.lower(*found.args)

    return Program(
        f"step, L=4 W=4096, {batch} strings each, {precision}, data {shape[0]} x model {shape[1]}",
        lower,
        batch,
        "strings",
        (chips,),
        wide(None).flops / chips,
    )


def _on_each(call: Callable, args: tuple) -> Callable[[np.ndarray], jax.stages.Lowered]:
    """Makes a function that lowers a call for chips, each of which has arguments of its own."""

    def lower(devices):
        mesh = Mesh(devices, ("chip",), axis_types=(AxisType.Auto,))
        spread = PartitionSpec("chip") if devices.size > 1 else PartitionSpec()

        def on_row(*rows):
            made = call(*jax.tree.map(lambda x: x[0], rows))
            return jax.tree.map(lambda x: x[None], made)

        def placed(x):
            shape = x.shape if devices.size == 1 else (devices.size, *x.shape)
            return jax.ShapeDtypeStruct(shape, x.dtype, sharding=NamedSharding(mesh, spread))

        one = call if devices.size == 1 else on_row
        mapped = jax.shard_map(one, mesh=mesh, in_specs=spread, out_specs=spread, check_vma=False)
        return jax.jit(mapped).lower(*jax.tree.map(placed, args))

    return lower


def estimate(program: Program, chips: int) -> dict:
    """Compiles a program for so many chips; returns a JSON-able record."""
    devices = topologies.get_topology_desc(_TOPOLOGIES[chips], platform="tpu").devices[:chips]
    wall, cpu = time.perf_counter(), time.process_time()
    compiled = program.lower(np.array(devices)).compile()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    costs, memory = hlo.read(str(compiled.as_text())), compiled.memory_analysis()
    by_cycles, by_count = costs.cycles / _CLOCK, costs.gathered * _GATHER_SECONDS
    seconds = by_cycles + by_count
    where = machine()
    return {
        "suite": "tpu",
        "case": program.name,
        "estimate": _ESTIMATE,
        "chips": chips,
        "topology": _TOPOLOGIES[chips],
        "items": program.items,
        "unit": program.unit,
        "compile_seconds": wall,
        "compile_cpu_seconds": cpu,
        "bytes": {
            name: getattr(memory, f"{kind}_size_in_bytes")
            for name, kind in (
                ("arguments", "argument"),
                ("outputs", "output"),
                ("temporaries", "temp"),
            )
        },
        "collectives": costs.collectives,
        "cycles": costs.cycles,
        "seconds_by_cycles": by_cycles,
        "rows_gathered": costs.gathered,
        "seconds_by_own_count": by_count,
        "loops_of_unknown_length": costs.unknown_loops,
        "items_per_second": program.items / seconds,
        "utilisation": program.flops / seconds / _PEAK or None,
        "load_average": os.getloadavg(),
        **where,
        "device": "TPU v5e",
        "compiled_on": where["device"],
        "versions": {**where["versions"], "libtpu": metadata.version("libtpu")},
    }


def main() -> None:
    """Estimates every program, and writes each when it is done."""
    request, _ = cli.read(__doc__, "benchmarks", Request)
    path = RESULTS / f"tpu-estimates-{now()[:10]}.jsonl"
    try:
        metadata.version("libtpu")
        if request.out is not None:
            path = local_path("out", request.out)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a"):
            pass  # A file that cannot be written is refused before any work.
    except metadata.PackageNotFoundError:
        process.end("libtpu is not there: `make tpu` installs it", 2)
    except (OSError, ValueError) as error:
        process.end(f"out={request.out or path} cannot be written ({error})", 2)
    for program in programs():
        for chips in program.chips if (request.only or "") in program.name else ():
            record = estimate(program, chips)
            append(path, record)
            print(row(record), flush=True)
    print(f"wrote {path}")


def row(record: dict) -> str:
    """A record as a line."""
    use = "" if record["utilisation"] is None else f", {record['utilisation']:.0%} of the peak"
    return (
        f"{record['case']}, {record['chips']} chips: {record['items_per_second']:,.0f} "
        f"{record['unit']}/s a chip{use}, {record['rows_gathered']:,} rows gathered, "
        f"{record['bytes']['temporaries'] / 1e6:.0f} MB, compiled in "
        f"{record['compile_seconds']:.0f} s ({record['compile_cpu_seconds']:.0f} CPU-s), "
        f"collectives {record['collectives'] or 'none'}"
    )


if __name__ == "__main__":
    main()
