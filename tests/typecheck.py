"""The type checker that tests put on the packages of hierjax."""

from collections.abc import Callable
from typing import Self

from beartype import BeartypeConf, beartype

PACKAGES = (
    "hierjax.tasks",
    "hierjax.exact",
    "hierjax.theory",
    "hierjax.models",
    "hierjax.measure",
    "hierjax.train",
    "hierjax.runs",
    "hierjax.plots",
    "hierjax.checks",
    "hierjax.settings",
)

_CONF = BeartypeConf(is_pep484_tower=True)  # An int is a float, as static checkers have it.


def checked(function: Callable) -> Callable:
    """Beartype on all functions but initialisers, and those whose class it would have to know.

    Specs refuse bad sizes themselves, with a ValueError that tests ask for, and fields of pytrees
    hold whatever a transformation of JAX puts there.
    """
    if function.__name__ == "__init__" or Self in function.__annotations__.values():
        return function
    return beartype(conf=_CONF)(function)
