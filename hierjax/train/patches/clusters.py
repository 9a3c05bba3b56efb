"""Layers that find synonyms by one gradient step and k-means (arXiv 2307.02129).

This is the layerwise algorithm that the random hierarchy was introduced with: one step of gradient
descent on the classes shows which tuples predict them alike, k-means gathers these, and the tuples
are replaced by their clusters for the layer above.
"""

import dataclasses
from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Integer, Key

from hierjax.checks import in_range, one_or_nan, require_examples, require_integers, require_shape
from hierjax.models.patch_features import TupleCodes
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.train.k_means import k_means
from hierjax.train.layerwise import ScoringLayer
from hierjax.train.patches.config import PatchLayerConfig
from hierjax.train.patches.stack import check_table
from hierjax.train.patches.table import TableLayer

_WIDTH = 256
_TINY = 1e-30


@dataclasses.dataclass(frozen=True)
class ClusterLayer(ScoringLayer):
    """Replaces tuples of symbols by their clusters.

    A network of one hidden layer of 256 units reads the first tuple of a string as an indicator.
    Its first weights are all one, its second ones random and fixed. The gradient of the
    cross-entropy in the first weights has a column for each tuple; columns are clustered.

    Attributes:
      codes: the codes of tuples of S symbols.
      num_classes: number of classes, C.
      num_clusters: number of clusters, that of the symbols that the tuples are made of.
    """

    codes: TupleCodes
    num_classes: int
    num_clusters: int

    def fit(
        self, key: Key[Array, ""], inputs: Integer[Array, "N P"], labels: Integer[Array, " N"]
    ) -> dict[str, Array]:
        """Finds the clusters.

        Args:
          key: typed PRNG key of the second weights and of k-means.
          inputs: (N, P) strings of symbols, or of clusters by the layer below.
          labels: (N,) classes.

        Returns:
          "clusters" (V^S,), the cluster of each tuple, and "class_scores" (V^S, C), the share of
          each class among the strings that begin with a tuple.

        Raises:
          ValueError: inputs or labels are of another shape or type, there are not as many labels
            as inputs, or symbols or classes are known and out of range; where they are not known
            the class scores are NaN.
        """
        require_examples(inputs, labels)
        require_shape("labels", labels, (None,), "give the number of each example's class")
        require_integers("labels", labels, self.num_classes, "classes")
        first = self._codes(inputs)[:, 0]
        counts = jnp.zeros((self.codes.num_features, self.num_classes)).at[first, labels].add(1)
        totals = counts.sum(axis=1)
        columns = self._gradient(jax.random.fold_in(key, 0), counts)
        clusters = k_means(
            jax.random.fold_in(key, 1), columns, (totals > 0).astype(float), self.num_clusters
        )
        valid = in_range(labels, self.num_classes).all()
        valid &= in_range(inputs, self.codes.vocab_size).all()
        shares = counts / jnp.maximum(totals, 1)[:, None] * one_or_nan(valid)
        return {"clusters": clusters, "class_scores": shares}

    def _gradient(self, key: Key[Array, ""], counts: Float[Array, "R C"]) -> Float[Array, "R W"]:
        """Returns what one step adds to the first weights of each tuple, up to a factor."""
        second = jax.random.normal(key, (_WIDTH, self.num_classes))

        def loss(first):
            scores = jax.nn.relu(first) @ second / _WIDTH
            return (counts * -jax.nn.log_softmax(scores)).sum()

        with jax.default_matmul_precision("highest"):
            gradient = -jax.grad(loss)(jnp.ones((counts.shape[0], _WIDTH)))
        return gradient / jnp.maximum(jnp.linalg.norm(gradient), _TINY)

    def apply(
        self, params: dict[str, Array], inputs: Integer[Array, "N P"]
    ) -> Int[Array, "N patches"]:
        """Returns the clusters (N, P/S) of the tuples of strings (N, P)."""
        return params["clusters"][self._codes(inputs)]

    def class_scores(
        self, params: dict[str, Array], inputs: Integer[Array, "N P"]
    ) -> Float[Array, "N C"]:
        """Returns the scores (N, C) of whole strings, by their first tuples."""
        valid = in_range(inputs, self.codes.vocab_size).all(axis=1)
        scores = params["class_scores"][self._codes(inputs)[:, 0]]
        return scores * one_or_nan(valid)[:, None]

    def _codes(self, inputs: Integer[Array, "N P"]) -> Int[Array, "N patches"]:
        return cast(Array, self.codes.apply({}, inputs))


def one_step_layers(spec: RandomHierarchySpec) -> tuple[Any, ...]:
    """Makes the stack of cluster layers that is matched to a random hierarchy.

    Each layer is to find the symbols of a level, whose number is known; the last one counts the
    classes of each tuple.

    Args:
      spec: sizes of the random hierarchy, of depth L.

    Returns:
      The L layers, leaves up.

    Raises:
      ValueError: a table of all tuples of a level would be too large.
    """
    layers: list[Any] = []
    for level in reversed(range(spec.depth)):
        codes = TupleCodes(spec.symbols(level + 1), spec.branching[level])
        check_table(codes, max(_WIDTH, spec.num_classes))
        layers.append(ClusterLayer(codes, spec.num_classes, spec.symbols(level)))
    num_tuples = spec.num_classes * spec.num_rules[0]
    config = PatchLayerConfig(targets="first")
    layers[-1] = TableLayer(codes, config, spec.num_classes, num_tuples, None)
    return tuple(layers)
