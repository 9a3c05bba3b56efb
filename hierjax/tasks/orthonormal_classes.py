"""Nearly orthonormal inputs of a few classes, the data of arXiv 2311.02960.

Inputs of one class have nothing in common that the others have not: what a network makes of the
classes is its own doing.
"""

import functools

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Key

from hierjax.tasks.batch import Batch


class OrthonormalClasses(struct.PyTreeNode):
    """A task whose inputs are orthonormal vectors with noise, of classes that take turns.

    Attributes:
      num_inputs: dimension of the inputs, d, static.
      num_classes: number of classes, K, static.
      noise: standard deviation of the noise on each number of an input, static.
    """

    num_inputs: int = struct.field(pytree_node=False)
    num_classes: int = struct.field(pytree_node=False)
    noise: float = struct.field(pytree_node=False)

    @functools.partial(jax.jit, static_argnames="n")
    def sample(self, key: Key[Array, ""], n: int) -> Batch:
        """Draws examples; up to rounding those of a smaller n are the first of a larger one.

        Args:
          key: typed PRNG key.
          n: number of examples, N, static.

        Returns:
          inputs (N, d) float32, labels (N,) int32 below K, as 0, 1, ..., K - 1, 0, 1, ..., and as
          the one latent the orthonormal vectors (N, d) without noise.

        Raises:
          ValueError: there are more examples than dimensions.
        """
        if n > self.num_inputs:
            raise ValueError(
                f"{n} orthonormal vectors do not fit into {self.num_inputs} dimensions: give at "
                f"least {n} inputs, or ask for fewer examples"
            )
        directions_key, noise_key = jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)
        shape = (n, self.num_inputs)
        with jax.default_matmul_precision("highest"):
            columns, corner = jnp.linalg.qr(jax.random.normal(directions_key, shape).T)
        # Of signs that the decomposition leaves open, those that make the directions uniform.
        vectors = (columns * jnp.sign(jnp.diag(corner))[None]).T
        noise = self.noise * jax.random.normal(noise_key, shape)
        labels = jnp.arange(n, dtype=jnp.int32) % self.num_classes
        return Batch(vectors + noise, labels, (vectors,))
