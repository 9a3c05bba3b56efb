"""Each layer of a deep linear network compresses classes by the same factor (arXiv 2311.02960).

A network of hidden layers without activations is trained by gradient descent from small orthogonal
matrices on nearly orthonormal inputs, whose classes have nothing in common. Once it is trained,
within-class compression, tr Sigma_W / tr Sigma_B, falls by the same factor with each layer, and
between-class discrimination, 1 - the largest cosine of two class means, rises by the same step.

    python -m experiments.layer_compression

With the default sizes (5 hidden layers of width 50, 30 inputs of 3 classes) expect a slope of log10
compression of -1.22 a layer in every seed, and an R^2 of .99 and more for the discrimination, a
mean over 20 seeds, in half a minute on two cores.
"""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from experiments.collapse import add_collapse, curves
from experiments.runner import run
from hierjax.measure import class_collapse, spread, trend
from hierjax.models import DeepLinearNet
from hierjax.runs import (
    LayerwiseExperiment,
    Results,
    RunRequest,
    Stack,
    measures,
    root_key,
    total_seconds,
)
from hierjax.settings import setting
from hierjax.tasks import Batch, OrthonormalClasses
from hierjax.train import SQUARED_CLASSES, Descent, Network, class_scores

_LEARNER = "deep_linear"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(RunRequest):
    """What is asked for; its fields are the flags.

    Attributes:
      num_layers: hidden layers of the network.
      width: number of features of each hidden layer.
      num_train: number of inputs, N, all of which every step sees; at most num_inputs.
      num_inputs: dimension of the inputs, d.
      num_classes: number of classes, K, which take turns; at most num_train.
      noise: standard deviation of the noise on each number of an input; without it the inputs are
        orthonormal.
      init_scale: singular values of all matrices at the start; the smaller it is, the more each
        layer compresses.
      learning_rate: step size of gradient descent on 1/(2N) times the squared distance of the
        outputs to the one-hot classes.
      num_steps: steps of gradient descent.
    """

    num_layers: int = setting(5, least=2, most=2**6)
    width: int = setting(50, least=1, most=2**12)
    num_train: int = setting(30, least=2, most=2**12)
    num_inputs: int = setting(50, least=2, most=2**12)
    num_classes: int = setting(3, least=2, most=2**12)
    noise: float = setting(0.028, least=0, most=1000)
    init_scale: float = setting(0.3, above=0, most=10)
    learning_rate: float = setting(0.1, above=0)
    num_steps: int = setting(6000, least=1, most=2**24)
    num_seeds: int = setting(20, least=1, most=2**20)

    def __post_init__(self):
        super().__post_init__()
        if self.num_classes > self.num_train:
            raise ValueError(
                f"num_classes={self.num_classes} must be at most num_train={self.num_train}, so "
                "that each class has an input"
            )
        jax.eval_shape(lambda: draw(root_key(0), self))  # Refused here, if it is.


class SeedData(struct.PyTreeNode):
    """What a seed draws.

    Attributes:
      task: where the examples come from.
      train: the examples, on which features are measured, too.
    """

    task: OrthonormalClasses
    train: Batch


def draw(key: jax.Array, request: Request) -> SeedData:
    """The inputs of a seed and their classes."""
    task = OrthonormalClasses(request.num_inputs, request.num_classes, request.noise)
    train = task.sample(jax.random.fold_in(key, 0), request.num_train)
    return SeedData(task, train.replace(latents=()))


def learners(request: Request) -> dict[str, Stack]:
    """The network, all of whose layers are trained together."""
    module = DeepLinearNet(
        request.num_classes, request.num_layers, request.width, request.init_scale
    )
    # Batches of all examples, in order: the gradient of their mean loss.
    descent = Descent(
        optax.sgd, (request.learning_rate,), request.num_steps, request.num_train, in_order=True
    )
    layers = (Network(module, descent, loss=SQUARED_CLASSES),)
    return {_LEARNER: Stack(layers, lambda data, index: data.train)}


MEASURES = measures()
add_collapse(
    MEASURES,
    lambda data: data.train.inputs,
    lambda features, data: class_collapse(features, data.train.labels, data.task.num_classes),
)


@MEASURES.add("train_loss", column="train loss", text="{mean:.2g}")
def train_loss(layers, data, below, params):
    """Mean loss on all inputs, which is minimised."""
    scores = class_scores(layers, (*below, params), data.train.inputs)
    return jnp.mean(SQUARED_CLASSES.per_example(scores, data.train.labels))


def headline(request: Request) -> str:
    """What is about to be run."""
    return (
        f"deep linear networks of {request.num_layers} layers of {request.width}: "
        f"{request.num_train} inputs of {request.num_inputs} numbers in {request.num_classes} "
        f"classes, {request.num_steps} steps, {request.num_seeds} seeds"
    )


def summarize(request: Request, results: Results) -> dict:
    """The content of summary.json."""
    (layer,) = results[_LEARNER]
    falls = [trend(np.log10(curve)) for curve in layer.measured["collapse"]["compression"]]
    discrimination = layer.measured["collapse"]["discrimination"].astype(np.float64)
    rise = trend(discrimination.mean(axis=0))
    return {
        **request.own,
        "compression_slope": spread([line.slope for line in falls]),
        "compression_r2": spread([line.r2 for line in falls]),
        "discrimination_slope": rise.slope,
        "discrimination_r2": rise.r2,
        "discrimination_rises": spread(discrimination[:, -1] - discrimination[:, 0]),
        **curves(results)[_LEARNER],
        "train_loss": spread(layer.measured["train_loss"]),
        "seconds": total_seconds(results[_LEARNER]),
    }


def notes(summary: dict) -> list[str]:
    """The fitted rates, and in how many seeds they are those of the mean."""
    slope, rises = summary["compression_slope"], summary["discrimination_rises"]["per_seed"]
    bent = 1 - min(summary["compression_r2"]["per_seed"])
    return [
        f"compression: log10 slope {slope['mean']:.3f} ± {slope['std']:.3f} a layer, "
        f"1 - R^2 of each seed at most {bent:.1g}",
        f"discrimination: mean over seeds rises by {summary['discrimination_slope']:.4f} a layer, "
        f"R^2 {summary['discrimination_r2']:.6f}; it rises in {sum(x > 0 for x in rises)} of "
        f"{summary['num_seeds']} seeds",
        f"{summary['num_seeds']} seeds, on {summary['device']}",
    ]


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import compression_figure

    return compression_figure(folder)


EXPERIMENT = LayerwiseExperiment(
    name="layer_compression",
    doc=__doc__,
    request=Request,
    draw=draw,
    learners=learners,
    measures=MEASURES,
    shown="train_loss",
    headline=headline,
    summarize=summarize,
    notes=notes,
    figure=figure,
)
main = functools.partial(run, EXPERIMENT)

if __name__ == "__main__":
    main()
