"""Train strings that layerwise learning uses up in a second; whole commands, imports included."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jax

from benchmarks.harness import Case, Growth, WrongResult, compiled
from hierjax.measure.metrics import error_rate
from hierjax.tasks.grammars import draw_random_hierarchy
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.tasks.splits import make_split
from hierjax.theory.random_hierarchy import predicted_num_train
from hierjax.train.layerwise import forward, train_layerwise
from hierjax.train.patches.stack import patch_layers

_GRAMMARS = (
    ("C8 V8 M4 S2 L3", RandomHierarchySpec(8, 8, 4, 2, 3)),
    ("C8 V8 M3 S2 L4", RandomHierarchySpec(8, 8, 3, 2, 4)),
    ("C8 V8 M8 S3 L2", RandomHierarchySpec(8, 8, 8, 3, 2)),
    ("C8 V8 M8 S2 L3", RandomHierarchySpec(8, 8, 8, 2, 3)),
    ("C8 V16 M4 S2 L5", RandomHierarchySpec(8, 16, 4, 2, 5)),
)
_TRAIN_MULTIPLE = 4
_NUM_TEST = 2_000
_MAX_ERROR = 0.1
_MAX_ERROR_SEEN = 0.75
_COMMAND = (sys.executable, "-m", "experiments.layerwise_rhm", "--num_seeds=1", "--nobaselines")
_MAX_COMMAND_ERROR = 0.01
_ROOT = Path(__file__).resolve().parents[1]


def cases(quick: bool) -> Iterator[Case]:
    """One seed at 4 x C*M^L strings of each grammar, then commands; `quick` keeps the smallest."""
    for name, spec in _GRAMMARS[:1] if quick else _GRAMMARS:
        yield _case(name, spec, _TRAIN_MULTIPLE * predicted_num_train(spec))
    if not quick:
        yield _command("C8 V8 M4 S2 L3, command, nothing compiled", cached=False)
        yield _command("C8 V8 M4 S2 L3, command, again", cached=True)


def growths(quick: bool) -> list[Growth]:
    """Of a whole stack with the number of strings, and with their length."""

    def longer(leaves: int) -> Case:
        depth = leaves.bit_length() - 1
        return _case(f"L={depth}", RandomHierarchySpec(8, 16, 4, 2, depth), 2048)

    def more(num_train: int) -> Case:
        return _case(f"n={num_train}", _GRAMMARS[0 if quick else -1][1], num_train)

    return [
        Growth(
            "train strings, n", (256, 512) if quick else (2**13, 2**14, 2**15, 2**16), 1.0, more
        ),
        Growth("leaves, 2^L", (8, 16) if quick else (8, 16, 32, 64), 2.0, longer),
    ]


def _case(name: str, spec: RandomHierarchySpec, num_train: int) -> Case:
    key = jax.random.key(0)
    grammar = draw_random_hierarchy(jax.random.fold_in(key, 0), spec)
    split = make_split(
        grammar, jax.random.fold_in(key, 1), num_train, min(_NUM_TEST, spec.num_strings // 4)
    )
    layers = patch_layers(spec)
    learnable = num_train >= _TRAIN_MULTIPLE * predicted_num_train(spec)

    def train(key, batch):
        return train_layerwise(layers, batch, key)

    @jax.jit
    def error_on(batch, params):
        return error_rate(forward(layers, params, batch.inputs), batch.labels)

    # Of strings seen in training where there are too few to learn from.
    batch, bound = (split.test, _MAX_ERROR) if learnable else (split.train, _MAX_ERROR_SEEN)

    def check(params, _):
        error = float(error_on(batch, params))
        if not error < bound:
            raise WrongResult(f"{name}: error {error:.4f} is not below {bound}")

    return Case(
        suite="layerwise",
        name=name,
        items=num_train,
        unit="strings",
        make_ours=lambda: compiled(train, jax.random.fold_in(key, 2), split.train),
        check=check,
    )


def _command(name: str, cached: bool) -> Case:
    """A process from its start to its end, a folder of compiled programs with it or not."""

    def check(error, _):
        if not error < _MAX_COMMAND_ERROR:
            raise WrongResult(f"{name}: test error {error} is not below {_MAX_COMMAND_ERROR}")

    def make_ours() -> Callable[[], float]:
        if not cached:
            return lambda: _run_command(None)
        # Removed with the call that holds it.
        cache = tempfile.TemporaryDirectory()
        _run_command(cache.name)
        return lambda: _run_command(cache.name)

    return Case(
        suite="layerwise",
        name=name,
        items=2048,
        unit="strings",
        make_ours=make_ours,
        check=check,
        in_process=False,
    )


def _run_command(cache: str | None) -> float:
    """Mean test error that the command finds; a fresh folder of compiled programs for None."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "JAX_PLATFORMS": jax.default_backend().replace("gpu", "cuda"),
            "XDG_CACHE_HOME": cache or f"{folder}/cache",
        }
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)  # It would be used in its place.
        command = (*_COMMAND, f"--workdir={folder}/run")
        finished = subprocess.run(
            command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if finished.returncode:
            raise WrongResult(f"{' '.join(command)}: {finished.stderr.strip()}")
        summary = json.loads(Path(folder, "run", "summary.json").read_text())
    return summary["learners"]["layerwise"]["test_error"]["mean"]
