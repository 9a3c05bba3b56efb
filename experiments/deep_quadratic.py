"""Which learners find the terms of deep quadratic functions of signs (arXiv 2601.19756, App. C).

The target is a sum such as x1 x2 + x3 x4 + x1 x2 x3 x4 + x5 x6, in which each term is the product
of two inputs or lower terms. Three learners see the same examples: one goes level by level, and
explains the labels by products of two of what its layers below have found; one is a residual
network trained end to end, and one a kernel machine, whose choices are made on validation.

    python -m experiments.deep_quadratic

With the default sizes (32 inputs, 28 terms in 3 levels) expect that layer by layer all terms are
found of 800 examples, and nearly all of 400, where the errors over the variance of the others are
about 1; they are .74 and .62 at 1,500. It takes a minute and a half on two cores.
"""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from flax import struct

from experiments.runner import run
from hierjax.measure import spread
from hierjax.models import ResidualNet
from hierjax.runs import (
    ERROR,
    LayerwiseExperiment,
    Results,
    RunRequest,
    Stack,
    described,
    measures,
    nested,
    total_seconds,
)
from hierjax.settings import setting
from hierjax.tasks import Batch, DeepQuadratic, DeepQuadraticSpec, draw_deep_quadratic
from hierjax.train import (
    MAX_KERNEL_TRAIN,
    SQUARED,
    Descent,
    KernelRidge,
    Network,
    ProductLayer,
    class_scores,
    product_supports,
    radial_kernels,
)

LEARNERS = ("layerwise", "end_to_end", "kernel")
_PLACES = 2
_STEPS_PER_LOOK = 25


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(RunRequest):
    """What is asked for; its fields are the flags.

    Attributes:
      task: sizes of the targets.
      num_train: numbers of train examples, n, ascending; smaller train sets are the first
        examples of larger ones.
      num_test: fresh examples on which errors are measured.
      num_seeds: number of seeds; each draws its own target, data and weights.
      num_blocks: blocks of the residual network that is trained end to end.
      width: width of the residual network.
      num_steps: largest number of steps of the network with each learning rate.
      patience: steps without improvement on validation after which a learning rate is given up.
      learning_rates: learning rates of Adam that are tried for the network.
      batch_size: examples of each step.
      bandwidths: bandwidths of the radial kernels that are tried, in units of the root mean square
        distance of two train examples.
    """

    task: DeepQuadraticSpec = nested(DeepQuadraticSpec)
    num_train: tuple[int, ...] = setting(
        (200, 400, 800, 1500), least=16, most=MAX_KERNEL_TRAIN, ascending=True
    )
    num_test: int = setting(4000, least=1, most=2**22)
    num_seeds: int = setting(5, least=1, most=2**20)
    num_blocks: int = setting(1, least=1, most=2**6)
    width: int = setting(256, least=1, most=2**14)
    num_steps: int = setting(2000, least=1, most=2**24)
    patience: int = setting(500, least=1)
    learning_rates: tuple[float, ...] = setting((1e-3, 3e-3, 1e-2), above=0)
    batch_size: int = setting(128, least=1, most=2**16)
    bandwidths: tuple[float, ...] = setting((0.5, 1.0, 2.0), above=0)


class SeedData(struct.PyTreeNode):
    """What the learners of a seed share.

    Attributes:
      task: the target.
      train: as many examples as the largest train set has.
      test: fresh examples.
    """

    task: DeepQuadratic
    train: Batch
    test: Batch


def draw(key: jax.Array, request: Request) -> SeedData:
    """Draws the target of a seed, and all examples of it."""
    task = draw_deep_quadratic(jax.random.fold_in(key, 0), request.task)
    test = task.sample(jax.random.fold_in(key, 1), request.num_test)
    train = task.sample(jax.random.fold_in(key, 3), request.num_train[-1])
    return SeedData(task, train.replace(latents=()), test.replace(latents=()))


def learners(request: Request) -> dict[str, Stack]:
    """The three learners, each at each number of examples, smallest first."""
    stacks = {
        "layerwise": layerwise(request.task),
        "end_to_end": end_to_end(request),
        "kernel": kernel(request),
    }
    return {
        f"{name}_{num_train}": Stack(stacks[name], functools.partial(_first, num_train))
        for num_train in request.num_train
        for name in LEARNERS
    }


def _first(num_train: int, data: SeedData, index: int) -> Batch:
    return jax.tree.map(lambda leaf: leaf[:num_train], data.train)


def layerwise(spec: DeepQuadraticSpec) -> tuple[ProductLayer, ...]:
    """A layer for each level, with places for twice as many products as there are terms."""
    return (ProductLayer(spec.num_inputs, _PLACES * spec.num_terms),) * spec.depth


