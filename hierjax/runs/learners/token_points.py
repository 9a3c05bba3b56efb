"""The points of a sweep of learners of tokens."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from hierjax.measure import error_rate, separation
from hierjax.runs.learners.string_points import spec_name
from hierjax.runs.learners.token_layers import TOKEN_LEARNERS, TokenLayerSettings
from hierjax.runs.learners.tokens import TokenData, draw_tokens, of_tokens
from hierjax.runs.sweeps.points import Point
from hierjax.tasks import PLAIN, GrammarDraw, RandomHierarchySpec


@dataclasses.dataclass(frozen=True)
class DrawTokens:
    """Draws the strings of a seed, and what exact inference says of them.

    Attributes:
      spec: sizes of the grammar, without null symbols.
      num_train: number of train strings, n.
      num_test: number of test strings.
      draw: how the grammar is drawn.
      both: whether exact inference is given all other tokens, or those before a token alone.
    """

    spec: RandomHierarchySpec
    num_train: int
    num_test: int
    draw: GrammarDraw
    both: bool

    def __call__(self, key: Key[Array, ""]) -> TokenData:
        """Returns the strings of the seed with this key."""
        sizes = self.num_train, self.num_test
        return draw_tokens(key, self.spec, *sizes, self.draw, self.both)


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
        sizes = self.num_train, self.num_test
        draw = DrawTokens(self.spec, *sizes, self.draw, self.settings.both)
        return Point(self.name, work, draw, self.measure)

    def measure(self, key: Key[Array, ""], data: TokenData) -> dict[str, Array]:
        """Trains the learner of a seed and measures it; pure.

        Args:
          key: typed PRNG key of the seed.
          data: the strings of the seed.

        Returns:
          "excess" (K, d), nats of a token of a test string above exact inference after each of the
          K layers; "floors", those of `TokenData`; "num_unseen"; "purity" of each level that is
          found, leaves up, if there is any, see `hierjax.measure.Separation`; "class_errors" by
          number of labels, if there are any; and "spans_found", whether the numbers of siblings
          that strings tell of are those of the tree, leaves up, if any are told.
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
        errors = [error_rate(each, data.test.labels) for each in answers.classes]
        told = zip(answers.spans, reversed(spec.branching), strict=False)
        spans = [(span == own).astype(jnp.float32) for span, own in told]
        found = {"purity": purity, "class_errors": errors, "spans_found": spans}
        return measured | {name: jnp.stack(each) for name, each in found.items() if each}
