"""Layers that replace tuples of symbols by clusters of tuples that are alike, found by k-means.

Two stacks are made of them. In the layerwise algorithm that the random hierarchy was introduced
with (arXiv 2307.02129), one step of gradient descent on the classes shows which tuples predict them
alike. In latent clustering (arXiv 2605.27734) tuples are alike if they stand beside the same
tokens, which needs no classes below the root, and as many strings at any depth.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Integer, Key

from hierjax.checks import in_range, one_or_nan, require_examples, require_integers, require_shape
from hierjax.models.patch_features import TupleCodes
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.train.k_means import k_means
from hierjax.train.layerwise import ScoringLayer
from hierjax.train.patches.config import PatchLayerConfig
from hierjax.train.patches.context import ContextConfig, ContextTable, require_signal
from hierjax.train.patches.maps import side_by_side
from hierjax.train.patches.stack import check_table
from hierjax.train.patches.table import TableLayer

_WIDTH = 256
_TINY = 1e-30


@dataclasses.dataclass(frozen=True)
class ClusterLayer(ScoringLayer):
    """Replaces tuples of symbols by their clusters; derived classes say which tuples are alike.

    Attributes:
      codes: the codes of tuples of S symbols.
      num_classes: number of classes, C.
      num_clusters: number of clusters, that of the symbols that the tuples are made of.
    """

    codes: TupleCodes
    num_classes: int
    num_clusters: int

    _num_fits: ClassVar[int] = 10

    def fit(
        self, key: Key[Array, ""], inputs: Integer[Array, "N P"], labels: Integer[Array, " N"]
    ) -> dict[str, Array]:
        """Finds the clusters.

        Args:
          key: typed PRNG key of what tuples are told apart by, and of k-means.
          inputs: (N, P) strings of symbols, or of clusters by the layer below.
          labels: (N,) classes.

        Returns:
          "clusters" (V^S,), the cluster of each tuple, and "class_scores" (V^S, C), the share of
          each class among the strings that begin with a tuple.

        Raises:
          ValueError: inputs or labels are of another shape or type, there are not as many labels
            as inputs, or symbols or classes are known and out of range; where they are not known
            the class scores are NaN, and so are those of the layers above.
        """
        require_examples(inputs, labels)
        require_shape("labels", labels, (None,), "give the number of each example's class")
        require_integers("labels", labels, self.num_classes, "classes")
        first = self._codes(inputs)[:, 0]
        counts = jnp.zeros((self.codes.num_features, self.num_classes)).at[first, labels].add(1)
        points, weights = self._points(jax.random.fold_in(key, 0), inputs, counts)
        sizes = self.num_clusters, self._num_fits
        clusters = k_means(jax.random.fold_in(key, 1), points, weights, *sizes)
        valid = in_range(labels, self.num_classes).all()
        valid &= in_range(inputs, self.codes.vocab_size).all()
        shares = counts / jnp.maximum(counts.sum(axis=1), 1)[:, None] * one_or_nan(valid)
        return {"clusters": self._known(valid, clusters), "class_scores": shares}

    @abc.abstractmethod
    def _points(
        self, key: Key[Array, ""], inputs: Integer[Array, "N P"], counts: Float[Array, "R C"]
    ) -> tuple[Float[Array, "R E"], Float[Array, " R"]]:
        """Returns a point for each of the R = V^S tuples, near to those of its like, and weights.

        Args:
          key: typed PRNG key.
          inputs: (N, P) strings.
          counts: (R, C) how many strings of a class begin with a tuple.
        """

    def apply(
        self, params: dict[str, Array], inputs: Integer[Array, "N P"]
    ) -> Int[Array, "N patches"]:
        """Returns the clusters (N, P/S) of the tuples of strings (N, P).

        That of a tuple with a symbol out of range is out of range, too.
        """
        codes = self._codes(inputs)
        valid = in_range(inputs, self.codes.vocab_size).reshape(*codes.shape, -1).all(axis=-1)
        return self._known(valid, params["clusters"][codes])

    def _known(self, valid, clusters: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
        """Puts a cluster that the layer above refuses where strings are not valid."""
        return jnp.where(valid, clusters, self.num_clusters)

    def class_scores(
        self, params: dict[str, Array], inputs: Integer[Array, "N P"]
    ) -> Float[Array, "N C"]:
        """Returns the scores (N, C) of whole strings, by their first tuples."""
        valid = in_range(inputs, self.codes.vocab_size).all(axis=1)
        scores = params["class_scores"][self._codes(inputs)[:, 0]]
        return scores * one_or_nan(valid)[:, None]

    def _codes(self, inputs: Integer[Array, "N P"]) -> Int[Array, "N patches"]:
        return cast(Array, self.codes.apply({}, inputs))


class GradientClusters(ClusterLayer):
    """Clusters of tuples that predict the classes alike, by one gradient step (arXiv 2307.02129).

    A network of one hidden layer of 256 units reads the first tuple of a string as an indicator.
    Its first weights are all one, its second ones random and fixed. The gradient of the
    cross-entropy in the first weights has a column for each tuple; columns are clustered.

    Attributes:
      codes: the codes of tuples of S symbols.
      num_classes: number of classes, C.
      num_clusters: number of clusters, that of the symbols that the tuples are made of.
    """

    def _points(self, key, inputs, counts):
        return self._gradient(key, counts), (counts.sum(axis=1) > 0).astype(float)

    def _gradient(self, key: Key[Array, ""], counts: Float[Array, "R C"]) -> Float[Array, "R W"]:
        """Returns what one step adds to the first weights of each tuple, up to a factor."""
        second = jax.random.normal(key, (_WIDTH, self.num_classes))

        def loss(first):
            scores = jax.nn.relu(first) @ second / _WIDTH
            return (counts * -jax.nn.log_softmax(scores)).sum()

        with jax.default_matmul_precision("highest"):
            gradient = -jax.grad(loss)(jnp.ones((counts.shape[0], _WIDTH)))
        return gradient / jnp.maximum(jnp.linalg.norm(gradient), _TINY)


@dataclasses.dataclass(frozen=True)
class ContextClusters(ClusterLayer):
    """Clusters of tuples that stand beside the same symbols (arXiv 2605.27734).

    Tuples are clustered, weighted by how often they occur, by the embeddings that a `ContextTable`
    makes of their mean contexts. Classes have no part in it: class scores tell what is found.

    Attributes:
      codes: the codes of tuples of S symbols.
      num_classes: number of classes, C.
      num_clusters: number of clusters, that of the symbols that the tuples are made of.
      num_sides: number of tuples that are siblings of each other.
    """

    num_sides: int

    # With 10 fits two grammars of five are left at poor optima where all tuples are known well.
    _num_fits = 100

    def _points(self, key, inputs, counts):
        num_symbols, embedding_dim = self.codes.vocab_size, max(self.num_clusters - 1, 1)
        sizes = (self.num_sides, num_symbols, embedding_dim)
        found = ContextTable(self.codes, ContextConfig(), *sizes).fit(key, inputs, inputs)
        # Their common offset does not matter.
        with jax.default_matmul_precision("highest"):
            points = side_by_side(found["readout"]) @ found["projection"]
        occur = jnp.bincount(self._codes(inputs).ravel(), length=self.codes.num_features)
        return points, occur.astype(float)


def one_step_layers(spec: RandomHierarchySpec) -> tuple[Any, ...]:
    """Makes the stack of gradient clusters that is matched to a random hierarchy.

    Each layer is to find the symbols of a level, whose number is known; the last one counts the
    classes of each tuple.

    Args:
      spec: sizes of the random hierarchy, of depth L.

    Returns:
      The L layers, leaves up.

    Raises:
      ValueError: a table of all tuples of a level would be too large.
    """

    def clusters(codes: TupleCodes, level: int) -> ClusterLayer:
        check_table(codes, max(_WIDTH, spec.num_classes))
        return GradientClusters(codes, spec.num_classes, spec.symbols(level))

    return _stack(spec, clusters)


def latent_cluster_layers(spec: RandomHierarchySpec) -> tuple[Any, ...]:
    """Makes the stack of context clusters that is matched to a random hierarchy.

    Each layer is to find the symbols of a level, whose number is known, from strings alone; the
    last one counts the classes of each tuple.

    Args:
      spec: sizes of the random hierarchy, of depth L.

    Returns:
      The L layers, leaves up.

    Raises:
      ValueError: siblings of a level tell nothing of each other, or a table of all tuples of a
        level would be too large.
    """

    def clusters(codes: TupleCodes, level: int) -> ClusterLayer:
        require_signal(spec, level)
        num_sides = spec.branching[level - 1]
        num_numbers = num_sides * (num_sides - 1) * codes.branching * codes.vocab_size
        check_table(codes, max(num_numbers, spec.num_classes))
        return ContextClusters(codes, spec.num_classes, spec.symbols(level), num_sides)

    return _stack(spec, clusters)


def _stack(
    spec: RandomHierarchySpec, clusters: Callable[[TupleCodes, int], ClusterLayer]
) -> tuple[Any, ...]:
    """Makes layers of clusters for all levels but the root, which has a table of its classes."""
    codes = [
        TupleCodes(spec.symbols(level + 1), spec.branching[level]) for level in range(spec.depth)
    ]
    layers: list[Any] = [clusters(codes[level], level) for level in reversed(range(1, spec.depth))]
    check_table(codes[0], spec.num_classes)
    config, num_tuples = PatchLayerConfig(targets="first"), spec.num_classes * spec.num_rules[0]
    return (*layers, TableLayer(codes[0], config, spec.num_classes, num_tuples, None))
