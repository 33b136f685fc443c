"""The words that options of a transfer may have as values: what can be chosen by name, and what each means."""

from typing import Literal

Pooling = Literal["max", "average", "l2", "scaled_average", "scaled_l2"]
"""`max`, as the networks were trained; `average`, which Gatys et al. found to give slightly more appealing pictures; or
`l2`, the root of the sum of squares. `scaled_average` and `scaled_l2` are 2 and 0.78 times as much, with which
activations stay about as large as with `max`."""

Padding = Literal["zeros", "reflect", "replicate", "replicate_first", "circular"]
"""Values beyond the border of a convolution's input. Zeros, with which the networks were trained, look like a black
frame to the filters, and that frame can show in stylised images; the other modes continue the picture:
`replicate_first` only what the first convolution sees, with zeros in all others. With `circular` the picture repeats
itself beyond its border, for pools too."""

Precision = Literal["float32", "tf32", "bfloat16"]
"""Precision of the network: float32 throughout; tf32 products, of 10 bits, on NVIDIA's tensor cores (elsewhere
float32); or bfloat16 activations, of 8 bits. Losses, Gram matrices and the picture are always float32."""

Optimizer = Literal["adam", "lbfgs", "gradient"]
"""`gradient` follows the gradient divided by its mean absolute value, as DeepDream does."""

Parameterization = Literal["pixels", "fourier", "laplacian", "coordinates"]
"""The variables that are optimised: the pixels; the spectrum of their logit, in decorrelated colours; the levels of
their Laplacian pyramid; or the weights of a perceptron that maps the coordinates of a pixel to its colour."""

Colours = Literal["auto", "free", "grey", "luminance"]
"""`grey` paints three equal channels; `auto` does so where the content image and all style images are grey, and leaves
the colours `free` elsewhere, and without style images. `luminance` paints the luminance alone, under the chroma of the
content image; see `rendering.luminance`."""

LUMINANCE: Colours = "luminance"

ColourMatch = Literal["none", "symmetric", "pca", "cholesky", "histogram"]
"""How the colours of one image are moved to those of another; see `rendering.colour_matching`."""

ColourMatchTo = Literal["content", "style"]

ActivationObjective = Literal[
    "channel",
    "class_logit",
    "neuron",
    "deepdream",
    "log_deepdream",
    "guided",
]
"""Formula of the activation objective; see `activations`."""

Init = Literal["content", "noise", "blend"]

ContentLoss = Literal[
    "half_squared_error", "mean_squared_error", "quarter_mean_squared_error", "relative_squared_error"
]

StyleLoss = Literal[
    "gram_error",
    "scaled_gram_error",
    "relative_squared_error",
    "mean_covariance_error",
    "mean_variance_error",
    "gram_moments_error",
    "wasserstein2",
    "relative_wasserstein2",
    "scaled_mse_gram_error",
    "relative_scaled_mse_gram_error",
    "normalized_gradient_gram_error",
    "histogram",
    "sliced_wasserstein",
    "contextual",
    "nearest_neighbour",
    "hypercolumns",
]
"""Formula of the style loss, by what of a layer it compares; see `losses`.

Gram matrices: `gram_error` as Gatys et al. 2016, `scaled_gram_error` as neural-style, `relative_squared_error` as a
share of the target. `scaled_mse_gram_error` has a derivative of one length, far from the target and near it; the
relative one has the same as a share of the target, and `normalized_gradient_gram_error` that of neural-style's option
`-normalize_gradients`.

Means and variances: `mean_variance_error` of channels, `mean_covariance_error` with those between channels, both as
shares of the target. `gram_moments_error` is `scaled_gram_error` and ten times the errors of means and standard
deviations, as Galerne et al. 2022. `wasserstein2` is the distance between normal distributions that have them, which
keeps large shapes of the style best and takes most time; `relative_wasserstein2` is its share of the target's variance.

Distributions: `histogram` of each channel, `sliced_wasserstein` along random directions.

Positions: `nearest_neighbour` compares each with the one of the style image that is most like it, `contextual` wants
for each of the style image one that is like it alone. `hypercolumns` compares each, in all layers as one, with the one
that was most like it when the scale began; the layers' weights are those of their products in the cosine.

The last five and `normalized_gradient_gram_error` have no mean over positions: of several style images they blend
losses, no targets, and they know no regions."""

Smoothing = Literal["none", "softmax"]
"""What happens to activations before content and style are compared: nothing, or a softmax over all of a layer, for
networks with residual sums; see `smoothing`."""

VariationLoss = Literal[
    "squared_variation", "neural_style_variation", "crowson_variation", "circular_squared_variation"
]

Tiles = int | Literal["auto", "off"]
"""Side of the tiles in which a picture is seen; `off` sees all of it at once, `auto` chooses by the memory there is."""

Blending = Literal["targets", "losses"]
"""How several styles are blended: `targets`, one loss towards the weighted mean of their Gram matrices, as in
neural-style, or of their moments; or `losses`, the weighted sum of a loss towards each, with any style loss. For a
quadratic loss the two differ by a constant, the spread of the Gram matrices; a relative loss also changes their
weights."""

RegionGuides = Literal["simple", "inside", "all"]
"""Which units of a layer have a part in a region: `simple`, each has as much as the pixels that it stands for, `inside`
those that see nothing else, `all` those that see some of it."""
