"""Transformers that differ in their number of blocks."""

import dataclasses

from hierjax.models import Transformer
from hierjax.settings import Config, setting
from hierjax.train import TokenTraining


@dataclasses.dataclass(frozen=True)
class BlocksConfig(Config):
    """How transformers are built, one for each number of blocks.

    Attributes:
      num_blocks: numbers of blocks of the transformers, one for each, ascending.
      width: number of features of a position, W.
      num_heads: number of heads of each block, which divides the width.

    Raises:
      ValueError: a number out of bounds.
    """

    num_blocks: tuple[int, ...] = setting((1, 4), least=1, most=2**7, ascending=True)
    width: int = setting(64, least=1, most=2**12)
    num_heads: int = setting(2, least=1, most=2**7)

    def modules(
        self,
        num_symbols: int,
        length: int,
        causal: bool,
        training: TokenTraining,
        positions: str = "learned",
    ) -> dict[int, Transformer]:
        """Makes the models, by number of blocks, from strings of V + 1 symbols to scores of V.

        Args:
          num_symbols: number of symbols of strings, V.
          length: largest number of positions.
          causal: whether a position sees what is before it alone.
          training: how they are trained, which says what they multiply.
          positions: how positions enter, see `hierjax.models.Transformer`.

        Raises:
          ValueError: the heads do not divide the width.
        """
        whole = Transformer(
            num_symbols + 1,
            num_symbols,
            length,
            self.width,
            num_heads=self.num_heads,
            causal=causal,
            precision=training.precision,
            remat=training.remat,
            positions=positions,
        )
        return {count: whole.clone(num_blocks=count) for count in self.num_blocks}
