from experiments.cli.transfer_flags import network_identity
from nst_jax.backbones.pretrained import load


def test_weights_that_are_not_quite_the_published_ones_are_named():
    network = load("squeezenet1_1")
    assert "weights" not in network_identity(network)
    assert network_identity(network._replace(numbers="8-bit palette"))["weights"] == "8-bit palette"
