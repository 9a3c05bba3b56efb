"""Learners of tokens that are trained layer by layer or whole, each declared once.

A learner is a function (sizes of the grammars, settings, key, train strings, test strings) -> what
it says of the test strings, declared here by `@TOKEN_LEARNERS.add(name, colour=...)`. It may learn
of classes from as many of the train strings as the settings say, and from no others.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, Key

from hierjax.measure import sibling_span
from hierjax.runs.experiment import Registry
from hierjax.runs.requests import nested
from hierjax.settings import Config, setting
from hierjax.tasks import (
    Batch,
    RandomHierarchySpec,
    each_token,
    next_token,
    sibling_token,
)
from hierjax.train import (
    TOKEN_CROSS_ENTROPY,
    ContextConfig,
    ContextLayer,
    Network,
    StoppedTraining,
    TransformerConfig,
    as_rows,
    class_scores,
    context_layers,
    forward,
    joint_network,
    layer_key,
    network_layers,
    num_fitted,
    patch_layers,
    token_readout,
    train_layerwise,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenLayerSettings(Config):
    """How these learners are tuned; requests of experiments derive from it.

    Attributes:
      objective: what is predicted: every token from those before it ("next"), or from all others
        ("masked").
      num_labels: numbers of the first train strings whose classes are told to context layers, one
        after the other, ascending.
      training: how read-outs, blocks of a transformer and whole transformers are trained.
      context: choices of the layers that find the tree.
      readout_width: number of features that the read-out of these layers has of a node.
      transformer: how the transformer is built.

    Raises:
      ValueError: a value is not allowed.
    """

    objective: str = setting("next", choices=("next", "masked"))
    num_labels: tuple[int, ...] | None = setting(None, least=1, most=2**24, ascending=True)
    training: StoppedTraining = nested(StoppedTraining)
    context: ContextConfig = nested(ContextConfig, "context_")
    readout_width: int = setting(128, least=1, most=2**16)
    transformer: TransformerConfig = nested(TransformerConfig)

    @property
    def both(self) -> bool:
        """Whether a token is told by all others, or by those before it alone."""
        return self.objective == "masked"


class Answers(NamedTuple):
    """What a learner says of test strings.

    Attributes:
      scores: after each layer, scores (N, d, V) of every token, given others.
      embeddings: of the nodes (N, P, E) of each level that it has found, leaves up.
      classes: scores (N, C) of the classes, by each number of labels.
      spans: number of siblings (), leaves up, that train strings tell of, see `sibling_span`.
    """

    scores: Sequence[Array]
    embeddings: Sequence[Array] = ()
    classes: Sequence[Array] = ()
    spans: Sequence[Array] = ()


@dataclasses.dataclass(frozen=True)
class TokenLearner:
    """A learner of tokens.

    Attributes:
      learn: (sizes of the grammars, settings, key, train strings, test strings) -> its answers.
      colour: colour of the learner in figures, which no other learner has.
      by_context: whether it has context layers, which need siblings that tell of each other.
    """

    learn: Callable[[RandomHierarchySpec, Any, Array, Batch, Array], Answers]
    colour: str
    by_context: bool = False


TOKEN_LEARNERS: Registry[TokenLearner] = Registry(TokenLearner, "learner")
"""Learners of tokens by name, in the order of tables and figures."""

Unseen = Integer[Array, "M d"]


@TOKEN_LEARNERS.add("context", colour="tab:blue", by_context=True)
def context(
    spec: RandomHierarchySpec,
    settings: TokenLayerSettings,
    key: Key[Array, ""],
    train: Batch,
    test: Unseen,
) -> Answers:
    """Layers that find the tree without labels, and a read-out of tokens after each."""
    strings = train.inputs
    layers, params = _find_tree(spec, settings, key, strings)
    levels, unseen = (_levels(layers, params, each) for each in (strings, test))
    scores = _read_out(spec, settings, key, (levels, strings), (unseen, test))
    top, own = patch_layers(spec)[-1], layer_key(key, 0)
    classes = [
        top.apply(top.fit(own, levels[-1][:count], train.labels[:count]), unseen[-1])
        for count in settings.num_labels or ()
    ]
    tokens = jax.nn.one_hot(strings, spec.symbols(spec.depth))
    spans = [sibling_span(each) for each in (tokens, *levels)]
    return Answers(scores, unseen, classes, spans)


@TOKEN_LEARNERS.add("corrected", colour="tab:red", by_context=True)
def corrected(
    spec: RandomHierarchySpec,
    settings: TokenLayerSettings,
    key: Key[Array, ""],
    train: Batch,
    test: Unseen,
) -> Answers:
    """Context layers and a read-out for half of the steps, then all of them together.

    The layers do without the strings that say when to stop, and whether to keep what has come of
    training them together.
    """
    strings = train.inputs
    half = max(settings.training.num_steps // 2, 1)
    training = dataclasses.replace(settings.training, num_steps=half)
    settings = dataclasses.replace(settings, training=training)
    fitted, held_out = jnp.split(strings, [num_fitted(strings.shape[0])])
    layers, below = _find_tree(spec, settings, key, fitted)
    readout = _readout(spec, settings, [layer.embedding_dim for layer in layers])

    def rows(below: Any, strings: Unseen) -> Array:
        return as_rows(_levels(layers, below, strings), strings)

    def scores(params: Any, strings: Unseen) -> Array:
        top = dataclasses.replace(first, variables=params["top"])
        return readout.apply(top, rows(params["below"], strings))

    first = readout.fit(layer_key(key, 2 * len(layers)), rows(below, strings), strings)
    alone = {"below": below, "top": first.variables}
    whole = joint_network(scores, alone, readout.descent, readout.loss)
    together = whole.fit(layer_key(key, 2 * len(layers) + 1), strings, strings).variables["params"]
    costs = [readout.loss.mistakes(scores(own, held_out), held_out) for own in (alone, together)]
    better = costs[1].mean() < costs[0].mean()
    kept = jax.tree.map(lambda own, new: jnp.where(better, new, own), alone, together)
    answers = [scores(own, test) for own in (alone, kept)]
    return Answers(answers, _levels(layers, kept["below"], test))


@TOKEN_LEARNERS.add("context_blocks", colour="tab:purple")
def context_blocks(
    spec: RandomHierarchySpec,
    settings: TokenLayerSettings,
    key: Key[Array, ""],
    train: Batch,
    test: Unseen,
) -> Answers:
    """Blocks of a transformer that see a patch each and predict its sibling, and such read-outs.

    The embedding of a patch is what its positions say of the tokens of its sibling.
    """
    spans = tuple(math.prod(spec.branching[level:]) for level in reversed(range(1, spec.depth)))
    config = dataclasses.replace(settings.transformer, num_blocks=len(spans))
    module = config.module(spec.symbols(spec.depth), spec.num_leaves, False).clone(spans=spans)
    layers = network_layers(module, settings.training.descent(), TOKEN_CROSS_ENTROPY)
    siblings, strings = spec.branching[-2::-1], train.inputs

    def asked(index: int) -> Batch:
        return Batch(*sibling_token(strings, spans[index], siblings[index]), ())

    params = train_layerwise(layers, asked, key)

    def found(strings: Unseen) -> list[Array]:
        said = [
            jax.nn.log_softmax(class_scores(layers, params[:count], strings))
            for count in range(1, len(layers) + 1)
        ]
        pairs = zip(said, spans, strict=True)
        return [each.reshape(each.shape[0], spec.num_leaves // span, -1) for each, span in pairs]

    levels, unseen = found(strings), found(test)
    return Answers(_read_out(spec, settings, key, (levels, strings), (unseen, test)), unseen)


def _find_tree(
    spec: RandomHierarchySpec, settings: TokenLayerSettings, key: Key[Array, ""], strings: Unseen
) -> tuple[Sequence[ContextLayer], Sequence[Any]]:
    """Returns context layers, trained on strings; whether these tell of the tree, others check."""
    layers = context_layers(spec, settings.context, equiprobable=False)
    return layers, train_layerwise(layers, Batch(strings, strings, ()), key)


def _levels(
    layers: Sequence[ContextLayer], params: Sequence[Any], strings: Unseen
) -> list[Float[Array, "M _ _"]]:
    """Returns the embeddings (M, P, E) of the nodes of each level that layers find, leaves up."""
    return [forward(layers, params[:count], strings) for count in range(1, len(layers) + 1)]


def _read_out(
    spec: RandomHierarchySpec,
    settings: TokenLayerSettings,
    key: Key[Array, ""],
    train: tuple[Sequence[Array], Array],
    test: tuple[Sequence[Array], Array],
) -> list[Float[Array, "M d V"]]:
    """Returns scores of test tokens by a read-out of what was found after each layer.

    Args:
      spec: sizes of the grammars.
      settings: how read-outs are trained.
      key: typed PRNG key of the learner.
      train: embeddings (N, P, E) of the nodes of each level, leaves up, and strings (N, d).
      test: the same of test strings.
    """
    sizes, scores = [level.shape[-1] for level in train[0]], []
    for count in range(1, len(sizes) + 1):
        fitted, unseen = (as_rows(levels[:count], strings) for levels, strings in (train, test))
        readout = _readout(spec, settings, sizes[:count])
        params = readout.fit(layer_key(key, len(sizes) + count), fitted, train[1])
        scores.append(readout.apply(params, unseen))
    return scores


def _readout(
    spec: RandomHierarchySpec, settings: TokenLayerSettings, sizes: Sequence[int]
) -> Network:
    choices = settings.training, settings.readout_width, settings.both
    return token_readout(spec, sizes, *choices)


@TOKEN_LEARNERS.add("greedy", colour="tab:green")
def greedy(
    spec: RandomHierarchySpec,
    settings: TokenLayerSettings,
    key: Key[Array, ""],
    train: Batch,
    test: Unseen,
) -> Answers:
    """A transformer whose blocks predict tokens, one after the other."""
    whole = _transformer(spec, settings)
    layers = network_layers(whole.module, whole.descent, whole.loss)
    params = train_layerwise(layers, _asked(spec, settings, train.inputs), key)
    asked = _asked(spec, settings, test)
    counts = range(1, len(layers) + 1)
    scores = [class_scores(layers, params[:count], asked.inputs) for count in counts]
    return Answers([_of_strings(spec, settings, each) for each in scores])


@TOKEN_LEARNERS.add("end_to_end", colour="tab:orange")
def end_to_end(
    spec: RandomHierarchySpec,
    settings: TokenLayerSettings,
    key: Key[Array, ""],
    train: Batch,
    test: Unseen,
) -> Answers:
    """A transformer all of whose blocks are trained together."""
    layers = (_transformer(spec, settings),)
    params = train_layerwise(layers, _asked(spec, settings, train.inputs), key)
    scores = forward(layers, params, _asked(spec, settings, test).inputs)
    return Answers([_of_strings(spec, settings, scores)])


def _asked(spec: RandomHierarchySpec, settings: TokenLayerSettings, strings: Unseen) -> Batch:
    """Returns what transformers see and are asked: a row for each string, or for each token."""
    ask = each_token if settings.both else next_token
    return Batch(*ask(strings, spec.symbols(spec.depth)), ())


def _of_strings(
    spec: RandomHierarchySpec, settings: TokenLayerSettings, scores: Float[Array, "R d V"]
) -> Float[Array, "M d V"]:
    """Returns the scores of every token of strings, of those of what `_asked` returned."""
    if not settings.both:
        return scores
    length = spec.num_leaves
    own = jnp.arange(length)
    return scores.reshape(-1, length, *scores.shape[1:])[:, own, own]


def _transformer(spec: RandomHierarchySpec, settings: TokenLayerSettings) -> Network:
    sizes = spec.symbols(spec.depth), spec.num_leaves, not settings.both
    module = settings.transformer.module(*sizes)
    return Network(module, settings.training.descent(), loss=TOKEN_CROSS_ENTROPY)
