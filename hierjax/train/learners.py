"""What layerwise learning of a random hierarchy is compared with: stacks of one layer."""

import dataclasses
from collections.abc import Callable

import jax
import optax
from jax.sharding import Mesh

from hierjax.models.conv_stack import ConvStack
from hierjax.models.shallow_net import ShallowNet, one_hot_strings
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.train.descent import Descent
from hierjax.train.kernel_ridge import RADIAL, KernelRidge, radial_kernels
from hierjax.train.losses import CROSS_ENTROPY
from hierjax.train.network import Network

SCHEDULES = ("constant", "cosine")

# Without clipping rare steep batches end long fits at chance, on any rate.
_MOST_GRADIENT = 1.0
_OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": optax.adam,
    "momentum": lambda rate: optax.chain(
        optax.clip_by_global_norm(_MOST_GRADIENT), optax.sgd(rate, momentum=0.9)
    ),
    "sgd": optax.sgd,
}
_LEARNING_RATES = {
    "adam": (0.01, 0.02, 0.04, 0.08),
    "momentum": (0.1, 0.2, 0.4, 0.8),
    "sgd": (1.0, 2.0, 4.0, 8.0),
}
OPTIMIZERS = tuple(_OPTIMIZERS)

_WIDTH_PER_SYMBOL = 8
_PASSES = 20
_MIN_STEPS = 1500

_SHALLOW_WIDTH_PER_SYMBOL = 32
_SHALLOW_MIN_STEPS = 3000
_SHALLOW_BATCH = 32
_SHALLOW_RATES = (0.003, 0.01, 0.03, 0.1)
_SHALLOW_WEIGHT_DECAY = 0.1

MAX_KERNEL_TRAIN = 16384
_BANDWIDTHS = (0.5, 1.0, 2.0, 4.0)
_BOUNDS = {"width": 2**16, "batch_size": 2**20, "num_steps": 2**30}


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """How the convolutional stack is trained end to end.

    Attributes:
      optimizer: one of `OPTIMIZERS`; its learning rate is chosen on held-out examples.
      schedule: of the rate, one of `SCHEDULES`; "cosine" falls to zero at the last step.
      width: W; None for eight times V.
      batch_size: examples of a step.
      num_steps: most steps; None for twenty times the train set, and 1,500 at least.
      stop_loss: mean cross-entropy of 100 minibatches that ends the training.

    Raises:
      ValueError: an unknown name, or a number out of bounds.
    """

    optimizer: str = "momentum"
    schedule: str = "cosine"
    width: int | None = None
    batch_size: int = 32
    num_steps: int | None = None
    stop_loss: float = 1e-3

    def __post_init__(self):
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is unknown: choose one of {', '.join(known)}"
                )
        for name, bound in _BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not 1 <= value <= bound:
                raise ValueError(f"{name}={value} must be from 1 to {bound}")


def end_to_end_learner(
    spec: RandomHierarchySpec,
    num_train: int,
    config: NetworkConfig | None = None,
    mesh: Mesh | None = None,
) -> tuple[Network]:
    """A convolutional stack matched to the tree, all of its layers trained together.

    Args:
      spec: of the grammars.
      num_train: n.
      config: choices.
      mesh: a `data_mesh` whose devices share each batch.

    Raises:
      ValueError: the devices do not divide the batch.
    """
    config = NetworkConfig() if config is None else config
    vocab_size = spec.symbols(spec.depth)
    width = config.width or _WIDTH_PER_SYMBOL * vocab_size
    passes = -(-_PASSES * num_train // config.batch_size)
    num_steps = config.num_steps or max(_MIN_STEPS, passes)

    def optimizer(rate):
        if config.schedule == "cosine":
            rate = optax.cosine_decay_schedule(rate, num_steps)
        return _OPTIMIZERS[config.optimizer](rate)

    rates = _LEARNING_RATES[config.optimizer]
    descent = Descent(optimizer, rates, num_steps, config.batch_size, config.stop_loss, mesh)
    module = ConvStack(spec.branching[::-1], vocab_size, spec.num_classes, width)
    return (Network(module, descent),)


def shallow_learner(spec: RandomHierarchySpec, num_train: int) -> tuple[Network]:
    """One hidden layer on the one-hot string, trained by Adam with weight decay.

    Args:
      spec: of the grammars.
      num_train: n.
    """
    vocab_size = spec.symbols(spec.depth)
    num_steps = max(_SHALLOW_MIN_STEPS, _PASSES * num_train // _SHALLOW_BATCH)

    def optimizer(rate):
        schedule = optax.cosine_decay_schedule(rate, num_steps)
        return optax.adamw(schedule, weight_decay=_SHALLOW_WEIGHT_DECAY)

    module = ShallowNet(vocab_size, spec.num_classes, _SHALLOW_WIDTH_PER_SYMBOL * vocab_size)
    return (Network(module, Descent(optimizer, _SHALLOW_RATES, num_steps, _SHALLOW_BATCH)),)


def kernel_learner(spec: RandomHierarchySpec, most_tried: int = 2048) -> tuple[KernelRidge]:
    """Kernel ridge regression on the one-hot string, for up to `MAX_KERNEL_TRAIN` strings.

    Args:
      spec: of the grammars.
      most_tried: strings by which kernel and ridge are chosen.
    """

    def embed(tokens: jax.Array) -> jax.Array:
        return one_hot_strings(tokens, spec.symbols(spec.depth))

    def encode(labels: jax.Array) -> jax.Array:
        return jax.nn.one_hot(labels, spec.num_classes)

    kernels = radial_kernels(tuple(RADIAL), _BANDWIDTHS)
    return (KernelRidge(embed, encode, CROSS_ENTROPY, kernels, most_tried=most_tried),)
