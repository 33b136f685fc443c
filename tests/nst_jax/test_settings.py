"""Options: what a row says is what is checked, documented and traced."""

import dataclasses
import inspect
import math

import pytest

from nst_jax import settings
from nst_jax.errors import UserError
from nst_jax.ranges import Range
from nst_jax.settings import Settings

pytestmark = pytest.mark.quick


def test_what_compiles_nothing():
    assert {
        *("content_weight", "style_weight", "tv_weight", "content_layers", "style_layers", "style_layer_weights"),
        *("blend_weights", "learning_rate", "steps", "init", "init_noise", "colours"),
        *("colour_match", "colour_match_to", "region_weights", "region_guides", "scale_steps", "coarse_content"),
        "content_detail",
        *("match_content", "laplacian_weight", "matting_weight", "strength"),
        *("dream_layers", "dream_channels", "dream_channel_weights", "dream_weight", "dream_anywhere"),
    } == settings.TRACED


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate: expected more than 0, found 0.0"),
        ({"init_noise": 1.5}, "init_noise: expected 0 to 1, found 1.5"),
        ({"init_noise": -0.1}, "init_noise: expected 0 to 1, found -0.1"),
        ({"steps": -1}, "steps: expected 0 or more, found -1"),
        ({"margin": -1}, "margin: expected 0 or more, found -1"),
        ({"tv_weight": -1.0}, "tv_weight: expected 0 or more, found -1.0"),
        ({"coarsest": 0}, "coarsest: expected 1 or more, found 0"),
        ({"scale_factor": -2.0}, "scale_factor: expected 0 or more, found -2.0"),
        ({"scale_factor": 1.05}, "scale_factor: expected 1.1 or more, or 0 to choose by the device, found 1.05"),
        ({"lbfgs_pairs": -1}, "lbfgs_pairs: expected 0 to 1000, found -1"),
        ({"adam_decay": 1.0}, "adam_decay: expected 0 or more and less than 1, found 1.0"),
        ({"jitter": 10_001}, "jitter: expected 0 to 10000, found 10001"),
        ({"random_scale": 1.0}, "random_scale: expected 0 or more and less than 1, found 1.0"),
        ({"random_rotate": 180.5}, "random_rotate: expected 0 to 180, found 180.5"),
        ({"style_weight": math.nan}, "style_weight: expected a finite number, found nan"),
        (
            {"style_weight": 1e39},
            "style_weight: expected at most 3.4e+38, found 1e+39",
        ),
        ({"random_rotate": math.inf}, "random_rotate: expected a finite number, found inf"),
        ({"style_layer_weights": (1.0, math.nan)}, "style_layer_weights: expected a finite number, found nan"),
        ({"blend_weights": (-math.inf,)}, "blend_weights: expected a finite number, found -inf"),
        ({"blend_weights": (math.nan, 1.0)}, "blend_weights: expected a finite number, found nan"),
        ({"region_weights": (1.0, -1.0)}, "region_weights: expected 0 or more, found -1.0"),
        (
            {"region_weights": (0.0, 0.0)},
            "region_weights: expected one or more above 0, found 0.0, 0.0; strength 0 means no style",
        ),
        ({"strength": 1e39}, "strength: expected 0 to 1, found 1e+39"),
        ({"style_weight": -1e39}, "style_weight: expected -3.4e+38 or more, found -1e+39"),
        ({"blend_weights": (-1.0, 2.0)}, "blend_weights: expected 0 or more, found -1.0"),
        (
            {"blend_weights": (0.0, 0.0)},
            "blend_weights: expected shares of which one or more are above 0, found 0.0, 0.0",
        ),
    ],
    ids=str,
)
def test_numbers_out_of_their_range(changes, message):
    with pytest.raises(UserError) as caught:
        Settings(**changes)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("given", "shares"),
    [
        ((), ()),
        ((3.0, 7.0), (0.3, 0.7)),
        ((0.1, 0.2, 0.7), (0.1, 0.2, 0.7)),  # their sum in floating point is not quite 1
        ((0.0, 5.0), (0.0, 1.0)),
        ((3e38, 3e38), (0.5, 0.5)),
    ],
)
def test_blend_weights_become_shares(given, shares):
    settings = Settings(blend_weights=given)
    assert settings.blend_weights == shares
    assert dataclasses.replace(settings, steps=1).blend_weights == shares


def test_numbers_at_the_ends_of_their_range():
    still = {"content_layers": (), "optimizer": "adam"}
    for changes in ({"init_noise": 0.0}, {"init_noise": 1.0}, {"margin": 0}, {"steps": 0}, {"learning_rate": 1e-30}):
        Settings(**changes)
    for changes in ({"jitter": 10_000}, {"random_scale": 0.999}, {"random_rotate": 180.0}):
        Settings(**still, **changes)
    Settings(content_weight=-1.0, style_layer_weights=(-1.0,), dream_weight=-1.0)  # to be repelled is allowed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colours": "red"}, "colours: expected one of auto, free, grey, luminance, found 'red'"),
        ({"shifts": 6}, "shifts: expected a power of 2, found 6"),
        (
            {"colours": "luminance", "colour_match": "histogram", "colour_match_to": "style"},
            "colour_match_to: expected content with colours luminance, whose colours stay, found style",
        ),
        ({"colour_match_to": "style"}, "colour_match_to: expected content without a colour_match, found style"),
        ({"shifts": 8, "shift_steps": 1}, "shift_steps: expected 2 or more with lbfgs, .*, found 1"),
        ({"shifts": 8, "style_loss": "hypercolumns"}, "shifts: expected 1 with hypercolumns, .*, found 8"),
        ({"jitter": 1, "content_layers": ()}, "jitter: expected an optimizer .*, found lbfgs; use adam"),
        ({"random_scale": 0.1, "optimizer": "adam"}, "random_scale: expected no content_layers"),
        (
            {"jitter": 1, "optimizer": "adam", "content_layers": (), "style_loss": "hypercolumns"},
            "jitter: expected 0 with hypercolumns",
        ),
        ({"padding": "circular"}, "margin: expected 0 with circular padding, .*, found 16"),
    ],
    ids=str,
)
def test_options_that_exclude_each_other(changes, message):
    with pytest.raises(UserError, match=message):
        Settings(**changes)


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ({}, "a finite number"),
        ({"most": 3}, "at most 3"),
        ({"below": 3}, "less than 3"),
        ({"above": 0, "most": 1}, "at most 1 and more than 0"),
    ],
    ids=str,
)
def test_ranges_in_words(bounds, text):
    assert str(Range(**bounds)) == text


def test_a_range_looks_at_lists_in_lists_and_lets_words_pass():
    Range(least=0).check("--x", ((0, 1), ("word", None), True))
    with pytest.raises(UserError, match="--x: expected 0 or more, found -1"):
        Range(least=0).check("--x", ((0, 1), (2, -1)))


def test_help_lists_every_option():
    text = inspect.getdoc(Settings)
    for row in dataclasses.fields(Settings):
        assert f"\n    {row.name}: {row.metadata['help']}" in text
