"""What saving every layer adds to layerwise training."""

import functools
import tempfile
from collections.abc import Callable, Iterator

import jax
import numpy as np

from benchmarks.harness import Case, Growth, WrongResult
from hierjax.runs import LayerCheckpoints, map_seeds, seed_keys
from hierjax.tasks import RandomHierarchySpec, draw_random_hierarchy, make_split
from hierjax.theory import predicted_num_train
from hierjax.train import forward, layer_key, patch_layers

_SHORT = RandomHierarchySpec(8, 8, 4, 2, 3)
_LONG = RandomHierarchySpec(8, 16, 4, 2, 5)
_TRAIN_MULTIPLE = 4
_NUM_TEST = 500
_SEEDS, _SEEDS_QUICK = 10, 1


def cases(quick: bool) -> Iterator[Case]:
    """Every layer of a stack saved when it is fitted, against none saved; short fits and long."""
    sizes = ((_SHORT, _SEEDS_QUICK),) if quick else ((_SHORT, _SEEDS), (_LONG, 1))
    for spec, count in sizes:
        name = f"L={spec.depth}, {count} seeds, every layer saved"
        yield _case(_Stack(spec, count), name, compare=True)


def growths(quick: bool) -> list[Growth]:
    """Of fitting and saving with the number of seeds, and so with the bytes that are saved."""
    return [
        Growth(
            "seeds saved",
            (1, 2) if quick else (2, 4, 8, 16),
            1.0,
            lambda count: _case(_Stack(_SHORT, count), f"{count} seeds", compare=False),
        )
    ]


class _Stack:
    """Programs that fit the layers of many seeds, one after another."""

    def __init__(self, spec: RandomHierarchySpec, count: int):
        self._keys = seed_keys(0, count)
        self._layers = patch_layers(spec)
        self._data = jax.jit(jax.vmap(functools.partial(_draw, spec)))(self._keys)
        self._fits = []

    def compile(self) -> None:
        """Before all else."""
        below = ()
        for index in range(len(self._layers)):
            fit = map_seeds(functools.partial(self._fit, index))
            lowered = fit.lower(self._keys, self._data, below)
            self._fits.append(lowered.compile())
            below += (lowered.out_info,)

    def train(self, save: Callable[[int, list], None] = lambda index, params: None) -> list:
        """The parameters of all layers, each handed to `save` when it is fitted."""
        finished = []
        for index, fit in enumerate(self._fits):
            # The host has them, as in experiments, which go on from layers that were saved.
            finished.append(jax.device_get(fit(self._keys, self._data, tuple(finished))))
            save(index, finished[-1])
        return finished

    def layout(self, index: int):
        """Shapes of the parameters of a layer."""
        return self._fits[index].out_info

    def _fit(self, index: int, key, split, below):
        hidden = forward(self._layers, below, split.train.inputs)
        return self._layers[index].fit(layer_key(key, index), hidden, split.train.labels)


def _draw(spec: RandomHierarchySpec, key: jax.Array):
    grammar = draw_random_hierarchy(jax.random.fold_in(key, 0), spec)
    num_train = _TRAIN_MULTIPLE * predicted_num_train(spec)
    return make_split(grammar, jax.random.fold_in(key, 1), num_train, _NUM_TEST)


def _case(stack: _Stack, name: str, compare: bool) -> Case:
    def make_ours():
        stack.compile()
        return train_and_save

    def train_and_save():
        with tempfile.TemporaryDirectory() as folder, LayerCheckpoints(folder) as checkpoints:
            return stack.train(checkpoints.save)

    def check(ours, _):
        with tempfile.TemporaryDirectory() as folder:
            with LayerCheckpoints(folder) as checkpoints:
                stack.train(checkpoints.save)
            with LayerCheckpoints(folder) as checkpoints:
                restored = checkpoints.restore(len(ours), stack.layout)
        same = jax.tree.map(np.array_equal, ours, jax.device_get(restored))
        if not jax.tree.all(same):
            raise WrongResult(f"{name}: what was restored is not what was saved")

    return Case(
        suite="checkpoint",
        name=name,
        items=1,
        unit="stacks",
        make_ours=make_ours,
        check=check,
        baseline=stack.train if compare else None,
        against="nothing saved" if compare else "",
    )
