"""The plot of a run's losses."""

import dataclasses

import matplotlib.axes
import numpy as np
import pytest

from experiments.running.records import plot_losses
from nst_jax.history import History
from nst_jax.settings import Settings

pytestmark = pytest.mark.quick


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn: label → the values over the steps."""
    found = {}
    draw = matplotlib.axes.Axes.plot

    def record(self, steps, values, *args, label, **options):
        found[label] = np.asarray(values)
        return draw(self, steps, values, *args, label=label, **options)

    monkeypatch.setattr(matplotlib.axes.Axes, "plot", record)
    return found


def test_terms_are_drawn_with_the_weights_of_each_scale(drawn, tmp_path):
    settings = Settings(content_weight=2.0, style_weight=10.0, tv_weight=0.0)
    content, style = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.5, 0.4, 0.3, 0.2])
    terms = {"content": content, "style": style, "total_variation": np.ones(4), "content/conv4_2": content}
    history = History(np.array([0, 1, 1, 2]), np.arange(4) + 1.0, terms, np.ones(4, int))
    plot_losses(tmp_path / "a.png", history, [dataclasses.replace(settings, content_weight=16.0), settings])
    assert list(drawn) == ["loss", "content × 16 … 2", "style × 10"]
    np.testing.assert_array_equal(drawn["content × 16 … 2"], [16, 32, 6, 8])
    np.testing.assert_array_equal(drawn["style × 10"], style * 10)
