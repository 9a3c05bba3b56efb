"""Requests at random: values of a few flags, small, in place of those of a test."""

from hierjax.runs import leaves

# Where a run is, and who works on it.
_LEFT_ALONE = {"workdir", "overwrite", "num_devices", "num_seeds", "seed", "impl"}
_LEFT_ALONE |= {"workers", "scheduler"}


def values_of(request, flags):
    """The values that words of a command line mean, by the names of the flags."""
    known, found = {leaf.flag: leaf for leaf in leaves(request)}, {}
    for flag in flags:
        name, equals, text = flag.removeprefix("--").partition("=")
        leaf = known[name if equals else name.removeprefix("no")]
        if not equals:
            found[leaf.flag] = name == leaf.flag
        elif leaf.listed:
            entries = tuple(map(leaf.kind, text.split(",")))
            found[leaf.flag] = entries[0] if leaf.single and len(entries) == 1 else entries
        else:
            found[leaf.flag] = leaf.kind(text)
    return found


def some_values(request, rng):
    """Small values of one to three flags, by name."""
    free = [leaf for leaf in leaves(request) if leaf.flag not in _LEFT_ALONE]
    return {leaf.flag: _value(leaf, rng) for leaf in rng.sample(free, rng.randint(1, 3))}


def _value(leaf, rng):
    if leaf.kind is bool:
        return rng.random() < 0.5
    names = list(leaf.rules.get("choices") or ())
    if not leaf.listed:
        return rng.choice(names) if names else _number(leaf, rng)
    if names:
        return tuple(sorted(rng.sample(names, rng.randint(1, len(names))), key=names.index))
    return tuple(sorted({_number(leaf, rng) for _ in range(rng.randint(1, 2))}))


def _number(leaf, rng):
    low = leaf.rules.get("above") if leaf.rules.get("least") is None else leaf.rules["least"]
    steps = (0, 1, 2, 3, 5) if leaf.kind is int else (0.001, 0.1, 0.5, 1.0)
    return leaf.kind((low or 0) + rng.choice(steps))
