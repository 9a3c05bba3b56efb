"""Settings: fields of a config that say what they may be, and are checked when it is made.

A config is a frozen dataclass that derives from `Config`. What a field means stands once, in the
`Attributes` section of the docstring; its type and default stand at the field, its bounds and
choices in `setting`. Commands make their flags of all of these.
"""

import dataclasses
import inspect
import itertools
import math
import re
import typing
from collections.abc import Collection, Mapping
from typing import Any, cast

# Of float32, without those that lose digits.
_LEAST_FLOAT, _MOST_FLOAT = 2.0**-126, (2 - 2.0**-23) * 2.0**127


def setting(
    default: Any = dataclasses.MISSING,
    *,
    choices: Collection[str] | None = None,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    ascending: bool = False,
    **more: Any,
) -> Any:
    """Declares a field of a config, and what its value may be.

    Bounds hold for a number, or for every number of a list. Numbers must be finite, and within 32
    bits; only whole ones may have more where `most` allows it.

    Args:
      default: default of the field, a tuple for a list; a function of no arguments that makes the
        default is allowed. Without one the field must be given.
      choices: names that are allowed; None for any.
      least: smallest number that is allowed; None for no bound.
      most: largest number that is allowed; None for no bound.
      above: a number that must be exceeded; None for no bound.
      below: a number that must not be reached; None for no bound.
      ascending: whether the numbers of a list must ascend.
      **more: further metadata of the field for whoever reads it, such as the runner of commands.

    Returns:
      What `dataclasses.field` returns.
    """
    rules = {
        "choices": choices,
        "least": least,
        "most": most,
        "above": above,
        "below": below,
        "ascending": ascending,
    }
    kind = "default_factory" if callable(default) else "default"
    return dataclasses.field(metadata=rules | more, **{kind: default})


class Config:
    """Base of frozen dataclasses whose fields are checked as `setting` says.

    None is allowed where the type has it, and where it is the default, for what the config then
    fills in by itself. A class whose docstring does not explain one of its fields is refused when
    it is declared.

    Raises:
      ValueError: a value is not allowed; a field is not explained.
    """

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        explained = explanations(cls)
        for name in inspect.get_annotations(cls):
            if not explained.get(name):
                raise ValueError(
                    f"{cls.__name__}.{name} is not explained: add it to the Attributes section of "
                    "the docstring"
                )

    def __post_init__(self):
        for field in dataclasses.fields(cast(Any, self)):
            value = getattr(self, field.name)
            if value is not None:
                check(field.name, value, field.metadata)
            elif field.default is not None and type(None) not in typing.get_args(field.type):
                raise ValueError(f"{field.name}=None is no value: leave it out for its default")

    def fill(self, **values: Any) -> None:
        """Sets fields that were left unset and follow from others, while the config is made.

        Args:
          **values: values by the names of the fields.
        """
        for name, value in values.items():
            object.__setattr__(self, name, value)


def explanations(config: type) -> dict[str, str]:
    """Reads what the `Attributes` sections of a class and its bases say of each field.

    Args:
      config: a class with docstrings in Google style.

    Returns:
      The texts, each on one line, by the names of the fields.
    """
    found: dict[str, str] = {}
    for cls in reversed(config.__mro__):
        section = re.search(
            r"^Attributes:\n((?:[ ]+.*\n?|\n)*)", inspect.cleandoc(cls.__doc__ or ""), re.M
        )
        entries = re.findall(r"^  (\w+): (.*(?:\n    .*)*)", section[1] if section else "", re.M)
        found |= {name: " ".join(text.split()) for name, text in entries}
    return found


def check(name: str, value: Any, rules: Mapping[str, Any]) -> None:
    """Refuses a value that the metadata of a field does not allow.

    Args:
      name: what the value is called in the message.
      value: a value, or a tuple of them.
      rules: metadata of a field, as `setting` makes it.

    Raises:
      ValueError: the value is not allowed.
    """
    listed = isinstance(value, tuple)
    values = value if listed else (value,)
    text = ",".join(map(str, value)) if listed else value
    choices = rules.get("choices")
    if choices is not None:
        if listed and not (set(values) <= set(choices) and len(set(values)) == len(values) > 0):
            raise ValueError(f"{name}={text} must be different ones of {', '.join(choices)}")
        if not set(values) <= set(choices):
            raise ValueError(f"{name}={value!r} is unknown: choose one of {', '.join(choices)}")
        return
    ascends = all(low < high for low, high in itertools.pairwise(values))
    if (rules.get("ascending") and not ascends) or not all(_is_within(x, rules) for x in values):
        words = bounds(rules, listed)
        numbers = [each for each in values if isinstance(each, int | float)]
        more = "" if "finite" in words or all(map(_is_finite, numbers)) else " and finite"
        more += "" if all(map(_has_32_bits, numbers)) else ", and within 32 bits"
        raise ValueError(f"{name}={text} must be {words}{more}")
    if not values:
        raise ValueError(f"{name}= is empty: it must be {bounds(rules, listed)}")


def bounds(rules: Mapping[str, Any], listed: bool = False) -> str:
    """Says in words which numbers the metadata of a field allows.

    Args:
      rules: metadata of a field, as `setting` makes it.
      listed: whether the field is a list of numbers.
    """
    words = {"above": "above", "least": "at least", "most": "at most", "below": "below"}
    given = {rule: word for rule, word in words.items() if rules.get(rule) is not None}
    within = " and ".join(f"{word} {rules[rule]}" for rule, word in given.items())
    if list(given) == ["least", "most"]:
        within = f"from {rules['least']} to {rules['most']}"
    if not listed:
        return within or "a finite number"
    ascending = " that ascend" if rules.get("ascending") else ""
    return f"numbers {within}{ascending}" if within else f"finite numbers{ascending}"


def _is_within(value: Any, rules: Mapping[str, Any]) -> bool:
    """Whether a number is finite and keeps its bounds; other values have none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    low, high = rules.get("least"), rules.get("most")
    above, below = rules.get("above"), rules.get("below")
    return (
        _is_finite(value)
        and (_has_32_bits(value) or (isinstance(value, int) and high is not None))
        and (low is None or value >= low)
        and (high is None or value <= high)
        and (above is None or value > above)
        and (below is None or value < below)
    )


def _is_finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)


def _has_32_bits(value: float) -> bool:
    """Whether arrays of 32 bits can hold a number; of the infinite, another word is said."""
    if isinstance(value, int):
        return abs(value) < 2**31
    return value == 0 or not math.isfinite(value) or _LEAST_FLOAT <= abs(value) <= _MOST_FLOAT