def end_to_end(request: Request) -> tuple[Network]:
    """A residual network, trained by Adam; the rate falls to zero by a cosine."""

    def optimizer(rate):
        return optax.adam(optax.cosine_decay_schedule(rate, request.num_steps))

    descent = Descent(
        optimizer,
        request.learning_rates,
        request.num_steps,
        request.batch_size,
        patience=request.patience,
        steps_per_round=_STEPS_PER_LOOK,
    )
    return (Network(ResidualNet(1, request.num_blocks, request.width), descent, loss=SQUARED),)


def kernel(request: Request) -> tuple[KernelRidge]:
    """Kernel ridge regression with a radial kernel."""
    kernels = radial_kernels(("rbf", "laplace"), request.bandwidths)
    return (KernelRidge(lambda x: x, lambda y: y[:, None], SQUARED, kernels),)


MEASURES = measures()


@MEASURES.add("test_error", column="test error (worst)", text=ERROR)
def test_error(layers, data, below, params):
    """Squared error on fresh inputs, over the target's variance, which is 1."""
    values = class_scores(layers, (*below, params), data.test.inputs)
    return jnp.mean(SQUARED.per_example(values, data.test.labels))


@MEASURES.add("supports_found", column="supports found")
def supports_found(layers, data, below, params):
    """Share of the target's terms that are among the products found."""
    hits = _hits(layers, data, (*below, params))
    return None if hits is None else hits.any(axis=0).mean()


@MEASURES.add("supports_wrong", column="wrong", text="{mean:.1f}")
def supports_wrong(layers, data, below, params):
    """Number of products found that are no terms of the target."""
    hits = _hits(layers, data, (*below, params))
    return None if hits is None else (params.kept & ~hits.any(axis=1)).sum()


def _hits(layers, data: SeedData, params) -> jax.Array | None:
    """Returns whether each product found is each term, (products, terms)."""
    if not isinstance(layers[0], ProductLayer):
        return None
    found = product_supports(layers, params)
    return (found[:, None] == data.task.terms[None]).all(axis=-1)


def headline(request: Request) -> str:
    """What is about to be run."""
    task = request.task
    return (
        f"deep quadratic functions of {task.num_inputs} signs, {task.num_terms} terms in "
        f"{task.depth} levels: {', '.join(map(str, request.num_train))} train examples, "
        f"{request.num_seeds} seeds"
    )


def summarize(request: Request, results: Results) -> dict:
    """The content of summary.json."""

    def each(entry) -> dict:
        return {
            name: {str(n): entry(results[f"{name}_{n}"]) for n in request.num_train}
            for name in LEARNERS
        }

    def last(name: str, layers) -> dict:
        values = layers[-1].measured[name]
        return spread(values) | {"min": float(values.min())}

    found = {str(n): results[f"layerwise_{n}"] for n in request.num_train}
    tops = {"end_to_end": end_to_end(request)[0], "kernel": kernel(request)[0]}
    names = ("num_train", "num_test", "num_seeds", "seed", "num_blocks", "width", "num_steps")
    more = ("patience", "learning_rates", "batch_size", "bandwidths")
    return {
        **dataclasses.asdict(request.task),
        **{name: getattr(request, name) for name in (*names, *more)},
        "supports_found": {n: last("supports_found", layers) for n, layers in found.items()},
        "supports_wrong": {n: last("supports_wrong", layers) for n, layers in found.items()},
        "test_error": each(lambda layers: spread(layers[-1].measured["test_error"])),
        "chosen": {
            name: {
                str(n): described(top, results[f"{name}_{n}"][-1].measured)
                for n in request.num_train
            }
            for name, top in tops.items()
        },
        "seconds": each(total_seconds),
    }


def notes(summary: dict) -> list[str]:
    """At which numbers of examples all terms are found, and what to know of the errors."""
    found = summary["supports_found"]
    lines = [
        f"n = {n}: {each['mean']:.1%} of {summary['num_terms']} terms are found layer by layer, "
        f"all of them in {each['per_seed'].count(1.0)} of {summary['num_seeds']} seeds"
        for n, each in found.items()
    ]
    return [
        *lines,
        "errors over the variance, 1 for guessing the mean, on fresh inputs; "
        f"{summary['num_seeds']} seeds, on {summary['device']}",
    ]


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import deep_quadratic_figure

    return deep_quadratic_figure(folder)


EXPERIMENT = LayerwiseExperiment(
    name="deep_quadratic",
    doc=__doc__,
    request=Request,
    draw=draw,
    learners=learners,
    measures=MEASURES,
    headline=headline,
    summarize=summarize,
    notes=notes,
    figure=figure,
)
main = functools.partial(run, EXPERIMENT)

if __name__ == "__main__":
    main()
