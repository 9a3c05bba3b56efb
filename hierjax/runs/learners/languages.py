"""Languages whose strings differ in length: what a seed draws, and what models make of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Float, Int, Integer, Key

from hierjax.runs.experiment import Stack
from hierjax.runs.learners.tokens import of_tokens
from hierjax.tasks import NOT_ASKED, Batch, TokenExamples
from hierjax.train import Source, TokenTraining, require_causal, token_learner

Scores = Callable[[Integer[Array, "N T"]], Float[Array, "N T V"]]
"""What a model makes of inputs."""


class LanguageTest(struct.PyTreeNode):
    """Test strings.

    Attributes:
      batch: the strings, of N rows and T positions.
      asked: what models are asked of them.
      best: (N, T) log-probability that exact inference gives each token.
    """

    batch: Batch
    asked: TokenExamples
    best: Array


class LanguageData(struct.PyTreeNode):
    """The strings of a seed.

    Attributes:
      language: the task that train strings are drawn from.
      tests: test strings of several languages.
    """

    language: Any
    tests: tuple[LanguageTest, ...]


def draw_languages(
    key: Key[Array, ""],
    language: Any,
    tested: Sequence[Any],
    law: Callable[[Any, Int[Array, "N T"]], Float[Array, "N T V"]],
    num_test: int,
) -> LanguageData:
    """Draws the test strings of a seed.

    Args:
      key: typed PRNG key of the seed.
      language: the task of train strings, with methods `sample` and `next_token`.
      tested: the tasks of test strings.
      law: (task, strings) -> the probabilities of each token, given those before it.
      num_test: number of test strings of each task.
    """

    def test(index: int, own: Any) -> LanguageTest:
        batch = own.sample(jax.random.fold_in(key, index), num_test)
        best = of_tokens(law(own, batch.inputs), batch.inputs)
        return LanguageTest(batch, own.next_token(batch), jnp.log(best))

    return LanguageData(language, tuple(test(index, own) for index, own in enumerate(tested)))


def language_stacks(
    modules: Mapping[int, nn.Module], training: TokenTraining, num_symbols: int, length: int
) -> dict[str, Stack]:
    """Makes the learners of fresh strings, by the names "blocks_1", ...

    Args:
      modules: the models, by number of blocks.
      training: how they are trained.
      num_symbols: number of tokens that there are, the end among them.
      length: largest number of positions of train strings.

    Raises:
      ValueError: a model is not causal.
    """

    def examples(key, language, n):
        return language.next_token(language.sample(key, n))

    def source(data: LanguageData, index: int) -> Source:
        return Source(data.language)

    for module in modules.values():
        require_causal(module, num_symbols, length)
    return {
        f"blocks_{count}": Stack(token_learner(module, training, examples), source)
        for count, module in modules.items()
    }


def token_answers(scores: Scores, test: LanguageTest) -> dict[str, Array]:
    """Tells what tokens cost a model, beside exact inference.

    Args:
      scores: what the model makes of inputs.
      test: the test strings.

    Returns:
      In nats "floor_token" (), what a token costs exact inference, and "excess" (), what it costs
      more; and of each position (T,) "model" and "floor", means over the strings that have come so
      far, and "floor_error", the standard error of the latter. NaN where there are no such strings.
    """

    def of_string(row):
        inputs, string = row
        logs = jax.nn.log_softmax(scores(inputs[None]))
        return of_tokens(logs, string[None])[0]

    # One string after another, because attention takes memory.
    own = jax.lax.map(of_string, (test.asked.inputs, test.batch.inputs))
    asked = test.asked.targets != NOT_ASKED
    count = asked.sum(axis=0)

    def mean(values):
        return jnp.where(asked, values, 0).sum(axis=0) / count

    model, floor = mean(-own), mean(-test.best)
    spread = mean((test.best + floor[None]) ** 2)
    return {
        "floor_token": jnp.where(asked, -test.best, 0).sum() / asked.sum(),
        "excess": jnp.where(asked, test.best - own, 0).sum() / asked.sum(),
        "model": model,
        "floor": floor,
        "floor_error": jnp.sqrt(spread / jnp.maximum(count - 1, 1)),
    }


def written(scores: Scores, key: Key[Array, ""], n: int, length: int, begin: int) -> Array:
    """Draws strings that a model writes, token by token.

    Args:
      scores: what the model makes of inputs.
      key: typed PRNG key.
      n: number of strings, N.
      length: number of positions, T.
      begin: what stands for the beginning among inputs.

    Returns:
      (N, T) int32; what follows the first end means nothing.
    """

    def write(place, state):
        inputs, strings = state
        now = jax.lax.dynamic_index_in_dim(scores(inputs), place, axis=1, keepdims=False)
        token = jax.random.categorical(jax.random.fold_in(key, place), now).astype(jnp.int32)
        inputs = inputs.at[:, place + 1].set(token, mode="drop")
        return inputs, strings.at[:, place].set(token)

    empty = jnp.zeros((n, length), jnp.int32)
    return jax.lax.fori_loop(0, length, write, (empty.at[:, 0].set(begin), empty))[1]
