"""Muon: momentum, orthogonalised, for the weights of convolutions.

Every direction of a weight matrix is moved by about the same amount, also those that the gradient hardly
shows; on few images that generalises better than AdamW (see docs/training.md). Method: Jordan et al., 2024,
https://kellerjordan.github.io/posts/muon/. torch.optim.Muon takes matrices only, and only from torch 2.9 on.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

# Of the quintic Newton-Schulz iteration: chosen by its authors to bring singular values near 1 in few steps.
A, B, C = 3.4445, -4.7750, 2.0315


def orthogonalise(matrix: Tensor, steps: int, precision: torch.dtype) -> Tensor:
    """About U @ V.T of the singular value decomposition U S V.T of [rows, columns], in float32.

    Singular values come out between 0.7 and 1.2, which is near enough to train with.
    """
    x = (matrix / (matrix.norm() + 1e-7)).to(precision)
    if x.shape[0] > x.shape[1]:
        return orthogonalise(matrix.T, steps, precision).T
    # An iteration is x = (A + B g + C g g) x with g = x x'; in terms of g alone it costs rows^3 each.
    gram = x @ x.T
    product: Tensor | None = None
    for step in range(steps):
        factor = torch.addmm(gram, gram, gram, beta=B, alpha=C)
        factor.diagonal().add_(A)
        product = factor if product is None else factor @ product
        if step + 1 < steps:
            gram = factor @ gram @ factor
    return (x if product is None else product @ x).float()


class Muon(torch.optim.Optimizer):
    """Takes parameters of two dimensions and more; the first is the rows, the others make the columns.

    `precision` is what the orthogonalisation computes in. Weight decay is decoupled, as AdamW's is.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        *,
        momentum: float = 0.6,
        weight_decay: float = 0.0,
        steps: int = 3,
        precision: torch.dtype = torch.float32,
    ) -> None:
        self.precision, self.steps = precision, steps
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        if closure is not None:
            raise TypeError("Muon takes no closure")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        momentum = state["momentum"].mul_(group["momentum"]).add_(gradient)
        nesterov = gradient.add(momentum, alpha=group["momentum"]).flatten(1)
        rows, columns = nesterov.shape
        direction = orthogonalise(nesterov, self.steps, self.precision).view_as(parameter)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(direction, alpha=-group["lr"] * math.sqrt(max(1, rows / columns)))
