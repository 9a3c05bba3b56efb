"""A small sweep whose points can be sent to workers, and a command that drives it until it dies."""

import contextlib
import dataclasses
import os
import signal
import sys

import jax
import jax.numpy as jnp
import numpy as np

from hierjax.runs.parallel import seed_keys
from hierjax.runs.record import RunFolder
from hierjax.runs.sweeps import sweep
from hierjax.runs.sweeps.dask_workers import workers_of
from hierjax.runs.sweeps.points import Point

NUM_SEEDS = 7


@dataclasses.dataclass(frozen=True)
class DrawNumbers:
    """Draws a matrix."""

    size: int

    def __call__(self, key):
        return jax.random.normal(key, (self.size, self.size))


@dataclasses.dataclass(frozen=True)
class Moments:
    """Measures moments of a product; the first process that finds a file there is killed."""

    power: int
    fatal: str = ""

    def __call__(self, key, numbers):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.fatal)
            os.kill(os.getpid(), signal.SIGKILL)
        product = jnp.tanh(numbers @ jax.random.normal(key, numbers.shape)) ** self.power
        # The root is NaN for about half of the seeds.
        return {
            "mean": product.mean(),
            "rows": product.std(axis=1)[:2],
            "root": jnp.sqrt(jax.random.normal(key)),
        }


def make_points(fatal=""):
    """Three points, two of them of the same data."""
    return [
        Point(f"{size} {power}", size, DrawNumbers(size), Moments(power, fatal), size > 50)
        for size, power in ((30, 1), (30, 2), (60, 1))
    ]


def work(folder, executor=None, fatal="", advance=lambda work: None):
    """Measures what is missing."""
    swept = sweep.Sweep(make_points(str(fatal)), seed_keys(0, NUM_SEEDS))
    swept.restore(folder)
    return swept.run(folder, advance, executor)


def run_alone():
    """What this process measures."""
    return sweep.Sweep(make_points(), seed_keys(0, NUM_SEEDS)).run()


def check(measured, expected, folder):
    """The same bits, each seed of each point once."""
    assert measured.keys() == expected.keys()
    for name, point in expected.items():
        assert point.values.keys() == measured[name].values.keys()
        for key, values in point.values.items():
            np.testing.assert_array_equal(measured[name].values[key], values)
    seeds = [(event["point"], seed) for event in folder.events("chunk") for seed in event["seeds"]]
    assert sorted(seeds) == sorted((name, seed) for name in expected for seed in range(NUM_SEEDS))


def main():
    """Dies after the first record."""
    path, scheduler, workers = sys.argv[1:]
    jax.config.update("jax_num_cpu_devices", 2)
    sweep._SEEDS_OF_A_TASK = 3
    with workers_of(scheduler or None, int(workers) if workers else None) as found:
        work(
            RunFolder(path, "test", {}),
            found.executor,
            advance=lambda work: os.kill(os.getpid(), signal.SIGKILL),
        )


if __name__ == "__main__":
    main()
