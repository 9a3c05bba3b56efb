"""Exact inference: strings whose trees are inferred in a second, and against PyTorch.

One PyTorch version is written as published ones are, another as fast as an afternoon made it.
Floors of next tokens are told beside one inside pass for each leaf: "times less" is over how many
leaves such a pass is shared.
"""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import torch_baselines
from benchmarks.harness import Case, Growth, WrongResult, compiled
from hierjax import exact
from hierjax.tasks import Batch, RandomHierarchy, RandomHierarchySpec, draw_random_hierarchy

_SIZES = (
    (RandomHierarchySpec(8, 8, 4, 2, 3), 2**17),
    (RandomHierarchySpec(16, 16, 8, 2, 5), 2**13),
)
"""Grammars, and strings of a call."""
_NUM_STRINGS_QUICK = 512
_NUM_STRINGS_GROWN = 2**12
_MORE_TO_PARSE = 16
_MASKED = 0.3
_TOLERANCE = 1e-4
_STANDARD_ERRORS = 5


def cases(quick: bool) -> Iterator[Case]:
    """Every kind of inference for every grammar, each of `quick` on few strings."""
    for spec, num_strings in _SIZES:
        count = _NUM_STRINGS_QUICK if quick else num_strings
        for against in _baselines() or [""]:
            yield _inside(spec, count, against)
        yield _posteriors(spec, count)
        yield _next_tokens(spec, count // 4)
        yield _parse(spec, count * _MORE_TO_PARSE)


def growths(quick: bool) -> list[Growth]:
    """Of an inside pass with the number of strings, their length, the rules and the symbols."""

    def case(vocab_size=16, num_rules=8, depth=3, num_strings=None):
        count = num_strings or (_NUM_STRINGS_QUICK if quick else _NUM_STRINGS_GROWN)
        return _inside(RandomHierarchySpec(vocab_size, vocab_size, num_rules, 2, depth), count, "")

    leaves = (4, 8) if quick else (4, 8, 16, 32, 64, 128)
    return [
        Growth(
            "strings, n",
            (512, 1024) if quick else (2**10, 2**12, 2**14, 2**16),
            1.0,
            lambda num_strings: case(num_strings=num_strings),
        ),
        Growth("leaves, 2^L", leaves, 1.0, lambda leaves: case(depth=leaves.bit_length() - 1)),
        Growth("rules, M", (2, 4) if quick else (2, 4, 8, 16), 1.0, lambda m: case(num_rules=m)),
        # V M rules are multiplied with S V ones and zeros.
        Growth(
            "symbols, V",
            (8, 16) if quick else (8, 16, 32, 64, 128),
            2.0,
            lambda vocab_size: case(vocab_size=vocab_size),
        ),
    ]


def _baselines() -> dict[str, Callable]:
    pytorch = {
        "PyTorch, plain": torch_baselines.plain_inside,
        "PyTorch, tuned": torch_baselines.inside,
    }
    return pytorch if torch_baselines.here() else {}


def _name(what: str, spec: RandomHierarchySpec, against: str = "") -> str:
    (num_rules,) = set(spec.num_rules)
    sizes = f"C{spec.num_classes} V{spec.symbols(1)} M{num_rules} S2 L{spec.depth}"
    return ", ".join(filter(None, (what, sizes, against)))


def _drawn(spec: RandomHierarchySpec, num_strings: int) -> tuple[RandomHierarchy, Batch]:
    grammar = draw_random_hierarchy(jax.random.key(0), spec)
    return grammar, jax.jit(lambda key: grammar.sample(key, num_strings))(jax.random.key(1))


def _masked(spec: RandomHierarchySpec, batch: Batch) -> exact.Evidence:
    hidden = jax.random.bernoulli(jax.random.key(2), _MASKED, batch.inputs.shape)
    return exact.observe(spec, batch.inputs, hidden)


def _inside(spec: RandomHierarchySpec, num_strings: int, against: str) -> Case:
    grammar, batch = _drawn(spec, num_strings)
    evidence, name = _masked(spec, batch), _name("inside", spec, against)

    def check(ours, baseline):
        _require_calibrated(name, ours.classes, batch.labels)
        if baseline is not None:
            _require_close(name, ours.classes, baseline)

    return Case(
        suite="inference",
        name=name,
        items=num_strings,
        unit="strings",
        make_ours=lambda: compiled(exact.likelihood, grammar, evidence),
        check=check,
        baseline=_baselines()[against](grammar, evidence.leaves) if against else None,
        against=against,
        num_bytes=evidence.leaves.nbytes,
    )


def _posteriors(spec: RandomHierarchySpec, num_strings: int) -> Case:
    grammar, batch = _drawn(spec, num_strings)
    evidence, name = _masked(spec, batch), _name("posteriors", spec)

    def check(ours, _):
        for shares, truth in zip(ours.levels, batch.latents, strict=True):
            for node in range(truth.shape[1]):
                _require_calibrated(name, shares[:, node], truth[:, node])

    return Case(
        suite="inference",
        name=name,
        items=num_strings,
        unit="strings",
        make_ours=lambda: compiled(exact.posteriors, grammar, evidence),
        check=check,
        num_bytes=2 * evidence.leaves.nbytes,
    )


def _next_tokens(spec: RandomHierarchySpec, num_strings: int) -> Case:
    """Beside likelihoods of all beginnings of the strings, by an inside pass for each leaf."""
    grammar, batch = _drawn(spec, num_strings)
    evidence = exact.observe(spec, batch.inputs)
    against = "a pass a leaf"
    name = _name("next tokens", spec, against)

    def begun(grammar, evidence, last):
        known = (jnp.arange(spec.num_leaves) <= last)[None, :, None]
        leaves = jnp.where(known, evidence.leaves, 0)
        return exact.likelihood(grammar, exact.Evidence(leaves)).log_likelihood

    # The position is an argument, so that one program serves all.
    program = jax.jit(begun).lower(grammar, evidence, 0).compile()

    def check(ours, beginnings):
        tokens = np.asarray(batch.inputs, int)[..., None]
        logs = np.log(np.take_along_axis(np.asarray(ours.probabilities), tokens, -1))[..., 0]
        _require_close(name, logs.cumsum(axis=1), np.stack(beginnings, axis=1))

    return Case(
        suite="inference",
        name=name,
        items=num_strings,
        unit="strings",
        make_ours=lambda: compiled(exact.next_tokens, grammar, evidence),
        check=check,
        baseline=lambda: [program(grammar, evidence, last) for last in range(spec.num_leaves)],
        against=against,
        num_bytes=2 * evidence.leaves.nbytes,
    )


def _parse(spec: RandomHierarchySpec, num_strings: int) -> Case:
    grammar, batch = _drawn(spec, num_strings)
    name = _name("parse", spec)

    def check(ours, _):
        same = jax.tree.map(np.array_equal, ours.levels, batch.latents)
        if not (all(same) and ours.possible.all()):
            raise WrongResult(f"{name}: trees are not those that the strings were drawn with")

    return Case(
        suite="inference",
        name=name,
        items=num_strings,
        unit="strings",
        make_ours=lambda: compiled(exact.parse, grammar, batch.inputs),
        check=check,
        num_bytes=batch.inputs.nbytes + sum(each.nbytes for each in batch.latents),
    )


def _require_close(name: str, ours, theirs) -> None:
    """Refuses posteriors or logarithms that differ from those of the baseline."""
    gap = np.abs(np.asarray(ours) - np.asarray(theirs)).max()
    # So that it refuses NaN.
    if not gap < _TOLERANCE:
        raise WrongResult(f"{name}: differs by {gap} from the baseline")


def _require_calibrated(name: str, shares, truth) -> None:
    """Refuses posteriors (N, V) by which the likeliest symbol is right more or less often."""
    shares = np.asarray(shares)
    right = (shares.argmax(axis=1) == np.asarray(truth)) - shares.max(axis=1).astype(float)
    allowed = _STANDARD_ERRORS * right.std() / len(right) ** 0.5 + _TOLERANCE
    if not abs(right.mean()) < allowed:
        raise WrongResult(f"{name}: the likeliest symbol is right {right.mean():+} more often")
