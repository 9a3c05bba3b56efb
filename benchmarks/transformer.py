"""Steps of the training of a transformer on tokens in a second, against PyTorch."""

import dataclasses
import math
from collections.abc import Callable, Iterator

import jax
import numpy as np
import optax

from benchmarks import torch_baselines, torch_transformer
from benchmarks.harness import Case, Growth, WrongResult, compiled
from hierjax.models import Transformer
from hierjax.tasks import (
    NOT_ASKED,
    RandomHierarchySpec,
    TokenExamples,
    draw_random_hierarchy,
    next_token,
)
from hierjax.train import (
    TOKEN_CROSS_ENTROPY,
    Descent,
    Network,
    TokenTraining,
    TransformerConfig,
    clip_gradients,
)

_SPEC = RandomHierarchySpec(16, 16, 4, 2, 3)
_NUM_TRAIN = 4096
_NUM_STEPS, _NUM_STEPS_QUICK = 20, 3
_CONFIG, _CONFIG_QUICK = TransformerConfig(), TransformerConfig(16, 1, 2)
_TOLERANCE = 1e-3
_BASELINES = {"PyTorch": False, "PyTorch, compiled": True}


def cases(quick: bool) -> Iterator[Case]:
    """The transformer of language steps, against PyTorch as it is and compiled."""
    for against in _BASELINES if torch_baselines.here() else [""]:
        if not (quick and against and _BASELINES[against]):  # Compiling takes a minute.
            yield _case(against, quick)


def growths(quick: bool) -> list[Growth]:
    """No growth is measured."""
    return []


def _case(against: str, quick: bool) -> Case:
    config = _CONFIG_QUICK if quick else _CONFIG
    num_steps = _NUM_STEPS_QUICK if quick else _NUM_STEPS
    num_symbols, training = _SPEC.symbols(_SPEC.depth), TokenTraining(num_steps=num_steps)
    module = config.module(num_symbols, _SPEC.num_leaves, causal=True)
    grammar = draw_random_hierarchy(jax.random.key(0), _SPEC)
    strings = grammar.sample(jax.random.key(1), _NUM_TRAIN).inputs
    examples = next_token(strings, num_symbols)
    name = f"{num_steps} steps, width {config.width}, {config.num_blocks} blocks"
    return Case(
        suite="transformer",
        name=f"{name}, {against}" if against else name,
        items=num_steps,
        unit="steps",
        make_ours=lambda: _ours(module, training, examples),
        baseline=_baseline(module, training, examples, against),
        against=against,
        check=lambda ours, baseline: _check(name, module, training, examples, ours, baseline),
        flops=num_steps * training.batch_size * _flops(module),
    )


def _descent(training: TokenTraining, in_order: bool) -> Descent:
    """That of the library without averages, which PyTorch's has not."""

    def optimizer(rate):
        adamw = optax.adamw(rate, weight_decay=training.weight_decay)
        return optax.chain(clip_gradients(training.clip), adamw)

    return Descent(
        optimizer,
        (training.learning_rate,),
        training.num_steps,
        training.batch_size,
        in_order=in_order,
        steps_per_round=training.num_steps,
    )


def _network(module: Transformer, training: TokenTraining, in_order: bool = False) -> Network:
    return Network(module, _descent(training, in_order), loss=TOKEN_CROSS_ENTROPY)


def _ours(
    module: Transformer, training: TokenTraining, examples: TokenExamples
) -> Callable[[], jax.Array]:
    network, key = _network(module, training), jax.random.key(2)
    state = jax.jit(network.start)(key, *examples)
    advance = compiled(network.advance, key, state, *examples)
    return lambda: advance().loss


def _baseline(
    module: Transformer, training: TokenTraining, examples: TokenExamples, against: str
) -> Callable[[], float] | None:
    if not against:
        return None
    network = torch_transformer.transformer(module)
    data = torch_baselines.tensors(*examples)
    step = torch_transformer.trainer(network, training, _BASELINES[against])
    return lambda: torch_baselines.from_tensors(step, data, training.num_steps, training.batch_size)


def _flops(module: Transformer) -> int:
    """Of the products for one string, one-hot symbols left out, forwards and twice that back."""
    width, length = module.width, module.length
    dense = 3 * width + width + 8 * width
    attention = 2 * length
    block = 2 * length * width * (dense + attention)
    return 3 * (module.num_blocks * block + 2 * length * width * module.num_outputs)


def _check(
    name: str,
    module: Transformer,
    training: TokenTraining,
    examples: TokenExamples,
    ours,
    baseline: float | None,
) -> None:
    """The loss is that of learning; two steps on the same batch are those of PyTorch."""
    assert not (np.asarray(examples.targets) == NOT_ASKED).any()
    losses = [float(ours)] + ([] if baseline is None else [baseline])
    bound = 1.5 * module.length * math.log(module.num_outputs)
    if not all(0 < loss < bound for loss in losses):
        raise WrongResult(f"{name}: not all of the losses {losses} are below {bound:.3f}")
    if baseline is None:
        return
    training = dataclasses.replace(training, num_steps=2)
    inputs, targets = (each[: training.batch_size] for each in examples)
    ordered, key = _network(module, training, in_order=True), jax.random.key(3)
    state = ordered.start(key, inputs, targets)
    network = torch_transformer.transformer(module)
    torch_transformer.load(network, state.params["variables"]["params"])
    step = torch_transformer.trainer(network, training, compiled=False)
    data = torch_baselines.tensors(inputs, targets)
    theirs = np.mean([step(*data).item() for _ in range(2)])
    found = float(ordered.advance(key, state, inputs, targets).loss)
    if not abs(found - theirs) < _TOLERANCE * theirs:
        raise WrongResult(f"{name}: two steps end at a loss of {found}, in PyTorch at {theirs}")
