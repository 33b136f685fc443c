import pytest

from experiments.cli.transfer_flags import TransferFlags, network_identity, resolve
from nst_jax.backbones.pretrained import load
from nst_jax.errors import UserError


def test_weights_that_are_not_quite_the_published_ones_are_named():
    network = load("squeezenet1_1")
    assert "weights" not in network_identity(network)
    assert network_identity(network._replace(numbers="8-bit palette"))["weights"] == "8-bit palette"


def test_hypercolumns_suit_the_default_preset():
    for given in ({"style_loss": "hypercolumns"}, {"finish_loss": "hypercolumns", "finish_steps": 5}):
        assert resolve(TransferFlags(**given), "squeezenet1_1").shifts == 1
    for given in ({}, {"finish_loss": "hypercolumns"}):  # with no finishing pass
        assert resolve(TransferFlags(**given), "squeezenet1_1").shifts == 8
    with pytest.raises(UserError, match=r"shifts: expected 1 with hypercolumns, .*, found 4"):
        resolve(TransferFlags(style_loss="hypercolumns", shifts=4), "squeezenet1_1")
