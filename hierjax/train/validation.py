"""How many of the examples are fitted where choices are compared on the rest."""

_SHARE = 8


def num_fitted(num_examples: int) -> int:
    """Returns how many examples, the first ones, are fitted while the rest, an eighth, is held out.

    Args:
      num_examples: number of all examples.

    Raises:
      ValueError: there are fewer than two.
    """
    if num_examples < 2:
        raise ValueError(
            f"{num_examples} train example leaves none to choose on: give at least 2, or one choice"
        )
    return num_examples - max(num_examples // _SHARE, 1)
