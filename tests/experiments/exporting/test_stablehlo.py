"""StableHLO of networks that paint: read back, and run at several sizes."""

import jax
import numpy as np
import pytest
import tiny
from jax import export

from experiments.exporting import stablehlo
from nst_jax.applications.feedforward import instant, networks, painting

SIZES = {"covariance": ((32, 40), (48, 36))}
PAINT = jax.jit(painting.paint, static_argnums=0)


@pytest.mark.parametrize("name", tiny.NETWORKS)
def test_round_trip(name):
    trained = tiny.trained(name)
    network = trained.network
    code = {"several styles": np.array([0.2, 0.5, 0.3], np.float32)}.get(name)
    if instant.takes_images(network):
        style = tiny.image(16, 16, seed=1)
        code = painting.encode(network, trained.params, style)
        found = export.deserialize(bytearray(stablehlo.coder(trained))).call(style)
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(code), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-4)
    fixed = name == "predicted"
    program = export.deserialize(bytearray(stablehlo.painter(trained, code if fixed else None)))
    assert program.platforms == ("cpu", "cuda", "tpu")
    arguments = [] if fixed or code is None else [code]
    for height, width in SIZES.get(name, SIZES["covariance"][:1]):
        content = tiny.image(height, width, channels=networks.input_channels(network))
        expected = PAINT(network, trained.params, content, code)
        np.testing.assert_allclose(program.call(content, *arguments), expected, atol=1e-5)
