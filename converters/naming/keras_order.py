"""The order in which Keras lists the layers of a network with branches."""

from nst_jax.backbones.rows import Add, Conv
from nst_jax.backbones.spec import Backbone, with_head


def listed(backbone: Backbone) -> list[Conv]:
    """Returns the convolutions of the backbone and its head by the length of the longest way from each to the end.

    Those as far from it keep their order in the table. Files whose layers have neither names nor numbers of their own
    are in this order.

    Source: keras/src/models/functional.py, `map_graph`.
    """
    rows = with_head(backbone).rows
    distances: dict[str, int] = {}
    for row in reversed(rows):
        after = max((distances[name] for name in row.names if name in distances), default=0)
        steps = 1
        if isinstance(row, Conv):
            steps += (row.norm is not None) + (row.norm is not None and row.relu is not None)
        elif isinstance(row, Add):
            steps += row.relu is not None
        for name in row.inputs:
            distances[name] = max(distances.get(name, 0), after + steps)
        distances[row.name] = after + steps
    return sorted((row for row in rows if isinstance(row, Conv)), key=lambda row: -distances[row.name])
