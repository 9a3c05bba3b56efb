import jax
import pytest

from hierjax.plots.style import STYLE


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    """Programs compiled by one command serve the next, and the user's own cache is left alone.

    Workers of a parallel session share it.
    """
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if base.name.startswith("popen-") else base
    before = {name: getattr(jax.config, name) for name in _OPTIONS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        for name, value in zip(_OPTIONS, (str(folder / "cache" / "hierjax"), 0.0), strict=True):
            jax.config.update(name, value)
        yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(scope="session", autouse=True)
def small_figures():
    """Nobody looks at their dots."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STYLE, "figure.dpi", 30)
        yield


_OPTIONS = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
