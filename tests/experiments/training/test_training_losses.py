"""Losses of a training that diverged."""

import numpy as np
import pytest

from experiments.training.losses import Losses
from nst_jax.errors import UserError


@pytest.mark.quick
def test_advice_after_divergence_can_be_followed():
    """Another learning rate is another training, which the folder of this one refuses."""
    losses = Losses(["content", "style"], ["a"])
    good = {"loss": 2.0, "content": 1.0, "style": 1.0, "styles": np.ones(1)}
    with pytest.raises(UserError, match=r"step 2: expected numbers, the style is nan; .* in another --workdir"):
        losses.add([good, good | {"style": float("nan")}])
    assert len(losses) == 1
