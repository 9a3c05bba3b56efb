import pytest

from hierjax.plots.style import STYLE


@pytest.fixture(scope="session", autouse=True)
def small_figures():
    """Nobody looks at their dots."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STYLE, "figure.dpi", 30)
        yield
