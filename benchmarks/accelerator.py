"""What a GPU or a TPU makes of hierjax, in one command and under eight minutes.

    python -m benchmarks.accelerator --device gpu     # or tpu

First come the answers: strings that equal those of the CPU to the bit, and errors of the default
experiments. Learners in closed form err on at most 3 test strings more or fewer than on the CPU;
descent by minibatches makes other networks of other roundings, so its errors agree in the mean over
seeds, within four standard errors. Then comes the speed: strings in a second, 64 seeds at once
against one at a time, and steps of a wide stack, in float32 and bfloat16, beside the largest matrix
product of the same type. The memory of the device is told, and a trace of the wide stack is written
to a folder beside the results. --device cpu --quick shows that all of it runs.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh

from benchmarks import sampler, session, sweep
from benchmarks.ceilings import measure_ceilings
from benchmarks.harness import WrongResult, machine, measure
from benchmarks.wide_stack import wide_step
from hierjax.models.products import PRECISIONS
from hierjax.runs import LearnerSettings, StringCell, build, map_seeds, seed_keys
from hierjax.runs.environment import peak_memory
from hierjax.tasks import RandomHierarchySpec

_BY_DESCENT = ("end_to_end", "shallow")
_MOST_STRINGS_APART = 3
_STANDARD_ERRORS = 4
_NUM_TEST = 2000
_BATCH, _BATCH_QUICK = 2048, 8
_STEPS, _STEPS_QUICK = 20, 1


def main() -> None:
    """Measures every part."""
    with session.measuring(__doc__, "accelerator") as (request, path):
        traced = path.with_suffix(".trace")
        _write(_parts(request.quick, request.repeats, str(traced)), path)
        print(f"a trace of the wide stack is in {traced}")


def _write(parts: Iterator[dict[str, Any]], path: Path) -> None:
    """Writes each part when it is measured; raises WrongResult after the last if any was wrong."""
    wrong = []
    for part in parts:
        session.append(path, {"suite": "accelerator", **part, **machine()})
        figures = ", ".join(f"{name} {_short(value)}" for name, value in part.items())
        print(figures, flush=True)
        wrong += filter(None, [part.get("wrong")])
    if wrong:
        raise WrongResult("; ".join(wrong))


def _parts(quick: bool, repeats: int, trace: str) -> Iterator[dict[str, Any]]:
    yield _same_strings(quick)
    for learner in ("layerwise",) if quick else ("layerwise", "end_to_end", "shallow", "kernel"):
        yield _same_errors(learner, quick)
    ceilings = measure_ceilings(quick)
    for suite in (sampler, sweep):
        for case in suite.cases(quick):
            yield _speed(measure(case, repeats, ceilings))
    for precision in PRECISIONS:
        yield _wide_stack(precision, quick, trace)
    yield {"part": "memory", "peak_bytes": peak_memory()}


def _speed(record: dict) -> dict[str, Any]:
    """What a case of the other benchmarks comes to."""
    found = {
        "part": f"{record['suite']}, {record['case']}",
        f"{record['unit']}_per_second": record["ours"]["items_per_second"],
        "seconds": record["ours"]["seconds"]["median"],
        "compile_seconds": record["ours"]["compile_seconds"],
    }
    return found | ({"times_less": record["ratio"]} if record["baseline"] else {})


def _same_strings(quick: bool) -> dict[str, Any]:
    """Strings, trees and labels of several grammars, on the device and on the CPU."""
    count = 512 if quick else 2**17
    for name, spec, zipf in sampler.GRAMMARS:
        grammar = sampler.grammar_of(spec, zipf)

        def draw(grammar, key):
            return grammar.sample(key, count)

        arguments = grammar, jax.random.key(1)
        here, there = (
            jax.device_get(jax.jit(draw)(*jax.device_put(arguments, device)))
            for device in (jax.local_devices()[0], _cpu())
        )
        same = jax.tree.map(np.array_equal, here, there)
        if not all(jax.tree.leaves(same)):
            raise WrongResult(f"{name}: strings differ from those of the CPU")
    return {"part": "strings equal to the CPU's", "grammars": len(sampler.GRAMMARS), "each": count}


def _same_errors(learner: str, quick: bool) -> dict[str, Any]:
    """Test errors of a learner of the default experiment, on the device and on the CPU."""
    spec, settings = RandomHierarchySpec(8, 8, 4, 2, 3), build(LearnerSettings, {}, {})
    point = StringCell(spec, learner, 4, _NUM_TEST, settings).point()
    keys = seed_keys(0, 2 if quick else 10)

    def run(key):
        return point.measure(key, point.draw(key))["test_error"]

    errors, seconds = [], []
    for device in (jax.local_devices()[0], _cpu()):
        mesh = Mesh([device], ("seed",), axis_types=(AxisType.Auto,))
        program = map_seeds(run, mesh).lower(jax.device_put(keys, device)).compile()
        start = time.perf_counter()
        errors.append(np.asarray(program(jax.device_put(keys, device))))
        seconds.append(time.perf_counter() - start)
    if not np.isfinite(errors).all():
        raise WrongResult(f"{learner} diverged in {(~np.isfinite(errors)).sum()} fits")
    apart = (errors[0] - errors[1]) * _NUM_TEST
    bound = float(_MOST_STRINGS_APART)
    if learner in _BY_DESCENT:
        bound += _STANDARD_ERRORS * float(apart.std(ddof=1)) / len(keys) ** 0.5
    beyond = abs(apart.mean()) if learner in _BY_DESCENT else np.abs(apart).max()
    return {
        "part": f"errors of {learner}",
        "mean": float(errors[0].mean()),
        "mean_on_cpu": float(errors[1].mean()),
        "most_strings_apart": float(np.abs(apart).max()),
        "seconds": seconds[0],
        "seconds_on_cpu": seconds[1],
        "wrong": None
        if beyond <= bound
        else f"{learner} errs on {beyond:.1f} test strings more or fewer than on the CPU, which is "
        f"beyond {bound:.1f}",
    }


def _wide_stack(precision: str, quick: bool, trace: str) -> dict[str, Any]:
    """Steps of training a wide stack, beside a large product of the same type."""
    batch, num_steps = (_BATCH_QUICK, _STEPS_QUICK) if quick else (_BATCH, _STEPS)
    wide = wide_step(batch, precision)
    step = wide.step.lower(*wide.args).compile()
    _, state, strings, labels = wide.args
    data = jnp.zeros(strings.shape, strings.dtype), jnp.zeros(labels.shape, labels.dtype)
    state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state)
    key = jax.random.key(0)

    def run(state):
        for _ in range(num_steps):
            state = step(key, state, *data)
        return jax.block_until_ready(state)

    state = run(state)
    start = time.perf_counter()
    state = run(state)
    rate = wide.flops * num_steps / (time.perf_counter() - start)
    with jax.profiler.trace(trace):
        run(state)
    ceiling = measure_ceilings(quick, precision).flops_per_second
    return {
        "part": f"wide stack, {precision}, batch {batch}",
        "flops_per_second": rate,
        "ceiling": ceiling,
        "share": rate / ceiling,
    }


def _cpu() -> jax.Device:
    return jax.local_devices(backend="cpu")[0]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
