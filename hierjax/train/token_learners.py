"""How models of tokens are built and trained."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax.sharding import Mesh
from jaxtyping import Array

from hierjax.models import PRECISIONS, TokenStack, Transformer
from hierjax.settings import Config, setting
from hierjax.tasks import RandomHierarchySpec, TokenExamples
from hierjax.train.adamw import AdamWConfig
from hierjax.train.averaging import averaged
from hierjax.train.descent import Descent
from hierjax.train.losses import TOKEN_CROSS_ENTROPY
from hierjax.train.network import Network
from hierjax.train.probed import Probed
from hierjax.train.streamed import Streamed

PyTree = Any

_MOST_STEPS = 10**8
_MOST_LOOKS = 2**10
_WARM_UP = 20


@dataclasses.dataclass(frozen=True)
class TransformerConfig(Config):
    """How a transformer is built.

    Attributes:
      width: number of features of a position of the transformer, W.
      num_blocks: number of blocks of the transformer.
      num_heads: number of heads of each block, which divides the width.

    Raises:
      ValueError: a number out of bounds, or the heads do not divide the width.
    """

    width: int = setting(64, least=1, most=2**16)
    num_blocks: int = setting(3, least=1, most=2**10)
    num_heads: int = setting(4, least=1, most=2**10)

    def __post_init__(self):
        super().__post_init__()
        if self.width % self.num_heads:
            raise ValueError(
                f"num_heads={self.num_heads} must divide width={self.width}: change one of them"
            )

    def module(
        self,
        num_symbols: int,
        length: int,
        causal: bool,
        precision: str = "float32",
        remat: bool = False,
    ) -> Transformer:
        """Makes the module, from strings of V + 1 symbols to scores of V.

        Args:
          num_symbols: number of symbols of strings, V.
          length: number of positions.
          causal: whether a position sees what is before it alone.
          precision: type of what dense layers multiply.
          remat: whether the derivative computes blocks anew.
        """
        sizes = (num_symbols + 1, num_symbols, length, self.width, self.num_blocks, self.num_heads)
        return Transformer(*sizes, causal, precision, remat)


@dataclasses.dataclass(frozen=True)
class TokenStackConfig(Config):
    """How a convolutional stack that predicts tokens is built.

    Attributes:
      width: number of features of each node of the convolutional stacks, W.
      num_units: number of hidden units of each position that read these features for the next
        token.

    Raises:
      ValueError: a number out of bounds.
    """

    width: int = setting(128, least=1, most=2**16)
    num_units: int = setting(256, least=1, most=2**16)

    def module(
        self,
        spec: RandomHierarchySpec,
        causal: bool,
        tied: bool,
        precision: str = "float32",
        remat: bool = False,
    ) -> TokenStack:
        """Makes the module, matched to the tree.

        Args:
          spec: sizes of the grammars.
          causal: whether the next token is predicted at every position, or else the last one.
          tied: whether all nodes of a level share their weights.
          precision: type of what is multiplied.
          remat: whether the derivative computes layers anew.
        """
        sizes = (spec.branching[::-1], spec.symbols(spec.depth), self.width)
        options = {"tied": tied, "precision": precision, "remat": remat}
        return TokenStack(*sizes, causal, self.num_units, **options)


@dataclasses.dataclass(frozen=True)
class TokenTraining(AdamWConfig):
    """How models of tokens are trained, and looked at meanwhile.

    AdamW takes steps at a constant rate, after twenty that lead up to it; the parameters that are
    kept are averages, see `averaged`.

    Attributes:
      steps_per_round: largest number of steps between two states that can be saved.
      num_looks: number of states at which parameters are kept, besides those at the start; their
        steps are spaced by a factor.
      precision: type of what dense layers multiply; parameters, sums and losses are float32.
      remat: whether the derivative computes blocks of layers anew, in place of keeping what they
        made, which takes less memory.

    Raises:
      ValueError: a number out of bounds.
    """

    steps_per_round: int = setting(20, least=1, most=_MOST_STEPS)
    num_looks: int = setting(24, least=1, most=_MOST_LOOKS)
    precision: str = setting("float32", choices=PRECISIONS)
    remat: bool = setting(False)

    def descent(self, mesh: Mesh | None = None) -> Descent:
        """Makes the descent, which takes examples in order.

        Args:
          mesh: the devices that share each batch, see `hierjax.sharding`; None for one device.
        """

        def optimizer(rate):
            return averaged(self.optimizer(optax.linear_schedule(0.0, rate, _WARM_UP)))

        return Descent(
            optimizer,
            (self.learning_rate,),
            self.num_steps,
            self.batch_size,
            mesh=mesh,
            in_order=True,
            steps_per_round=self.steps_per_round,
            evaluated=lambda state, _: state.average,
        )

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of rounds after which parameters are kept, from 0 for the start to the last."""
        num_rounds = -(-self.num_steps // self.descent().round_steps)
        spaced = np.geomspace(num_rounds, 1, self.num_looks).round().astype(int)
        return (0, *map(int, np.unique(spaced)))

    @property
    def steps_of_looks(self) -> tuple[int, ...]:
        """Numbers of steps after which parameters are kept."""
        return tuple(min(each * self.descent().round_steps, self.num_steps) for each in self.looks)


def token_learner(
    module: nn.Module,
    training: TokenTraining,
    draw: Callable[[Array, PyTree, int], TokenExamples],
    mesh: Mesh | None = None,
) -> tuple[Probed]:
    """Makes a model of tokens that is trained end to end, and whose parameters are kept at looks.

    Args:
      module: the model, from inputs (N, d) to scores (N, d, V).
      training: how it is trained.
      draw: (key, source, number of examples) -> the examples, see `Streamed`.
      mesh: the devices that share each batch, see `hierjax.sharding`; None for one device.

    Returns:
      A stack of one layer, whose trace (looks, ...) are the parameters of the network.
    """
    network = Network(module, training.descent(mesh), loss=TOKEN_CROSS_ENTROPY)
    return (Probed(Streamed(network, draw), lambda params: params, training.looks),)


@functools.cache
def require_causal(module: nn.Module, num_symbols: int, length: int) -> None:
    """Refuses a model that sees tokens which it is to predict.

    Its scores up to a position, with random weights, must not change with later inputs. Positions
    are tried at powers of two.

    Args:
      module: the model, from inputs (N, d) to scores (N, d, V).
      num_symbols: number of symbols of strings, V.
      length: number of positions, d.

    Raises:
      ValueError: the model sees ahead; the position is named.
    """
    key = jax.random.key(0)
    ends = [2**power for power in range(length.bit_length()) if 2**power < length]
    one, other = jax.random.randint(key, (2, length), 0, num_symbols)
    later = jnp.arange(length)[None] >= jnp.array(ends, int)[:, None]
    strings = jnp.concatenate([one[None], jnp.where(later, other[None], one[None])])
    scores = jax.jit(lambda strings: module.init_with_output(key, strings)[0])(strings)
    for end, changed in zip(ends, np.asarray(scores[1:]), strict=True):
        if not np.allclose(changed[:end], scores[0, :end], atol=1e-5):
            raise ValueError(
                f"{type(module).__name__} sees tokens after position {end - 1} there: to predict "
                "every token from those before it, take a causal model"
            )
