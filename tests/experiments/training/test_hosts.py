"""How processes that train together find each other, and what is said where they cannot."""

import socket

import pytest

from experiments.cli.run_flags import ClusterFlags
from experiments.training import hosts
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick


def test_the_first_process_is_not_there(monkeypatch):
    monkeypatch.setattr(hosts, "PATIENCE", 0)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{found.getsockname()[1]}"
    flags = ClusterFlags(distributed=True, coordinator_address=address, num_processes=2, process_id=1)
    with pytest.raises(UserError, match=f"expected the first process at {address} within 0 s, found none"):
        hosts.join(flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"num_processes": 2}, "--distributed: expected it with"),
        ({"distributed": True, "num_processes": 2, "process_id": 2}, "--process_id: expected 0 to 1, found 2"),
        ({"distributed": True, "coordinator_address": "host"}, "expected host:port, found 'host'"),
        ({"distributed": True, "coordinator_address": "host:70000"}, "expected host:port, found 'host:70000'"),
    ],
    ids=str,
)
def test_flags_that_do_not_fit_together(flags, message):
    with pytest.raises(UserError, match=message):
        hosts.join(ClusterFlags(**flags))
