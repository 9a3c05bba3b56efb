"""Discrete diffusion of strings: noise step by step, and back (arXiv 2107.03006).

After step t of T each token has been replaced, independently, with probability t / T: by the mark
of an erased one (absorbing), or by a uniform symbol, itself included (uniform). After step T
nothing is left. A denoiser is asked for the clean tokens, and a chain of its answers makes strings
of noise.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Integer, Key

from hierjax.checks import AnyArray, require_integers, require_shape
from hierjax.tasks.noise import Noise, leaf_kernel
from hierjax.tasks.token_objectives import NOT_ASKED, TokenExamples

DIFFUSIONS = ("absorbing", "uniform")
"""What takes the place of tokens."""

Denoiser = Callable[[Int[Array, "N T"]], Float[Array, "N d V"]]
"""What is seen of strings, (N, 1 + d), see `Diffusion.seen` -> scores (N, d, V) of clean tokens."""


@dataclasses.dataclass(frozen=True)
class Diffusion:
    """How strings of V symbols are given over to noise in T steps.

    Steps are counted from 0, after which a share 1 / T of the tokens is replaced, to T - 1, after
    which all are.

    Attributes:
      kind: one of `DIFFUSIONS`.
      num_symbols: number of symbols of strings, V.
      num_steps: number of steps, T.

    Raises:
      ValueError: the kind is unknown, or a number is below 1.
    """

    kind: str
    num_symbols: int
    num_steps: int

    def __post_init__(self):
        if self.kind not in DIFFUSIONS:
            raise ValueError(
                f"kind={self.kind!r} is unknown: choose one of {', '.join(DIFFUSIONS)}"
            )
        for name in ("num_symbols", "num_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")

    def rates(self, step: Integer[AnyArray, "*N"]) -> Float[Array, "*N"]:
        """Returns the probability that a token has been replaced in steps up to these, (...)."""
        return (jnp.asarray(step) + 1) / self.num_steps

    def kernels(self) -> Float[Array, "T V W"]:
        """Returns after each step how a clean token is seen, (T, V, V + 1), as `leaf_kernel`."""
        name = "leaf_mask" if self.kind == "absorbing" else "leaf_flip"
        rates = self.rates(jnp.arange(self.num_steps))
        return jax.vmap(lambda rate: leaf_kernel(Noise(**{name: rate}), self.num_symbols))(rates)

    def seen(self, step: Integer[Array, " N"], strings: Integer[Array, "N d"]) -> Int[Array, "N T"]:
        """Returns what a model sees, (N, 1 + d) int32: V + 1 + step, then the noisy string."""
        front = self.num_symbols + 1 + step.astype(jnp.int32)
        return jnp.concatenate([front[:, None], strings.astype(jnp.int32)], axis=1)

    def examples(
        self,
        key: Key[Array, ""],
        strings: Integer[AnyArray, "N d"],
        step: Integer[AnyArray, " N"] | None = None,
    ) -> TokenExamples:
        """Asks for clean tokens: those that are erased, or where noise is uniform all.

        Args:
          key: typed PRNG key.
          strings: (N, d) clean strings.
          step: (N,) step of each string; None for steps that are drawn uniformly.

        Returns:
          Inputs and targets (N, 1 + d); nothing is asked of the first place, where the step is.

        Raises:
          ValueError: these are no strings, or steps are no integers, or known and not below T.
        """
        require_shape("strings", strings, (None, None), "give strings (N, d) of symbols")
        strings = jnp.asarray(strings, jnp.int32)
        of_steps, of_places, of_symbols = (jax.random.fold_in(key, stream) for stream in range(3))
        if step is None:
            step = jax.random.randint(of_steps, strings.shape[:1], 0, self.num_steps)
        require_shape("step", step, strings.shape[:1], "give a step for each string")
        require_integers("step", step, self.num_steps, "steps")
        step = jnp.asarray(step)
        rates = self.rates(step)[:, None]
        replaced = jax.random.bernoulli(of_places, rates, strings.shape)
        if self.kind == "absorbing":
            noisy, targets = self.num_symbols, jnp.where(replaced, strings, NOT_ASKED)
        else:
            noisy = jax.random.randint(of_symbols, strings.shape, 0, self.num_symbols)
            targets = strings
        inputs = self.seen(step, jnp.where(replaced, noisy, strings))
        return TokenExamples(inputs, jnp.pad(targets, ((0, 0), (1, 0)), constant_values=NOT_ASKED))

    def reverse(
        self,
        key: Key[Array, ""],
        denoiser: Denoiser,
        strings: Integer[Array, "N d"],
        step: Integer[AnyArray, " N"] | None = None,
    ) -> Int[Array, "N d"]:
        """Draws clean strings, going back through the steps, each time by the denoiser's answer.

        At each step a clean token is drawn by the denoiser's scores for each place, and then the
        token of the step before, given the clean one and the present one. Tokens that cannot have
        been replaced are kept. With an exact denoiser the strings are those of the language in the
        limit of many steps: places that change at the same step do not know of each other. The
        function may be jitted.

        Args:
          key: typed PRNG key.
          denoiser: scores clean tokens.
          strings: (N, d) strings, each after a step of its own, V for an erased token.
          step: (N,) these steps; None for the last one.

        Returns:
          (N, d) int32 symbols.
        """
        clean = jnp.eye(self.num_symbols, self.num_symbols + 1)[None]
        kernels = jnp.concatenate([clean, self.kernels()])
        replacing = kernels[-1, 0]  # After all steps, whatever was there.
        start = jnp.full(len(strings), self.num_steps - 1) if step is None else jnp.asarray(step)

        def back(strings, step):
            of_clean, of_before = jax.random.split(jax.random.fold_in(key, step))
            steps = jnp.broadcast_to(step, strings.shape[:1])
            drawn = jax.random.categorical(of_clean, denoiser(self.seen(steps, strings)))
            replaced = replacing[strings]
            drawn = jnp.where(replaced > 0, drawn, strings)
            # The probability to be as it is now, of each symbol that was there before.
            kept = 1 - 1 / (self.num_steps - step)
            now = kept * jax.nn.one_hot(strings, self.num_symbols + 1)
            now += (1 - kept) * replaced[..., None]
            before = jax.random.categorical(of_before, jnp.log(now * kernels[step, drawn]))
            return jnp.where((start >= step)[:, None], before, strings), None

        steps = jnp.arange(self.num_steps)[::-1]
        return jax.lax.scan(back, strings.astype(jnp.int32), steps)[0]

    def sample(
        self, key: Key[Array, ""], denoiser: Denoiser, num_strings: int, length: int
    ) -> Int[Array, "N d"]:
        """Draws strings (N, d) int32 from nothing but noise, see `reverse`.

        Args:
          key: typed PRNG key.
          denoiser: scores clean tokens.
          num_strings: number of strings, N.
          length: their length, d.
        """
        shape = (num_strings, length)
        start = jnp.full(shape, self.num_symbols)
        if self.kind == "uniform":
            start = jax.random.randint(jax.random.fold_in(key, 0), shape, 0, self.num_symbols)
        return self.reverse(jax.random.fold_in(key, 1), denoiser, start)
