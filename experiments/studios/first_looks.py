"""The networks that may paint the first look; nothing here needs JAX."""

from nst_jax.applications.feedforward import trained
from nst_jax.applications.feedforward.networks import Matched, Network, Predicted, Transformer
from nst_jax.errors import UserError


def names() -> list[str]:
    """Returns the installed networks that suit, that for any style first."""
    found = [name for name in trained.installed() if _is_suited(name)]
    return sorted(found, key=lambda name: (name != trained.EMBEDDED, name))


def _is_suited(name: str) -> bool:
    try:
        return suits(trained.network_in(trained.find(name)))
    except UserError:  # the file is damaged
        return False


def suits(network: Network) -> bool:
    """Returns whether a network sees the paintings that are chosen, or was trained for a single one.

    One with many styles of its own, of which none is chosen, would show a mixture of all of them; one that paints from
    maps of regions shows no photograph.
    """
    return isinstance(network, Predicted | Matched) or (isinstance(network, Transformer) and network.styles <= 1)
