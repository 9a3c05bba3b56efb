"""The examples that choices are compared on."""

_SHARE = 8


def num_fitted(num_examples: int) -> int:
    """Of so many examples, how many to fit while choices are compared on the rest, an eighth.

    Raises:
      ValueError: there are fewer than two.
    """
    if num_examples < 2:
        raise ValueError(
            f"{num_examples} train example leaves none to choose on: give at least 2, or no choice"
        )
    return num_examples - max(num_examples // _SHARE, 1)
