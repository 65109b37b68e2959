"""AdamW with gradient clipping and a running mean of the weights, all state in named tensors; no loop, no schedule."""

from __future__ import annotations

import torch
from torch import Tensor, nn

BETAS = (0.9, 0.99)
EPSILON = 1e-8


class Optimiser:
    """Decoupled weight decay (Loshchilov & Hutter 2019) on weights of two or more dimensions.

    The running mean starts as the plain mean of what it has seen, so that it forgets the first weights early.
    """

    def __init__(self, module: nn.Module, weight_decay: float, clip: float, average: float) -> None:
        self._names = [name for name, _ in module.named_parameters()]
        self._parameters: list[Tensor] = [parameter for _, parameter in module.named_parameters()]
        self._weight_decay, self._clip, self._average = weight_decay, clip, average
        self._decayed = [p for p in self._parameters if p.dim() > 1]
        self._first = [torch.zeros_like(p) for p in self._parameters]
        self._second = [torch.zeros_like(p) for p in self._parameters]
        self._mean = [p.detach().clone() for p in self._parameters]
        self.steps = 0

    def step(self, learning_rate: float) -> None:
        """Apply and clear the gradients."""
        self.steps += 1
        with torch.no_grad():
            for parameter in self._parameters:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            gradients = [p.grad for p in self._parameters if p.grad is not None]
            nn.utils.clip_grad_norm_(self._parameters, self._clip)
            torch._foreach_lerp_(self._first, gradients, 1 - BETAS[0])
            torch._foreach_mul_(self._second, BETAS[1])
            torch._foreach_addcmul_(self._second, gradients, gradients, 1 - BETAS[1])
            torch._foreach_mul_(self._decayed, 1 - learning_rate * self._weight_decay)
            scale = torch._foreach_sqrt(self._second)
            torch._foreach_div_(scale, (1 - BETAS[1] ** self.steps) ** 0.5)
            torch._foreach_add_(scale, EPSILON)
            torch._foreach_addcdiv_(self._parameters, self._first, scale, -learning_rate / (1 - BETAS[0] ** self.steps))
            for gradient in gradients:
                gradient.zero_()
            decay = min(self._average, self.steps / (self.steps + 9))
            torch._foreach_lerp_(self._mean, self._parameters, 1 - decay)

    def averaged(self) -> dict[str, Tensor]:
        """The running mean of the weights, by name; the last weights if the decay is 0."""
        return {name: mean.clone() for name, mean in zip(self._names, self._mean, strict=True)}

    def state(self) -> dict[str, Tensor]:
        """Everything but the weights and the number of steps; `load` takes it."""
        return {
            f"{part}/{name}": tensor
            for part, tensors in self._parts()
            for name, tensor in zip(self._names, tensors, strict=True)
        }

    def load(self, state: dict[str, Tensor], steps: int) -> None:
        """Go on from what `state` gave after this many steps."""
        for part, tensors in self._parts():
            for name, tensor in zip(self._names, tensors, strict=True):
                tensor.copy_(state[f"{part}/{name}"])
        self.steps = steps

    def _parts(self) -> tuple[tuple[str, list[Tensor]], ...]:
        return ("first", self._first), ("second", self._second), ("mean", self._mean)
