"""How models close brackets."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from hierjax.runs.learners.languages import LanguageTest, Scores
from hierjax.tasks import NOT_ASKED, DyckSpec

_SURE = 0.8
_NUM_DISTANCES = 10  # From 1, 2, 4, ... to 512, and from there on.
_NUM_PARTS = 14


def closing_answers(
    scores: Scores, test: LanguageTest, spec: DyckSpec, longest: int
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
