"""Steps of end-to-end training in a second, against PyTorch and the products they consist of."""

import math
from collections.abc import Callable, Iterator

import jax
import numpy as np
import optax

from benchmarks import torch_baselines
from benchmarks.harness import Case, Growth, WrongResult, compiled
from hierjax.models.conv_stack import ConvStack
from hierjax.tasks.batch import Batch
from hierjax.tasks.grammars import draw_random_hierarchy
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.train.descent import Descent
from hierjax.train.network import Network

_BATCH = 128
_WIDTH, _WIDTH_QUICK, _WIDTH_ON_ACCELERATOR = 256, 16, 4096
_NUM_TRAIN = 4096
_NUM_STEPS, _NUM_STEPS_QUICK = 100, 5
_RATE = 0.01
_TOLERANCE = 1e-3
_MAX_LOSS = 1.5  # Over that of guessing: of the last, or the mean loss of a few steps.
_LOADERS = {
    "PyTorch, DataLoader": torch_baselines.from_loader,
    "PyTorch, tensors": torch_baselines.from_tensors,
}


def cases(quick: bool) -> Iterator[Case]:
    """Two depths, each against both ways to feed PyTorch; a wide stack on an accelerator."""
    width = _WIDTH_QUICK if quick else _WIDTH
    for depth in (3,) if quick else (3, 4):
        for against in _LOADERS if torch_baselines.here() else [""]:
            yield _case(depth, width, against, quick)
    if jax.default_backend() != "cpu" and not quick:
        yield _case(4, _WIDTH_ON_ACCELERATOR, "", quick)


def growths(quick: bool) -> list[Growth]:
    """Of a step with the width and with the depth."""
    return [
        Growth(
            "width",
            (16, 32) if quick else (128, 256, 512, 1024),
            2.0,
            lambda width: _case(3, width, "", quick),
        ),
        Growth(
            "leaves of a string, 2^L",
            (2, 4) if quick else (4, 8, 16, 32),
            1.0,
            lambda leaves: _case(
                leaves.bit_length() - 1, _WIDTH_QUICK if quick else _WIDTH, "", quick
            ),
        ),
    ]


def _case(depth: int, width: int, against: str, quick: bool) -> Case:
    spec = RandomHierarchySpec(8, 8, 4, 2, depth)
    num_steps = _NUM_STEPS_QUICK if quick else _NUM_STEPS
    module = ConvStack(spec.branching[::-1], 8, spec.num_classes, width)
    grammar = draw_random_hierarchy(jax.random.key(0), spec)
    batch = jax.jit(lambda key: grammar.sample(key, _NUM_TRAIN))(jax.random.key(1))
    name = f"{num_steps} steps, L={depth} width {width}"
    return Case(
        suite="end_to_end",
        name=f"{name}, {against}" if against else name,
        items=num_steps,
        unit="steps",
        make_ours=lambda: _ours(module, batch, num_steps),
        baseline=_baseline(module, batch, num_steps, against),
        against=against,
        check=lambda ours, baseline: _check(name, module, batch, ours, baseline),
        flops=num_steps * _BATCH * _flops(module),
    )


def _ours(module: ConvStack, batch: Batch, num_steps: int) -> Callable[[], jax.Array]:
    """A round of the descent that the learners of the library take."""
    layer = Network(module, _descent(num_steps, _BATCH))
    key = jax.random.key(2)
    state = jax.jit(layer.start)(key, batch.inputs, batch.labels)
    advance = compiled(layer.advance, key, state, batch.inputs, batch.labels)
    return lambda: advance().loss


def _descent(num_steps: int, batch_size: int, in_order: bool = False) -> Descent:
    return Descent(
        lambda rate: optax.sgd(rate, momentum=torch_baselines.MOMENTUM),
        (_RATE,),
        num_steps,
        batch_size,
        in_order=in_order,
        steps_per_round=num_steps,
    )


def _baseline(
    module: ConvStack, batch: Batch, num_steps: int, against: str
) -> Callable[[], float] | None:
    if not against:
        return None
    network = torch_baselines.conv_stack(module)
    data = torch_baselines.tensors(batch.inputs, batch.labels)
    step = torch_baselines.trainer(network, _RATE)
    return lambda: _LOADERS[against](step, data, num_steps, _BATCH)


def _flops(module: ConvStack) -> int:
    """Of the products for one string; one-hot leaves are a product like others.

    A layer has three: forwards, to its weights and to what it reads, but for the leaves.
    """
    positions, inputs, forwards = math.prod(module.branching), module.vocab_size, []
    for size in module.branching:
        positions //= size
        forwards.append(2 * positions * size * inputs * module.width)
        inputs = module.width
    forwards.append(2 * module.width * module.num_classes)
    return 3 * sum(forwards) - forwards[0]


def _check(name: str, module: ConvStack, batch: Batch, ours, baseline: float | None) -> None:
    """The loss is that of learning; two steps on the same batch are those of PyTorch."""
    losses = [float(ours)] + ([] if baseline is None else [baseline])
    bound = _MAX_LOSS * math.log(module.num_classes)
    if not all(0 < loss < bound for loss in losses):
        raise WrongResult(f"{name}: not all of the losses {losses} are below {bound:.3f}")
    if baseline is None:
        return
    inputs, labels = batch.inputs[:_BATCH], batch.labels[:_BATCH]
    layer, key = Network(module, _descent(2, _BATCH, in_order=True)), jax.random.key(3)
    state = layer.start(key, inputs, labels)
    network = torch_baselines.conv_stack(module)
    torch_baselines.load(network, state.params["variables"]["params"])
    step, data = torch_baselines.trainer(network, _RATE), torch_baselines.tensors(inputs, labels)
    theirs = np.mean([step(*data).item() for _ in range(2)])
    found = float(layer.advance(key, state, inputs, labels).loss)
    if not abs(found - theirs) < _TOLERANCE * theirs:
        raise WrongResult(f"{name}: two steps end at a loss of {found}, in PyTorch at {theirs}")
