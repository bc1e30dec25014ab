"""The PyTorch side of `benchmarks.measure.training`, run by an interpreter that has only PyTorch.

The U-Net of `keras_seg.models.unet`: double 3x3 convolutions with batch norm, max pooling,
transposed convolutions, concatenation.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import nn

# by its path: nothing of the package need be installed beside PyTorch
sys.path.insert(0, str(Path(__file__).parents[2]))


def double_conv(before: int, width: int) -> nn.Sequential:
    layers = []
    for channels in (before, width):
        layers += [
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """(B, 3, H, W) → (B, classes, H, W)."""

    def __init__(self, widths, classes: int):
        super().__init__()
        self.down = nn.ModuleList(
            double_conv(before, width) for before, width in zip((3, *widths), widths, strict=False)
        )
        steps = list(zip(reversed(widths[1:]), reversed(widths[:-1]), strict=True))
        self.grow = nn.ModuleList(nn.ConvTranspose2d(deep, width, 2, 2) for deep, width in steps)
        self.up = nn.ModuleList(double_conv(2 * width, width) for _, width in steps)
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x):
        skips = []
        for level, block in enumerate(self.down):
            x = block(nn.functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        skips.pop()
        for grow, block in zip(self.grow, self.up, strict=True):
            x = block(torch.cat([skips.pop(), grow(x)], dim=1))
        return self.head(x)


def main(widths, classes, size, batch, threads, channels_last=False):
    from benchmarks.measure.training import serve

    torch.manual_seed(0)
    torch.set_num_threads(threads)
    order = torch.channels_last if channels_last else torch.contiguous_format
    model = UNet(tuple(widths), classes).to(memory_format=order).train()
    optimizer = torch.optim.Adam(model.parameters())
    image = torch.rand(batch, 3, size, size).to(memory_format=order)
    mask = torch.randint(classes, (batch, size, size))

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(model(image), mask)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    serve(step)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
