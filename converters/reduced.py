"""VGG-16 as fully convolutional network with its classifier reduced: `vgg16_reducedfc.pth`, from which SSD is trained.

Its convolutions are VGG-16's; fc6 and fc7 were thinned out to a dilated and a 1 x 1 convolution, which no classifier
here is, and follow as items 31 and 33 of the sequence. It was converted from Caffe for pixels in RGB (from 0 to 255,
minus mean): so its first kernel has the colours in the reverse of the order of training.

Source: the networks of amdegroot/ssd.pytorch, and the same weights in pmeier/pystiche, `models/vgg.py`.
"""

from .source import Provenance, Tensors

_CLASSIFIER = {"31/kernel": (1024, 512, 3, 3), "33/kernel": (1024, 1024, 1, 1)}


def is_reduced(tensors: Tensors) -> bool:
    """Returns whether the tensors are those of this network."""
    return all(name in tensors and tensors[name].shape == shape for name, shape in _CLASSIFIER.items())


def features(tensors: Tensors) -> Tensors:
    """Returns the tensors without the classifier."""
    layers = {name.partition("/")[0] for name in _CLASSIFIER}
    return {name: tensor for name, tensor in tensors.items() if name.partition("/")[0] not in layers}


def described(provenance: Provenance) -> Provenance:
    """Returns the provenance with what is known of this network."""
    return provenance._replace(
        format=f"{provenance.format}, VGG-16 with a reduced classifier",
        convention="caffe",
        layout=provenance.layout._replace(reversed_colours=True),
    )
