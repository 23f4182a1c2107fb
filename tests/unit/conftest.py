"""What unit tests of several packages share."""

import pytest


@pytest.fixture
def saved_figures(monkeypatch):
    """Every Matplotlib figure that is saved, as it is then; it is saved all the same."""
    figures = pytest.importorskip("matplotlib.figure")
    kept = []
    save = figures.Figure.savefig

    def keep(self, *given, **more):
        kept.append(self)
        save(self, *given, **more)

    monkeypatch.setattr(figures.Figure, "savefig", keep)
    return kept
