"""Train strings that layerwise learning uses up in a second, a whole stack in one program."""

from collections.abc import Iterator

import jax

from benchmarks.harness import Case, WrongResult, compiled
from hierjax.measure.metrics import error_rate
from hierjax.tasks.grammars import draw_random_hierarchy
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.tasks.splits import make_split
from hierjax.theory.random_hierarchy import predicted_num_train
from hierjax.train.layerwise import forward, train_layerwise
from hierjax.train.patch_layer import PatchLayerConfig
from hierjax.train.patch_stack import patch_layers

_GRAMMARS = (
    ("C8 V8 M4 S2 L3", RandomHierarchySpec(8, 8, 4, 2, 3)),
    ("C8 V8 M3 S2 L4", RandomHierarchySpec(8, 8, 3, 2, 4)),
    ("C8 V8 M8 S3 L2", RandomHierarchySpec(8, 8, 8, 3, 2)),
    ("C8 V8 M8 S2 L3", RandomHierarchySpec(8, 8, 8, 2, 3)),
    ("C8 V16 M4 S2 L5", RandomHierarchySpec(8, 16, 4, 2, 5)),
)
_TRAIN_MULTIPLE = 4
_NUM_TEST = 2_000
_MAX_TEST_ERROR = 0.1


def cases(quick: bool) -> Iterator[Case]:
    """One case for each grammar, one seed at 4 x C*M^L strings; `quick` keeps the smallest."""
    for name, spec in _GRAMMARS[:1] if quick else _GRAMMARS:
        yield _case(name, spec)


def _case(name: str, spec: RandomHierarchySpec) -> Case:
    key = jax.random.key(0)
    num_train = _TRAIN_MULTIPLE * predicted_num_train(spec)
    grammar = draw_random_hierarchy(jax.random.fold_in(key, 0), spec)
    split = make_split(grammar, jax.random.fold_in(key, 1), num_train, _NUM_TEST)
    layers = patch_layers(spec, PatchLayerConfig())

    def train(key, batch):
        return train_layerwise(layers, lambda _: batch, key)

    @jax.jit
    def test_error(params, test):
        return error_rate(forward(layers, params, test.inputs), test.labels)

    def check(params, _):
        error = float(test_error(params, split.test))
        if not error < _MAX_TEST_ERROR:
            raise WrongResult(f"{name}: test error {error:.4f} is not below {_MAX_TEST_ERROR}")

    return Case(
        suite="layerwise",
        name=name,
        items=num_train,
        unit="strings",
        make_ours=lambda: compiled(train, jax.random.fold_in(key, 2), split.train),
        baseline=None,
        check=check,
    )
