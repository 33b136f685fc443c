"""A page that paints: one HTML file with a network, what computes it in a browser, and styles to choose from.

It stands alone, opens from a disk as well as from a server, and requests nothing. `page.html` is all of it but the
data, `worker.js` what computes beside it. Large files are in it compressed and in base64.
"""

import base64
import gzip
import hashlib
import importlib.resources
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from nst_jax.io.files import atomic_write

from .runtime import Part

_POLICY = (
    "default-src 'none'; script-src {script} 'wasm-unsafe-eval'; style-src {style}; worker-src blob:; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)


class Style(NamedTuple):
    """A style to choose.

    Attributes:
        name: its name.
        image: `[H, W, 3]`, RGB in [0, 1]: the style image, or a picture in the style.
        weights: the code, of a network with its styles in it; none for one that sees the image.
    """

    name: str
    image: np.ndarray
    weights: list[float] | None


def write_page(
    path: Path,
    *,
    title: str,
    made: Sequence[str],
    sample: np.ndarray,
    styles: Sequence[Style],
    codes: Sequence[str],
    side: int | None,
    least: int,
    models: Mapping[str, bytes],
    parts: Mapping[str, Part],
) -> None:
    """Writes the page, atomically.

    Args:
        path: the page.
        title: name of the network.
        made: what the foot of the page says of the network's origin and the runtime's.
        sample: the photo that it begins with, `[H, W, 3]`, RGB in [0, 1].
        styles: the styles to choose from.
        codes: names of the painter's inputs that are the style.
        side: side of the squares that the network sees of style images; none if it sees them whole.
        least: least side of a photo or style image that a network sees whole, in pixels.
        models: `painter` and, for a network that sees style images, `coder`, in ONNX.
        parts: provider → runtime.

    Raises:
        UserError: it cannot be written.
    """
    network = {
        "title": title,
        "made": list(made),
        "sample": _uri(sample),
        "styles": [_described(style) for style in styles],
        "codes": list(codes),
        "side": side,
        "least": least,
        "strengthens": "coder" in models,
    }
    here = importlib.resources.files(__package__)
    files = {**models, "worker": here.joinpath("worker.js").read_bytes()}
    for provider, part in parts.items():
        files |= {f"{provider}-script": part.script, f"{provider}-binary": part.binary}
    template = here.joinpath("page.html").read_text("utf-8")
    policy = _POLICY.format(
        **{tag: _hash(re.findall(rf"<{tag}>(.*?)</{tag}>", template, re.DOTALL)) for tag in ("script", "style")}
    )
    text = json.dumps(network, ensure_ascii=False).replace("<", r"\u003c")  # alone it could end the script element
    blocks = "\n".join(
        f'<script type="application/octet-stream" id="file-{name}">{_packed(data)}</script>'
        for name, data in files.items()
    )
    for place, content in {"policy": policy, "network": text, "files": blocks}.items():
        before, after = template.split(f"{{{{ {place} }}}}")
        template = before + content + after
    with atomic_write(path) as file:
        file.write(template.encode(errors="replace"))


def _described(style: Style) -> dict[str, Any]:
    described = {"name": style.name, "image": _uri(style.image)}
    return described if style.weights is None else {**described, "weights": style.weights}


def _uri(pixels: np.ndarray) -> str:
    """Returns an image as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)).save(
        buffer, "jpeg", quality=90, subsampling="4:4:4"
    )
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, 6, mtime=0)).decode()


def _hash(elements: list[str]) -> str:
    """Returns the only element of a kind as a policy names it."""
    (content,) = elements
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
