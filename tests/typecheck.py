"""The type checker that tests put on the packages of hierjax."""

from collections.abc import Callable

from beartype import BeartypeConf, beartype

PACKAGES = ("hierjax.tasks", "hierjax.theory", "hierjax.models", "hierjax.measure", "hierjax.train")

_CONF = BeartypeConf(is_pep484_tower=True)  # An int is a float, as static checkers have it.


def checked(function: Callable) -> Callable:
    """Beartype on all functions but initialisers.

    Specs refuse bad sizes themselves, with a ValueError that tests ask for, and fields of pytrees
    hold whatever a transformation of JAX puts there.
    """
    if function.__name__ == "__init__":
        return function
    return beartype(conf=_CONF)(function)
