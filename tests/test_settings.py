import dataclasses
import math
import re

import pytest

from hierjax.settings import Config, bounds, check, explanations, setting


@dataclasses.dataclass(frozen=True)
class Sizes(Config):
    """Sizes of something.

    Attributes:
      count: number of things, of which
        there is at least one.
      rate: how fast.
      share: part of the whole.
      widths: widths that are tried.
      kinds: kinds that are tried.
      kind: one kind.
      note: anything.
      depth: levels; unset: as many as things.
      reads: number of inputs; None for all of them.
    """

    count: int = setting(1, least=1, most=9)
    rate: float = setting(0.1, above=0)
    share: float = setting(0.5, above=0, below=1)
    widths: tuple[int, ...] = setting((1, 2), least=1, ascending=True)
    kinds: tuple[str, ...] = setting(lambda: ("a",), choices=("a", "b"))
    kind: str = setting("a", choices=("a", "b"))
    note: str = setting("")
    depth: int = setting(None, least=1)
    reads: int | None = setting(2, least=1)

    def __post_init__(self):
        super().__post_init__()
        if self.depth is None:
            self.fill(depth=self.count)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"count": 0}, "count=0 must be from 1 to 9"),
        ({"count": 10}, "count=10 must be from 1 to 9"),
        ({"count": math.nan}, "count=nan must be from 1 to 9 and finite"),
        ({"rate": 0.0}, "rate=0.0 must be above 0"),
        ({"rate": math.inf}, "rate=inf must be above 0 and finite"),
        ({"rate": math.nan}, "rate=nan must be above 0 and finite"),
        ({"rate": None}, "rate=None is no value: leave it out for its default"),
        ({"share": 1}, "share=1 must be above 0 and below 1"),
        ({"share": 0}, "share=0 must be above 0 and below 1"),
        ({"widths": ()}, "widths= is empty: it must be numbers at least 1 that ascend"),
        ({"widths": (2, 1)}, "widths=2,1 must be numbers at least 1 that ascend"),
        ({"widths": (1, 1)}, "widths=1,1 must be numbers at least 1 that ascend"),
        ({"widths": (0, 1)}, "widths=0,1 must be numbers at least 1 that ascend"),
        ({"kinds": ()}, "kinds= must be different ones of a, b"),
        ({"kinds": ("a", "a")}, "kinds=a,a must be different ones of a, b"),
        ({"kinds": ("a", "c")}, "kinds=a,c must be different ones of a, b"),
        ({"kind": "c"}, "kind='c' is unknown: choose one of a, b"),
        ({"depth": 0}, "depth=0 must be at least 1"),
    ],
)
def test_values_out_of_bounds_are_refused_in_a_sentence(values, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}") as refused:
        Sizes(**values)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "values",
    [
        {"count": 1},
        {"count": 9},
        {"rate": 1e-9},
        {"widths": (1,)},
        {"kinds": ("b", "a")},
        {"note": "any text"},
        {"depth": None},
        {"reads": None},
    ],
)
def test_values_within_bounds_are_kept(values):
    sizes = Sizes(**values)
    for name, value in values.items():
        assert getattr(sizes, name) == (sizes.count if name == "depth" else value)


def test_what_is_unset_follows_from_the_rest():
    assert Sizes(count=4).depth == 4
    assert Sizes(count=4, depth=2).depth == 2


def test_explanations_are_one_line_each_and_inherited():
    class More(Sizes):
        """More of it.

        Attributes:
          rate: how slow.

        Raises:
          ValueError: never.
        """

    found = explanations(More)
    assert found["count"] == "number of things, of which there is at least one."
    assert found["rate"] == "how slow."
    assert set(found) == {field.name for field in dataclasses.fields(Sizes)}


def test_a_field_without_an_explanation_is_refused_when_it_is_declared():
    with pytest.raises(ValueError, match=r"^Bare.size is not explained: add it to the Attributes"):

        class Bare(Config):
            """Sizes."""

            size: int = setting(1)


@pytest.mark.parametrize(
    ("rules", "listed", "words"),
    [
        ({}, False, "a finite number"),
        ({}, True, "finite numbers"),
        ({"ascending": True}, True, "finite numbers that ascend"),
        ({"least": 1}, False, "at least 1"),
        ({"most": 2}, False, "at most 2"),
        ({"least": 1, "most": 2}, True, "numbers from 1 to 2"),
        ({"above": 0, "most": 2}, False, "above 0 and at most 2"),
    ],
)
def test_bounds_in_words(rules, listed, words):
    assert bounds(rules, listed) == words


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.5, 2), (7, 7)])
def test_bounds_hold_at_their_edges(low, high):
    closed, below = {"least": low, "most": high}, math.nextafter(low, -math.inf)
    for value in (low, high, (low,), (high,)):
        check("x", value, closed)
    for value in (below, math.nextafter(high, math.inf), (low, below), -math.inf, math.nan):
        with pytest.raises(ValueError, match="x="):
            check("x", value, closed)
    for rules, value in (({"above": low}, low), ({"below": high}, high)):
        with pytest.raises(ValueError, match="x="):
            check("x", value, rules)
