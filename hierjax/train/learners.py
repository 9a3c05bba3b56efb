"""Learners that layerwise learning of a random hierarchy is compared with: stacks of one layer.

How each of them is tuned stands in a config, so that a run can record it.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Integer

from hierjax.checks import one_hot
from hierjax.models.conv_stack import ConvStack
from hierjax.models.shallow_net import ShallowNet, one_hot_strings
from hierjax.settings import Config, setting
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.train.descent import Descent
from hierjax.train.kernel_ridge import RADIAL, KernelRidge, radial_kernels
from hierjax.train.losses import CROSS_ENTROPY
from hierjax.train.network import Network

SCHEDULES = ("constant", "cosine")
"""Schedules of the learning rate of the convolutional stack that is trained end to end."""

OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": optax.adam,
    "momentum": lambda rate: optax.sgd(rate, momentum=0.9),
    "sgd": optax.sgd,
}
"""Optimizers of networks that are trained end to end, made of a rate or a schedule, by name."""

_LEARNING_RATES = {
    "adam": (0.01, 0.02, 0.04, 0.08),
    "momentum": (0.1, 0.2, 0.4, 0.8),
    "sgd": (1.0, 2.0, 4.0, 8.0),
}

MAX_KERNEL_TRAIN = 16384
"""Number of train examples up to which kernel machines are fitted by default."""

_MOST_WIDTH, _MOST_BATCH, _MOST_STEPS = 2**16, 2**20, 2**30


@dataclasses.dataclass(frozen=True)
class NetworkConfig(Config):
    """How the convolutional stack is trained end to end.

    Attributes:
      optimizer: optimizer of the network trained end to end.
      schedule: schedule of the learning rate of the network trained end to end; "cosine" falls to
        zero at the last step.
      width: number of features, W, of each layer of the network trained end to end; unset: see
        width_per_symbol.
      batch_size: examples of each step of the end-to-end training.
      num_steps: largest number of steps of the end-to-end training; unset: see passes.
      stop_loss: mean cross-entropy of 100 minibatches that ends the end-to-end training early.
      learning_rates: learning rates tried for the network trained end to end, of which held-out
        examples choose one; unset: four that suit the optimizer.
      clip: largest norm of a gradient of the end-to-end training by momentum; without it rare
        steep batches end long fits at chance.
      width_per_symbol: number of features of each layer of the network trained end to end for each
        symbol of the leaves, if width is unset.
      passes: passes over the train set of the end-to-end training, if num_steps is unset.
      min_steps: least number of steps of the end-to-end training, if num_steps is unset.
      parts: number of parts of a batch of the end-to-end training whose gradients are computed one
        after another and added up, which takes less memory.
      remat: whether the derivative of the network trained end to end computes its layers anew, in
        place of keeping what they made, which takes less memory.

    Raises:
      ValueError: an unknown name, or a number out of bounds; or parts that do not divide a batch.
    """

    optimizer: str = setting("momentum", choices=OPTIMIZERS)
    schedule: str = setting("cosine", choices=SCHEDULES)
    width: int | None = setting(None, least=1, most=_MOST_WIDTH)
    batch_size: int = setting(32, least=1, most=_MOST_BATCH)
    num_steps: int | None = setting(None, least=1, most=_MOST_STEPS)
    stop_loss: float = setting(1e-3, least=0)
    learning_rates: tuple[float, ...] = setting(None, above=0)
    clip: float = setting(1.0, above=0)
    width_per_symbol: int = setting(8, least=1, most=_MOST_WIDTH)
    passes: int = setting(20, least=1, most=_MOST_STEPS)
    min_steps: int = setting(1500, least=1, most=_MOST_STEPS)
    parts: int = setting(1, least=1, most=_MOST_BATCH)
    remat: bool = setting(False)

    def __post_init__(self):
        super().__post_init__()
        if self.batch_size % self.parts:
            raise ValueError(
                f"batch_size={self.batch_size} cannot be cut into parts={self.parts}: make it a "
                f"multiple of {self.parts}"
            )
        if self.learning_rates is None:
            self.fill(learning_rates=_LEARNING_RATES[self.optimizer])


@dataclasses.dataclass(frozen=True)
class ShallowConfig(Config):
    """How the shallow network, of one hidden layer, is trained by Adam with weight decay.

    Attributes:
      width_per_symbol: number of hidden units of the shallow network for each symbol of the leaves.
      learning_rates: learning rates tried for the shallow network, of which held-out examples
        choose one.
      batch_size: examples of each step of the training of the shallow network.
      passes: passes of the shallow network over the train set.
      min_steps: least number of steps of the training of the shallow network.
      weight_decay: weight decay of the shallow network.

    Raises:
      ValueError: a number out of bounds.
    """

    width_per_symbol: int = setting(32, least=1, most=_MOST_WIDTH)
    learning_rates: tuple[float, ...] = setting((0.003, 0.01, 0.03, 0.1), above=0)
    batch_size: int = setting(32, least=1, most=_MOST_BATCH)
    passes: int = setting(20, least=1, most=_MOST_STEPS)
    min_steps: int = setting(3000, least=1, most=_MOST_STEPS)
    weight_decay: float = setting(0.1, least=0)


@dataclasses.dataclass(frozen=True)
class KernelConfig(Config):
    """The kernel machines that are tried, between which held-out examples decide.

    Attributes:
      kernels: radial kernels that are tried for the kernel machine.
      bandwidths: bandwidths of the kernels that are tried for the kernel machine, in units of the
        root mean square distance of two train strings.
      ridges: ridges that are tried for the kernel machine, in units of the mean of the Gram
        matrix's diagonal.
      most_tried: largest number of train strings by which kernel and ridge of the kernel machine
        are chosen.
      most_train: number of train strings up to which a kernel machine is fitted at all.

    Raises:
      ValueError: an unknown name, or a number out of bounds.
    """

    kernels: tuple[str, ...] = setting(tuple(RADIAL), choices=tuple(RADIAL))
    bandwidths: tuple[float, ...] = setting((0.5, 1.0, 2.0, 4.0), above=0)
    ridges: tuple[float, ...] = setting((1e-3, 1e-2, 1e-1, 1.0), least=0)
    most_tried: int = setting(2048, least=2, most=MAX_KERNEL_TRAIN)
    most_train: int = setting(MAX_KERNEL_TRAIN, least=2, most=2**16)


def end_to_end_learner(
    spec: RandomHierarchySpec,
    num_train: int,
    config: NetworkConfig | None = None,
    mesh: Mesh | None = None,
    precision: str = "float32",
) -> tuple[Network]:
    """Makes a convolutional stack matched to the tree, all of its layers trained together.

    Args:
      spec: sizes of the grammars.
      num_train: number of train strings, n, from which the number of steps follows.
      config: how the stack is trained; by default `NetworkConfig()`.
      mesh: the devices that share each batch, see `hierjax.sharding`; None for one device.
      precision: type of what is multiplied, "float32" or "bfloat16"; parameters, sums and losses
        are float32.

    Returns:
      A stack of one layer, from strings (N, d) to class scores (N, C).

    Raises:
      ValueError: the devices do not divide the batch.
    """
    config = NetworkConfig() if config is None else config
    vocab_size = spec.symbols(spec.depth)
    width = config.width or config.width_per_symbol * vocab_size
    passes = -(-config.passes * num_train // config.batch_size)
    num_steps = config.num_steps or max(config.min_steps, passes)

    def optimizer(rate):
        if config.schedule == "cosine":
            rate = optax.cosine_decay_schedule(rate, num_steps)
        chosen = OPTIMIZERS[config.optimizer](rate)
        if config.optimizer == "momentum":
            return optax.chain(clip_gradients(config.clip), chosen)
        return chosen

    descent = Descent(
        optimizer,
        config.learning_rates,
        num_steps,
        config.batch_size,
        config.stop_loss,
        mesh,
        parts=config.parts,
    )
    module = ConvStack(
        spec.branching[::-1],
        vocab_size,
        spec.num_classes,
        width,
        precision=precision,
        remat=config.remat,
    )
    return (Network(module, descent),)


def clip_gradients(most: float) -> optax.GradientTransformation:
    """Clips the norm of gradients, to the bits of optax, which chooses between whole gradients.

    Args:
      most: the largest norm that is left as it is.
    """

    def clipped(updates, _):
        norm = optax.tree.norm(updates)
        divisor, factor = jnp.where(norm < most, 1, norm), jnp.where(norm < most, 1, most)
        return jax.tree.map(lambda u: u / divisor.astype(u.dtype) * factor.astype(u.dtype), updates)

    return optax.stateless(clipped)


def shallow_learner(
    spec: RandomHierarchySpec, num_train: int, config: ShallowConfig | None = None
) -> tuple[Network]:
    """Makes a network of one hidden layer on the one-hot string.

    Args:
      spec: sizes of the grammars.
      num_train: number of train strings, n, from which the number of steps follows.
      config: how the network is trained; by default `ShallowConfig()`.

    Returns:
      A stack of one layer, from strings (N, d) to class scores (N, C).
    """
    config = ShallowConfig() if config is None else config
    vocab_size = spec.symbols(spec.depth)
    num_steps = max(config.min_steps, config.passes * num_train // config.batch_size)

    def optimizer(rate):
        schedule = optax.cosine_decay_schedule(rate, num_steps)
        return optax.adamw(schedule, weight_decay=config.weight_decay)

    module = ShallowNet(vocab_size, spec.num_classes, config.width_per_symbol * vocab_size)
    return (
        Network(module, Descent(optimizer, config.learning_rates, num_steps, config.batch_size)),
    )


def kernel_learner(
    spec: RandomHierarchySpec, config: KernelConfig | None = None
) -> tuple[KernelRidge]:
    """Makes kernel ridge regression on the one-hot string.

    Args:
      spec: sizes of the grammars.
      config: kernels and ridges that are tried; by default `KernelConfig()`.

    Returns:
      A stack of one layer, from strings (N, d) to class scores (N, C).
    """
    config = KernelConfig() if config is None else config

    def embed(tokens: Integer[Array, "N d"]) -> Float[Array, "N dV"]:
        return one_hot_strings(tokens, spec.symbols(spec.depth))

    def encode(labels: Integer[Array, "..."]) -> Float[Array, "... C"]:
        return one_hot(labels, spec.num_classes, "labels", "classes")

    kernels = radial_kernels(config.kernels, config.bandwidths)
    return (KernelRidge(embed, encode, CROSS_ENTROPY, kernels, config.ridges, config.most_tried),)
