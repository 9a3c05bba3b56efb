"""Strings of brackets: what a seed draws for its models, and how models close them."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Integer, Key

from hierjax.runs.learners.tokens import of_tokens
from hierjax.tasks import NOT_ASKED, Batch, Dyck, DyckSpec, TokenExamples, bounded_dyck

_SURE = 0.8
_NUM_DISTANCES = 10  # From 1, 2, 4, ... to 512, and from there on.
_NUM_PARTS = 14


class BracketTest(struct.PyTreeNode):
    """Test strings.

    Attributes:
      batch: the strings, of N rows and T positions.
      asked: what models are asked of them.
      best: (N, T) log-probability that exact inference gives each token.
    """

    batch: Batch
    asked: TokenExamples
    best: Array


class BracketData(struct.PyTreeNode):
    """The strings of a seed.

    Attributes:
      language: what train strings are drawn from.
      tests: test strings of several languages.
    """

    language: Dyck
    tests: tuple[BracketTest, ...]


def draw_brackets(
    key: Key[Array, ""], language: DyckSpec, tested: Sequence[DyckSpec], num_test: int
) -> BracketData:
    """Draws the test strings of a seed.

    Args:
      key: typed PRNG key of the seed.
      language: the language of train strings.
      tested: the languages of test strings.
      num_test: number of test strings of each language.
    """

    def test(index: int, spec: DyckSpec) -> BracketTest:
        own = bounded_dyck(spec)
        batch = own.sample(jax.random.fold_in(key, index), num_test)
        best = of_tokens(own.next_probabilities(batch.inputs), batch.inputs)
        return BracketTest(batch, own.next_token(batch), jnp.log(best))

    tests = tuple(test(index, spec) for index, spec in enumerate(tested))
    return BracketData(bounded_dyck(language), tests)


def closing_answers(
    scores: Callable[[Integer[Array, "N T"]], Float[Array, "N T V"]],
    test: BracketTest,
    spec: DyckSpec,
    longest: int,
) -> dict[str, Array]:
    """Tells how a model closes brackets, wherever one is open, and how far its tokens are off.

    Args:
      scores: what the model makes of inputs.
      test: the test strings.
      spec: sizes of the language.
      longest: largest number of positions.

    Returns:
      "accuracy" (), where the right kind is the most likely of the closing brackets; "sure" (),
      where it has more than .8 of their probability; "excess" (), nats a token above exact
      inference; and accuracies "by_depth" (D,), "by_distance", from 2^i to the opening bracket, and
      "by_place", in parts of the longest strings.
    """
    kinds, batch = spec.num_kinds, test.batch
    length = batch.inputs.shape[1]

    def of_string(now):
        inputs, string, kind = now
        logs = jax.nn.log_softmax(scores(inputs[None])[0])
        closing = logs[:, kinds : 2 * kinds]
        shares = jax.nn.softmax(closing)[jnp.arange(length), kind.clip(0)]
        own = logs[jnp.arange(length), string]
        return closing.argmax(axis=-1) == kind, shares > _SURE, own

    # One string after another, because attention takes memory.
    depth, kind, opened = batch.latents
    right, sure, own = jax.lax.map(of_string, (test.asked.inputs, batch.inputs, kind))
    places = jnp.arange(length)[None]
    distances = places - opened

    def mean(values, where):
        return (values * where).sum() / where.sum()

    def means(groups, num):
        hot = jax.nn.one_hot(jnp.where(depth > 0, groups, -1), num)
        return (right[..., None] * hot).sum(axis=(0, 1)) / hot.sum(axis=(0, 1))

    return {
        "accuracy": mean(right, depth > 0),
        "sure": mean(sure, depth > 0),
        "excess": mean(test.best - own, test.asked.targets != NOT_ASKED),
        "by_depth": means(depth - 1, spec.max_depth),
        "by_distance": means(jnp.log2(distances).astype(int), _NUM_DISTANCES),
        "by_place": means(jnp.broadcast_to(places * _NUM_PARTS // longest, kind.shape), _NUM_PARTS),
    }
