"""The same transfer in PyTorch, if it is installed, written as its users write it.

It interprets the table of a backbone and runs Adam on the same objective; channels last, with as many threads as XLA.
"""

import functools
import importlib.metadata
import importlib.util
import math
import operator
import os
from typing import Any, assert_never

import jax
import numpy as np

from nst_jax.backbones.rows import Add, Concat, Conv, GlobalAverage, LocalResponseNorm, Pool, Row
from nst_jax.backbones.spec import INPUT, ancestors
from nst_jax.errors import UserError, choose
from nst_jax.problem import Transfer
from nst_jax.terms import CONTENT, STYLE, VARIATION

NONE, AUTO = "none", "auto"
_NEXT_TO_NOTHING = 1e-6  # as in losses.relative_squared_error

_FORMULAS = {
    "half_squared_error": lambda found, target: (found - target).square().sum() / 2,
    "gram_error": lambda found, target: (found - target).square().mean() / 4,
    "relative_squared_error": lambda found, target: (
        (found - target).square().sum() / (target.square().sum() + _NEXT_TO_NOTHING * target.numel())
    ),
}
"""The formulas of `losses` that are implemented here, by the same names, for tensors of one shape."""


def find(rival: str) -> tuple[str | None, str]:
    """Returns the rival that a name stands for, None if there is none, and a text with its version or the reason.

    Raises:
        UserError: it was chosen by name and cannot run.
    """
    if rival == NONE:
        return None, "none chosen"
    problem = _problem()
    if problem and rival != AUTO:
        raise UserError(f"--rivals: expected {rival} to be installed, found: {problem}; leave --rivals out")
    if problem:
        return None, problem
    return ("torch" if rival == AUTO else rival), f"PyTorch {versions()['torch']}"


def versions() -> dict[str, str]:
    """Returns the versions of the rivals that are installed."""
    return {} if importlib.util.find_spec("torch") is None else {"torch": importlib.metadata.version("torch")}


