"""Masked strings: what a seed draws for its models, and models beside filtered inference."""

from typing import cast

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Key

from hierjax.exact import observe, posteriors
from hierjax.runs.learners.tokens import of_tokens
from hierjax.tasks import (
    NOT_ASKED,
    FilteredHierarchy,
    FixedStrings,
    GrammarDraw,
    RandomHierarchySpec,
    TokenExamples,
    make_split,
    masked_tokens,
)


class MaskedData(struct.PyTreeNode):
    """The strings of a seed.

    Attributes:
      train: the train strings.
      test: (N, d) test strings.
      asked: what models are asked of them.
      answers: (L + 1, N, d, V) probabilities of each token of test strings, given those that are
        not erased, of exact inference filtered at each level from 0, for no filter, to L, and at
        that of the strings at least.
      num_unseen: () int32, number of test strings that were found.
    """

    train: FixedStrings
    test: Array
    asked: TokenExamples
    answers: Array
    num_unseen: Array

    def of_erased(self, values: Float[Array, "N d"]) -> Float[Array, ""]:
        """Returns the mean over erased tokens of values (N, d)."""
        erased = self.asked.targets != NOT_ASKED
        return jnp.where(erased, values, 0).sum() / erased.sum()

    @property
    def floors(self) -> Float[Array, " levels"]:
        """Cross-entropies (L + 1,) of inference filtered at each level, in nats a token."""
        return jnp.stack(
            [-self.of_erased(jnp.log(of_tokens(each, self.test))) for each in self.answers]
        )

    def beside(self, scores: Float[Array, "N d V"]) -> dict[str, Array]:
        """Compares a model with exact inference, on erased tokens of test strings.

        Args:
          scores: (N, d, V) what the model makes of the inputs.

        Returns:
          "cross_entropy" (), in nats a token, and "divergence" (L + 1,), the mean Kullback-Leibler
          divergence of the model's answers from those of inference filtered at each level.
        """
        logs = jax.nn.log_softmax(scores)
        divergence = [
            jax.scipy.special.rel_entr(answer, jnp.exp(logs)).sum(axis=-1)
            for answer in self.answers
        ]
        return {
            "cross_entropy": -self.of_erased(of_tokens(logs, self.test)),
            "divergence": jnp.stack([self.of_erased(each) for each in divergence]),
        }


def draw_masked(
    key: Key[Array, ""],
    spec: RandomHierarchySpec,
    draw: GrammarDraw,
    rate: float,
    num_train: int,
    num_test: int,
    filter_level: int = 0,
) -> MaskedData:
    """Draws the grammar of a seed, its strings, and exact answers.

    Args:
      key: typed PRNG key of the seed.
      spec: sizes of the grammar, without null symbols.
      draw: how the grammar is drawn.
      rate: probability that a token of a test string is erased.
      num_train: number of train strings.
      num_test: number of test strings.
      filter_level: level at which all strings are filtered, see `FilteredHierarchy`; 0 for strings
        of the grammar.

    Raises:
      ValueError: the language is too small for so many strings, or has no such level.
    """
    grammar_key, strings_key, erased_key = (jax.random.fold_in(key, i) for i in range(3))
    grammar = draw.draw(grammar_key, spec)
    spec = grammar.spec
    task = FilteredHierarchy(grammar, filter_level) if filter_level else grammar
    split = make_split(task, strings_key, num_train, num_test)
    test = split.test.inputs
    asked = masked_tokens(erased_key, test, spec.symbols(spec.depth), rate)
    evidence = observe(spec, test, hidden=asked.targets != NOT_ASKED)
    filters = [max(level, filter_level) for level in range(spec.depth + 1)]
    answers = [
        cast(Array, posteriors(grammar, evidence, (spec.depth,), each).levels[-1])
        for each in filters
    ]
    train = FixedStrings(split.train.inputs, jnp.int32(num_train))
    return MaskedData(train, test, asked, jnp.stack(answers), split.num_unseen)
