"""A laboratory for hierarchical learning, on JAX.

Data flows one way through the packages; each of them tells in which of its files a name lives.

tasks     where data comes from: grammars, label hierarchies, polynomials; splits.
exact     exact posteriors of grammars, given evidence of any kind.
theory    what is predicted in closed form.
models    Flax Linen modules, Taylor expansions, neural tangent kernels.
train     layers and learners, the layerwise loop, descent; pure functions.
measure   errors, separation of symbols, thresholds and power laws with intervals.
runs      the host's side: devices, seeds, sweeps, checkpoints, records.
plots     figures, from the records alone; imports matplotlib, so `import hierjax` does not.
settings  (a file) fields of configs that know their bounds.
checks    (a file) what every function refuses of its arrays, and the one rule behind it.
distances (a file) squared distances of points.

Here stands what a first page needs:

    spec = hj.RandomHierarchySpec(num_classes=8, vocab_size=8, num_rules=4, branching=2, depth=3)
    grammar = hj.draw_random_hierarchy(jax.random.key(0), spec)
    split = hj.make_split(grammar, jax.random.key(1), num_train=2048, num_test=2000)
    layers = hj.patch_layers(spec)
    params = hj.train_layerwise(layers, split.train, jax.random.key(2))
    error = hj.error_rate(hj.forward(layers, params, split.test.inputs), split.test.labels)
"""

import warnings
from typing import Any

from hierjax import exact, measure, models, runs, tasks, theory, train
from hierjax.measure import error_rate
from hierjax.models import PatchConv
from hierjax.runs import map_seeds, seed_keys
from hierjax.tasks import RandomHierarchySpec, draw_random_hierarchy, make_split
from hierjax.train import (
    Descent,
    Network,
    forward,
    network_layers,
    patch_layers,
    train_layerwise,
)

__version__ = "0.1.0"

__all__ = [
    "Descent",
    "Network",
    "PatchConv",
    "RandomHierarchySpec",
    "draw_random_hierarchy",
    "error_rate",
    "exact",
    "forward",
    "make_split",
    "map_seeds",
    "measure",
    "models",
    "network_layers",
    "patch_layers",
    "runs",
    "seed_keys",
    "tasks",
    "theory",
    "train",
    "train_layerwise",
]


def __getattr__(name: str) -> Any:
    """Names that stood here before each package had a face of its own; deprecated."""
    for package in (tasks, theory, models, train, measure, runs):
        if name in package.__all__:
            where = f"{package.__name__}.{name}"
            warnings.warn(f"hierjax.{name} is {where} now", DeprecationWarning, stacklevel=2)
            return getattr(package, name)
    raise AttributeError(f"module 'hierjax' has no attribute {name!r}")