def cpus() -> int:
    """Returns the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Torch:
    """A transfer with Adam in PyTorch.

    Attributes:
        loss: loss of the current picture.
        gradient: gradient of the loss at the initial picture, `[H, W, 3]`.
    """

    def __init__(self, transfer: Transfer, image: np.ndarray, *, learning_rate: float, compiled: bool = False) -> None:
        """Evaluates the initial picture.

        Args:
            transfer: the transfer to reproduce.
            image: `[H, W, 3]`, RGB in [0, 1].
            learning_rate: step size of Adam, in units of the pixels.
            compiled: whether to use `torch.compile`.

        Raises:
            UserError: the transfer has a formula, padding, blur or blending that is not implemented here.
        """
        import torch

        torch.set_num_threads(cpus())
        on_gpu = jax.default_backend() == "gpu"
        fast = transfer.config.objective.precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = fast
        torch.backends.cudnn.benchmark = True
        self._torch = torch
        self._device = torch.device("cuda" if on_gpu else "cpu")
        self._dtype = torch.bfloat16 if transfer.config.objective.precision == "bfloat16" else torch.float32
        self._objective = transfer.config.objective
        self._check(transfer)
        self._content = {layer: self._tensor(target) for layer, target in transfer.targets[CONTENT].items()}
        shares = np.asarray(transfer.weights.style_images)
        self._style = {
            layer: self._tensor(np.einsum("s,scd->cd", shares, np.asarray(grams)))
            for layer, grams in transfer.targets[STYLE].items()
        }
        self._weights = jax.tree.map(float, transfer.weights.replace(style_images=0))
        self._rows = ancestors(transfer.config.objective.backbone, {*self._content, *self._style})
        self._read_later = [
            {name for later in self._rows[index + 1 :] for name in later.inputs} for index in range(len(self._rows))
        ]
        self._kernels = {
            row.name: self._kernel(transfer.params["params"], row.name) for row in self._rows if isinstance(row, Conv)
        }
        preprocess = transfer.config.objective.backbone.preprocess
        self._mean, self._std = (
            self._tensor(np.asarray(values, np.float32)) for values in (preprocess.mean, preprocess.std)
        )
        self._image = self._tensor(image).requires_grad_()
        self._optimizer = torch.optim.Adam([self._image], lr=learning_rate)
        self._measure = torch.compile(self._total) if compiled else self._total
        self._evaluate()
        self.gradient = self._image.grad.cpu().numpy().copy()

    @property
    def loss(self) -> float:
        """The loss after the last step."""
        return self._loss.item()

    @property
    def image(self) -> np.ndarray:
        """The picture after the last step, `[H, W, 3]`."""
        return self._image.detach().cpu().numpy().copy()

    def run(self, steps: int) -> float:
        """Runs some steps; returns the loss of the picture after them."""
        for _ in range(steps):
            self._optimizer.step()
            with self._torch.no_grad():
                self._image.clamp_(0, 1)
            self._evaluate()
        return self.loss  # waits for the device

    def _evaluate(self) -> None:
        self._optimizer.zero_grad()
        loss = self._measure()
        loss.backward()
        self._loss = loss.detach()

    def _total(self) -> Any:
        preprocess, weights = self._objective.backbone.preprocess, self._weights
        pixels = self._image if preprocess.order == "RGB" else self._image.flip(-1)
        values = ((pixels * preprocess.scale - self._mean) / self._std).permute(2, 0, 1)[None].to(self._dtype)
        maps = {INPUT: values.contiguous(memory_format=self._torch.channels_last)}
        content, style = (_FORMULAS[self._formula(term)] for term in (CONTENT, STYLE))
        total = 0.0
        for row, read_later in zip(self._rows, self._read_later, strict=True):
            for name, found in self._outputs(row, maps).items():
                maps[name] = found
                if name not in self._content and name not in self._style:
                    continue
                features = found[0].permute(1, 2, 0).float()
                if name in self._content:
                    weight = weights.terms[CONTENT] * weights.layers[CONTENT][name]
                    total += weight * content(features, self._content[name])
                if name in self._style:
                    rows = features.reshape(-1, features.shape[-1])
                    gram = rows.T @ rows / len(rows)
                    weight = weights.terms[STYLE] * weights.layers[STYLE][name]
                    total += weight * style(gram, self._style[name])
            maps = {name: found for name, found in maps.items() if name in read_later}
        if weights.terms[VARIATION]:
            total += weights.terms[VARIATION] * self._variation()
        return total

    def _outputs(self, row: Row, maps: dict[str, Any]) -> dict[str, Any]:
        functional = self._torch.nn.functional
        outputs: tuple[Any, ...]
        match row:
            case Conv():
                padded = self._padded(row, maps[row.input], 0.0)
                linear = functional.conv2d(padded, *self._kernels[row.name], stride=row.stride, groups=row.groups)
                outputs = (linear, linear.clamp(0, row.ceiling)) if row.relu else (linear,)
            case Pool():
                outputs = (self._pool(row, maps[row.input]),)
            case LocalResponseNorm():
                outputs = (functional.local_response_norm(maps[row.input], row.size, row.alpha, row.beta, row.k),)
            case Concat():
                outputs = (self._torch.cat([maps[name] for name in row.parts], dim=1),)
            case Add():
                total = functools.reduce(operator.add, (maps[name] for name in row.parts))
                outputs = (total, functional.relu(total)) if row.relu else (total,)
            case GlobalAverage():
                outputs = (maps[row.input].mean(dim=(2, 3), keepdim=True),)
            case _:
                assert_never(row)
        return {name: output for names, output in zip(row.outputs, outputs, strict=True) for name in names}

    def _pool(self, row: Pool, maps: Any) -> Any:
        functional = self._torch.nn.functional
        if (row.kind or self._objective.pooling) == "max":
            padded = self._padded(row, maps, -math.inf)
            return functional.max_pool2d(padded, row.size, row.stride, ceil_mode=row.ceil)
        total, count = (
            functional.avg_pool2d(self._padded(row, values, fill), row.size, row.stride, ceil_mode=row.ceil)
            for values, fill in ((maps, 0.0), (self._torch.ones_like(maps), float(row.kind == "padded_average")))
        )
        return total / count

    def _padded(self, row: Conv | Pool, maps: Any, fill: float) -> Any:
        down, across = (window.around(length) for window, length in zip(row.windows, maps.shape[2:], strict=True))
        if not any(down + across):
            return maps
        return self._torch.nn.functional.pad(maps, (*across, *down), value=fill)

    def _variation(self) -> Any:
        """Returns `losses.squared_variation`."""
        down, right = self._image.diff(dim=0), self._image.diff(dim=1)
        return (down.square().sum() + right.square().sum()) / (self._image.shape[0] * self._image.shape[1])

    def _kernel(self, params: dict[str, Any], name: str) -> tuple[Any, Any]:
        kernel = self._tensor(params[f"{name}/kernel"]).permute(3, 2, 0, 1).to(self._dtype)
        kernel = kernel.contiguous(memory_format=self._torch.channels_last)
        return kernel, self._tensor(params[f"{name}/bias"]).to(self._dtype)

    def _tensor(self, values: Any) -> Any:
        return self._torch.from_numpy(np.array(values)).to(self._device)

    def _formula(self, term: str) -> str:
        return dict(self._objective.formulas)[term].error.__name__

    def _check(self, transfer: Transfer) -> None:
        objective, formulas = self._objective, dict(self._objective.formulas)
        choose(self._formula(CONTENT), _FORMULAS, what="content loss of the rival")
        choose(self._formula(STYLE), _FORMULAS, what="style loss of the rival")
        choose(objective.padding, ["zeros"], what="padding of the rival")
        choose(str(objective.antialias), ["False"], what="antialias of the rival")
        choose(str(transfer.config.shifts), ["1"], what="shifts of the rival")
        choose(objective.pooling, ["max", "average"], what="pooling of the rival")
        choose(objective.blending, ["targets"], what="blending of the rival")
        choose(formulas[VARIATION].statistic.__name__, ["squared_variation"], what="variation loss of the rival")


RIVALS = {
    "torch": Torch,
    "torch_compile": lambda *arguments, **options: Torch(*arguments, **options, compiled=True),
}


def _problem() -> str | None:
    """Returns why PyTorch cannot take part, None if it can."""
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    if jax.default_backend() == "gpu":
        import torch

        return None if torch.cuda.is_available() else "this torch does not see the GPU"
    return None
