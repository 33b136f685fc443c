"""The classes of ImageNet: that numbers and names are those of everybody, and what is said of others."""

import collections

import jax
import numpy as np
import pytest
import skimage.data
import skimage.transform

from nst_jax.backbones.features import Features
from nst_jax.backbones.imagenet import class_index, class_name, classes
from nst_jax.backbones.pretrained import load_classifier
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick

# Caffe's synset_words.txt, by its line, and as torchvision, Keras and everybody after it count.
KNOWN = {
    0: "tench",
    7: "cock",
    281: "tabby",
    310: "ant",
    327: "starfish",
    351: "hartebeest",
    393: "anemone fish",
    504: "coffee mug",
    647: "measuring cup",
    701: "parachute",
    783: "screw",
    954: "banana",
    999: "toilet tissue",
}


@pytest.mark.parametrize(("number", "name"), KNOWN.items())
def test_numbers_and_names_as_everybody_counts(number, name):
    assert class_name(number) == name
    assert class_index(name) == class_index(str(number)) == number


def test_ids_come_in_the_order_of_wordnet():
    # ILSVRC 2012 sorts its classes by their ids, of animals and things alike.
    synsets = [synset for synset, _, _ in classes()]
    assert len(synsets) == len(set(synsets)) == 1000
    assert synsets == sorted(synsets)
    assert all(text and names and all(names) for _, names, text in classes())


def test_the_embedded_network_counts_alike():
    pretrained = load_classifier("squeezenet1_1")
    classify = jax.jit(lambda image: Features(pretrained.backbone).apply(pretrained.params, image)["pool10"].ravel())
    for picture, possible in {"chelsea": ("tabby", "tiger cat", "egyptian cat"), "coffee": ("espresso", "cup")}.items():
        photograph = getattr(skimage.data, picture)()
        side = min(photograph.shape[:2])
        left = (photograph.shape[1] - side) // 2
        square = skimage.transform.resize(photograph[:side, left : left + side], (227, 227), anti_aliasing=True)
        assert int(classify(np.float32(square)).argmax()) in {class_index(name) for name in possible}


@pytest.mark.parametrize("name", ["Measuring_Cup", " MEASURING  cup ", "n03733805", "647"])
def test_a_class_goes_by_many_names(name):
    assert class_index(name) == 647


def test_every_class_is_found_by_its_id_and_by_each_name_that_is_its_own():
    names = [(name, number) for number, (_, names, _) in enumerate(classes()) for name in names]
    times = collections.Counter(name.lower() for name, _ in names)
    for name, number in names:
        if times[name.lower()] == 1:
            assert class_index(name) == number
        else:
            with pytest.raises(UserError, match=rf"\b{number} \("):
                class_index(name)
    assert [class_index(synset) for synset, _, _ in classes()] == list(range(1000))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("crane", r"expected one class, found 134 \(.*wading bird.*\) and 517 \(lifts .*\); give a number"),
        ("Maillot", r"found 638 \(tights .*\) and 639 \(.*bathing suit\)"),
        ("cardigan", r"found 264 \(.*corgi.*\) and 474 \(knitted jacket .*\)"),
        (
            "hartebeast",
            "unknown class 'hartebeast'; expected a number from 0 to 999 or .*, like hartebeest; all ",
        ),
        ("cat", "like tabby cat, tiger cat, "),
        ("1000", "unknown class '1000'; .* ImageNet; all are in .*imagenet_classes.tsv"),
        ("-1", "unknown class '-1'"),
        ("", "unknown class ''"),
        ("²", "unknown class '²'"),
    ],
)
def test_what_is_no_class(name, message):
    with pytest.raises(UserError, match=message) as caught:
        class_index(name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
