"""Seeds trained in a second, by one program, against loops over seeds; and a sweep's memory."""

import functools
from collections.abc import Callable, Iterator
from typing import cast

import jax
import numpy as np
import optax

from benchmarks import memory, torch_baselines
from benchmarks.harness import Case, Growth, WrongResult, compiled
from hierjax.measure import error_rate
from hierjax.models import ConvStack
from hierjax.runs import Point, Sweep, map_seeds, seed_keys, seed_mesh
from hierjax.tasks import RandomHierarchySpec, draw_random_hierarchy, make_split
from hierjax.train import Descent, Network

_SPEC = RandomHierarchySpec(8, 8, 2, 2, 3)
_NUM_TRAIN, _NUM_TEST = 256, 256
_WIDTH, _BATCH, _RATE = 64, 32, 0.1
_NUM_STEPS, _NUM_STEPS_QUICK = 500, 200
_SEEDS, _SEEDS_QUICK = 64, 2
_MAX_TEST_ERROR = 0.05
_POINT_BYTES = 2**24


def cases(quick: bool) -> Iterator[Case]:
    """All seeds in one program against PyTorch and our own program, a seed at a time."""
    for against in (*(["PyTorch"] if torch_baselines.here() else []), "ours, a seed at a time"):
        yield _case(_SEEDS_QUICK if quick else _SEEDS, against, quick)


def growths(quick: bool) -> list[Growth]:
    """Of the time with seeds and devices, and of the memory with points and seeds."""
    growths = [
        Growth(
            "seeds",
            (1, 2) if quick else (8, 16, 32, 64),
            1.0,
            lambda count: _case(count, "", quick),
        )
    ]
    if memory.is_known():
        for name, sizes, case in (
            ("points of a sweep", (1, 3, 10, 30, 100), lambda count: _memory(count, 2)),
            ("seeds of a sweep", (1, 3, 10, 30, 100, 300), lambda count: _memory(2, count)),
        ):
            sizes = (1, 2) if quick else sizes
            growths.append(Growth(name, sizes, 0.0, case, "peak_bytes"))
    powers = [2**power for power in range(jax.device_count().bit_length())]
    if len(powers) > 1:
        count = _SEEDS_QUICK if quick else _SEEDS
        growths.append(
            Growth(
                "devices",
                tuple(powers[:2] if quick else powers),
                -1.0,
                lambda devices: _case(count, "", quick, devices),
            )
        )
    return growths


def _case(count: int, against: str, quick: bool, num_devices: int | None = None) -> Case:
    num_steps = _NUM_STEPS_QUICK if quick else _NUM_STEPS
    keys = seed_keys(0, count)
    splits = jax.jit(jax.vmap(_draw))(keys)

    def train(key, split):
        layer = _network(num_steps)
        params = layer.fit(key, split.train.inputs, split.train.labels)
        return error_rate(layer.apply(params, split.test.inputs), split.test.labels)

    bound = 1 - 1 / _SPEC.num_classes if quick else _MAX_TEST_ERROR

    def check(ours, baseline):
        for errors in (ours, baseline):
            if errors is not None and not np.mean(errors) < bound:
                raise WrongResult(f"mean test error {np.mean(errors)} is not below {bound}")

    baselines = {"PyTorch": lambda: _torch_loop(splits, num_steps)}
    baselines["ours, a seed at a time"] = lambda: _loop(train, keys, splits)
    return Case(
        suite="sweep",
        name=f"{count} seeds, {against}" if against else f"{count} seeds",
        items=count,
        unit="seeds",
        make_ours=lambda: compiled(map_seeds(train, seed_mesh(num_devices)), keys, splits),
        check=check,
        baseline=baselines[against]() if against else None,
        against=against,
    )


def _draw(key: jax.Array):
    grammar = draw_random_hierarchy(jax.random.fold_in(key, 0), _SPEC)
    return make_split(grammar, jax.random.fold_in(key, 1), _NUM_TRAIN, _NUM_TEST)


def _network(num_steps: int) -> Network:
    module = ConvStack(_SPEC.branching[::-1], 8, _SPEC.num_classes, _WIDTH)
    descent = Descent(
        lambda rate: optax.sgd(rate, momentum=torch_baselines.MOMENTUM),
        (_RATE,),
        num_steps,
        _BATCH,
    )
    return Network(module, descent)


def _loop(train: Callable, keys: jax.Array, splits) -> Callable[[], np.ndarray]:
    """A compiled program of one seed, called for each."""
    rows = [jax.tree.map(lambda x, row=row: x[row], (keys, splits)) for row in range(len(keys))]
    program = jax.jit(train).lower(*rows[0]).compile()
    return lambda: np.array([float(program(*row)) for row in rows])


def _torch_loop(splits, num_steps: int) -> Callable[[], np.ndarray]:
    """Data on hand as tensors, a network for each seed."""
    module = cast(ConvStack, _network(num_steps).module)
    data = [
        [
            torch_baselines.tensors(batch.inputs[row], batch.labels[row])
            for batch in (splits.train, splits.test)
        ]
        for row in range(len(splits.num_unseen))
    ]

    def train(seed: int, train_data, test_data) -> float:
        torch_baselines.torch.manual_seed(seed)  # pyrefly: ignore[missing-attribute]: installed.
        network = torch_baselines.conv_stack(module)
        step = torch_baselines.trainer(network, _RATE)
        torch_baselines.from_tensors(step, train_data, num_steps, _BATCH)
        return torch_baselines.error(network, test_data)

    return lambda: np.array([train(seed, *each) for seed, each in enumerate(data)])


def _memory(num_points: int, num_seeds: int) -> Case:
    """A sweep of points that share nothing, each of which takes memory that shows."""

    def draw(offset, key):
        return offset + jax.random.uniform(key, (_POINT_BYTES // 4,))

    def measure(key, data):
        return {"mean": data.mean()}

    points = [
        Point(str(index), 1.0, functools.partial(draw, index), measure)
        for index in range(num_points)
    ]
    keys = seed_keys(0, num_seeds)

    def check(measured, _):
        if any(point.values["mean"].shape != (num_seeds,) for point in measured.values()):
            raise WrongResult("points or seeds of the sweep are missing")

    return Case(
        suite="sweep",
        name=f"memory of {num_points} points, {num_seeds} seeds",
        items=num_points * num_seeds,
        unit="seeds",
        make_ours=lambda: Sweep(points, keys).run,
        check=check,
    )
