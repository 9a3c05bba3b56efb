"""Learners of tokens that are trained layer by layer or whole, each declared once.

A learner is a function (sizes of the grammars, settings, key, train strings, test strings) -> what
it says of the test strings, declared here by `@TOKEN_LEARNERS.add(name, colour=...)`.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Integer, Key

from hierjax.measure import separation
from hierjax.runs.experiment import Registry
from hierjax.runs.learners.string_points import spec_name
from hierjax.runs.learners.tokens import TokenData, draw_tokens, of_tokens
from hierjax.runs.requests import nested
from hierjax.runs.sweeps.points import Point
from hierjax.settings import Config, setting
from hierjax.tasks import PLAIN, Batch, GrammarDraw, RandomHierarchySpec, next_token
from hierjax.train import (
    TOKEN_CROSS_ENTROPY,
    ContextConfig,
    Network,
    StoppedTraining,
    TransformerConfig,
    carried,
    class_scores,
    context_layers,
    forward,
    layer_key,
    network_layers,
    next_token_readout,
    train_layerwise,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenLayerSettings(Config):
    """How these learners are tuned; requests of experiments derive from it.

    Attributes:
      training: how read-outs, blocks of a transformer and whole transformers are trained.
      context: choices of the layers that find the tree.
      readout_width: number of features that the read-out of these layers has of a node.
      transformer: how the transformer is built.

    Raises:
      ValueError: a value is not allowed.
    """

    training: StoppedTraining = nested(StoppedTraining)
    context: ContextConfig = nested(ContextConfig, "context_")
    readout_width: int = setting(128, least=1, most=2**16)
    transformer: TransformerConfig = nested(TransformerConfig)


class Answers(NamedTuple):
    """What a learner says of test strings.

    Attributes:
      scores: after each layer, scores (N, d, V) of every token, given those before it.
      embeddings: of the nodes (N, P, E) of each level that it has found, leaves up.
    """

    scores: Sequence[Array]
    embeddings: Sequence[Array] = ()


@dataclasses.dataclass(frozen=True)
class TokenLearner:
    """A learner of tokens.

    Attributes:
      learn: (sizes of the grammars, settings, key, train strings, test strings) -> its answers.
      colour: colour of the learner in figures, which no other learner has.
    """

    learn: Callable[[RandomHierarchySpec, Any, Array, Array, Array], Answers]
    colour: str


TOKEN_LEARNERS: Registry[TokenLearner] = Registry(TokenLearner, "learner")
"""Learners of tokens by name, in the order of tables and figures."""

Strings = Integer[Array, "N d"]
Unseen = Integer[Array, "M d"]


@TOKEN_LEARNERS.add("context", colour="tab:blue")
def context(
    spec: RandomHierarchySpec,
    settings: TokenLayerSettings,
    key: Key[Array, ""],
    train: Strings,
    test: Unseen,
) -> Answers:
    """Layers that find the tree without labels, and a read-out of the next token after each."""
    plain = context_layers(spec, settings.context)
    layers = carried(spec, plain)
    params = train_layerwise(layers, Batch(train, train, ()), key)
    rows, unseen, scores, embeddings = train, test, [], []
    for count, (layer, own) in enumerate(zip(layers, params, strict=True), 1):
        rows, unseen = layer.apply(own, rows), layer.apply(own, unseen)
        sizes = settings.training, settings.readout_width
        readout = next_token_readout(spec, plain[:count], *sizes)
        trained = readout.fit(layer_key(key, len(layers) + count), rows, train)
        scores.append(readout.apply(trained, unseen))
        places = spec.nodes(spec.depth - count), plain[count - 1].embedding_dim
        found = unseen[:, : places[0] * places[1]]
        embeddings.append(found.reshape(-1, *places))
    return Answers(scores, embeddings)


@TOKEN_LEARNERS.add("greedy", colour="tab:green")
def greedy(
    spec: RandomHierarchySpec,
    settings: TokenLayerSettings,
    key: Key[Array, ""],
    train: Strings,
    test: Unseen,
) -> Answers:
    """A causal transformer whose blocks predict the next token, one after the other."""
    whole = _transformer(spec, settings)
    layers = network_layers(whole.module, whole.descent, whole.loss)
    num_symbols = spec.symbols(spec.depth)
    params = train_layerwise(layers, Batch(*next_token(train, num_symbols), ()), key)
    inputs = next_token(test, num_symbols).inputs
    counts = range(1, len(layers) + 1)
    return Answers([class_scores(layers, params[:count], inputs) for count in counts])


@TOKEN_LEARNERS.add("end_to_end", colour="tab:orange")
def end_to_end(
    spec: RandomHierarchySpec,
    settings: TokenLayerSettings,
    key: Key[Array, ""],
    train: Strings,
    test: Unseen,
) -> Answers:
    """A causal transformer all of whose blocks are trained together."""
    layers, num_symbols = (_transformer(spec, settings),), spec.symbols(spec.depth)
    params = train_layerwise(layers, Batch(*next_token(train, num_symbols), ()), key)
    return Answers([forward(layers, params, next_token(test, num_symbols).inputs)])


def _transformer(spec: RandomHierarchySpec, settings: TokenLayerSettings) -> Network:
    module = settings.transformer.module(spec.symbols(spec.depth), spec.num_leaves, True)
    return Network(module, settings.training.descent(), loss=TOKEN_CROSS_ENTROPY)


@dataclasses.dataclass(frozen=True)
class DrawTokens:
    """Draws the strings of a seed, and what exact inference says of them.

    Attributes:
      spec: sizes of the grammar, without null symbols.
      num_train: number of train strings, n.
      num_test: number of test strings.
      draw: how the grammar is drawn.
    """

    spec: RandomHierarchySpec
    num_train: int
    num_test: int
    draw: GrammarDraw = PLAIN

    def __call__(self, key: Key[Array, ""]) -> TokenData:
        """Returns the strings of the seed with this key."""
        return draw_tokens(key, self.spec, self.num_train, self.num_test, self.draw)


@dataclasses.dataclass(frozen=True)
class TokenCell:
    """A point of a sweep: a learner of tokens on n strings.

    Attributes:
      spec: sizes of the grammar, without null symbols.
      learner: name of the learner in `TOKEN_LEARNERS`.
      num_train: number of train strings, n.
      num_test: number of test strings.
      settings: how the learners are tuned.
      draw: how the grammar is drawn.
    """

    spec: RandomHierarchySpec
    learner: str
    num_train: int
    num_test: int
    settings: TokenLayerSettings
    draw: GrammarDraw = PLAIN

    @property
    def name(self) -> str:
        """Name of the point in the records."""
        return f"{self.learner} {spec_name(self.spec)} n={self.num_train}"

    def point(self) -> Point:
        """Makes the point that a sweep measures."""
        training = self.settings.training
        work = training.num_steps * training.batch_size * self.spec.num_leaves
        draw = DrawTokens(self.spec, self.num_train, self.num_test, self.draw)
        return Point(self.name, work, draw, self.measure)

    def measure(self, key: Key[Array, ""], data: TokenData) -> dict[str, Array]:
        """Trains the learner of a seed and measures it; pure.

        Args:
          key: typed PRNG key of the seed.
          data: the strings of the seed.

        Returns:
          "excess" (K, d), nats of a token of a test string above exact inference after each of the
          K layers; "floors", those of `TokenData`; "num_unseen"; and "purity" of each level that is
          found, leaves up, if there is any, see `hierjax.measure.Separation`.
        """
        assert data.train is not None
        test, spec = data.test.inputs, data.grammar.spec
        answers = TOKEN_LEARNERS[self.learner].learn(
            spec, self.settings, jax.random.fold_in(key, 2), data.train, test
        )
        gaps = [data.best - of_tokens(jax.nn.log_softmax(each), test) for each in answers.scores]
        measured = {
            "excess": jnp.stack([each.mean(axis=0) for each in gaps]),
            "floors": data.floors,
            "num_unseen": data.num_unseen,
        }
        purity = [
            separation(each, data.test.latents[level], spec.symbols(level)).purity
            for level, each in zip(reversed(range(spec.depth)), answers.embeddings, strict=False)
        ]
        return measured | ({"purity": jnp.stack(purity)} if purity else {})
