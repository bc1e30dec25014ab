"""The PyTorch side of the training benchmarks, run by an interpreter that has only PyTorch.

The networks have the layers of those in `keras_seg.models`; `tests/benchmarks` compares their
numbers of parameters.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# by its path: nothing of the package need be installed beside PyTorch
sys.path.insert(0, str(Path(__file__).parents[2]))

MOBILENET = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))
MOBILENET += ((6, 160, 3, 1), (6, 320, 1, 1))
"""(expansion, channels, blocks, stride) of MobileNetV2 at output stride 16."""
DILATED_FROM = 5
"""The stage of MobileNetV2 that lost its stride; the kernels after its first one are dilated."""


def conv_norm(
    before: int,
    after: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = False,
    act: type[nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """Convolution, batch norm, activation."""
    padding = dilation * (kernel // 2)
    layers = [
        nn.Conv2d(before, after, kernel, stride, padding, dilation, groups, bias=bias),
        nn.BatchNorm2d(after),
    ]
    return nn.Sequential(*layers, *([] if act is None else [act(inplace=True)]))


def separable(before: int, after: int, dilation: int = 1) -> nn.Sequential:
    """Depthwise and pointwise convolution, each with batch norm and ReLU."""
    return nn.Sequential(
        conv_norm(before, before, dilation=dilation, groups=before), conv_norm(before, after, 1)
    )


def resized(x: Tensor, like: Tensor) -> Tensor:
    """`x` at the height and width of `like`, bilinearly."""
    return functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


class UNet(nn.Module):
    """(B, 3, H, W) → (B, classes, H, W)."""

    def __init__(self, classes: int, widths: Sequence[int] = (32, 64, 128, 256, 512)):
        super().__init__()

        def double(before: int, width: int) -> nn.Sequential:
            return nn.Sequential(conv_norm(before, width), conv_norm(width, width))

        steps = list(zip(reversed(widths[1:]), reversed(widths[:-1]), strict=True))
        self.down = nn.ModuleList(map(double, (3, *widths[:-1]), widths))
        self.grow = nn.ModuleList(nn.ConvTranspose2d(deep, width, 2, 2) for deep, width in steps)
        self.up = nn.ModuleList(double(2 * width, width) for _, width in steps)
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for level, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        skips.pop()
        for grow, block in zip(self.grow, self.up, strict=True):
            x = block(torch.cat([skips.pop(), grow(x)], dim=1))
        return self.head(x)


class InvertedResidual(nn.Module):
    """The block of MobileNetV2."""

    def __init__(self, before: int, after: int, expansion: int, stride: int, dilation: int):
        super().__init__()
        width = before * expansion
        wide = [] if expansion == 1 else [conv_norm(before, width, 1, act=nn.ReLU6)]
        self.layers = nn.Sequential(
            *wide,
            conv_norm(width, width, stride=stride, dilation=dilation, groups=width, act=nn.ReLU6),
            conv_norm(width, after, 1, act=None),
        )
        self.added = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.added else self.layers(x)


class DeepLabV3Plus(nn.Module):
    """DeepLabV3+ on MobileNetV2, output stride 16: (B, 3, H, W) → (B, classes, H, W)."""

    def __init__(self, classes: int, channels: int = 256, rates: Sequence[int] = (6, 12, 18)):
        super().__init__()
        stages, before = [conv_norm(3, 32, stride=2, act=nn.ReLU6)], 32
        for number, (expansion, after, count, stride) in enumerate(MOBILENET):
            blocks = []
            for place in range(count):
                late = number > DILATED_FROM or (number == DILATED_FROM and place > 0)
                step = stride if place == 0 else 1
                blocks.append(InvertedResidual(before, after, expansion, step, 2 if late else 1))
                before = after
            stages.append(nn.Sequential(*blocks))
        self.low, self.high = nn.Sequential(*stages[:3]), nn.Sequential(*stages[3:])
        self.widened = conv_norm(before, 1280, 1, act=nn.ReLU6)
        self.pooled = conv_norm(1280, channels, 1)
        self.branches = nn.ModuleList(
            [conv_norm(1280, channels, 1), *(separable(1280, channels, rate) for rate in rates)]
        )
        self.project = nn.Sequential(conv_norm(5 * channels, channels, 1), nn.Dropout(0.1))
        self.narrowed = conv_norm(24, 48, 1)
        self.decoder = nn.Sequential(
            separable(channels + 48, channels), separable(channels, channels)
        )
        self.head = nn.Conv2d(channels, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        low = self.low(image)
        x = self.widened(self.high(low))
        pooled = resized(self.pooled(x.mean((2, 3), keepdim=True)), like=x)
        x = self.project(torch.cat([pooled, *(branch(x) for branch in self.branches)], 1))
        x = self.decoder(torch.cat([resized(x, like=low), self.narrowed(low)], 1))
        return resized(self.head(x), like=image)


class Residual(nn.Module):
    """A basic block, or with `bottleneck` a bottleneck of four times the width."""

    def __init__(
        self, before: int, width: int, stride: int = 1, dilation: int = 1, bottleneck: bool = False
    ):
        super().__init__()
        after = 4 * width if bottleneck else width
        if bottleneck:
            middle = conv_norm(width, width, stride=stride, dilation=dilation)
            layers = [conv_norm(before, width, 1), middle, conv_norm(width, after, 1, act=None)]
        else:
            layers = [conv_norm(before, width, stride=stride), conv_norm(width, width, act=None)]
        self.layers = nn.Sequential(*layers)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or before != after:
            self.shortcut = conv_norm(before, after, 1, stride=stride, act=None)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.layers(x) + self.shortcut(x))


class Exchange(nn.Module):
    """Four residual blocks per branch of an HRNet; then every branch is the sum of all."""

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(Residual(width, width) for _ in range(4))) for width in widths
        )
        self.fuse = nn.ModuleList(
            nn.ModuleList(self._way(widths, source, target) for source in range(len(widths)))
            for target in range(len(widths))
        )

    @staticmethod
    def _way(widths: Sequence[int], source: int, target: int) -> nn.Module:
        before, after = widths[source], widths[target]
        if source > target:
            return conv_norm(before, after, 1, act=None)
        steps = range(target - source)
        return nn.Sequential(
            *(
                conv_norm(before, after, stride=2, act=None)
                if step == steps[-1]
                else conv_norm(before, before, stride=2)
                for step in steps
            )
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        fused = []
        for target, ways in zip(maps, self.fuse, strict=True):
            terms = [way(x) for way, x in zip(ways, maps, strict=True)]
            fused.append(functional.relu(sum(resized(term, like=target) for term in terms)))
        return fused


class HRNet(nn.Module):
    """HRNetV2-W18: (B, 3, H, W) → (B, classes, H, W)."""

    def __init__(self, classes: int, width: int = 18, modules: Sequence[int] = (1, 4, 3)):
        super().__init__()
        self.stem = nn.Sequential(
            conv_norm(3, 64, stride=2),
            conv_norm(64, 64, stride=2),
            Residual(64, 64, bottleneck=True),
            *(Residual(256, 64, bottleneck=True) for _ in range(3)),
        )
        self.first = conv_norm(256, width)
        self.lower, self.stages = nn.ModuleList(), nn.ModuleList()
        for level, count in enumerate(modules, start=1):
            widths = [width * 2**i for i in range(level + 1)]
            self.lower.append(conv_norm(256 if level == 1 else widths[-2], widths[-1], stride=2))
            self.stages.append(nn.Sequential(*(Exchange(widths) for _ in range(count))))
        mixed = 15 * width
        self.head = nn.Sequential(
            conv_norm(mixed, mixed, 1, bias=True), nn.Conv2d(mixed, classes, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        maps, deepest = [self.first(x)], x
        for lower, stage in zip(self.lower, self.stages, strict=True):
            maps = stage([*maps, lower(deepest)])
            deepest = maps[-1]
        return resized(self.head(torch.cat([resized(x, like=maps[0]) for x in maps], 1)), image)


class PositionAttention(nn.Module):
    """Every position attends to all positions."""

    def __init__(self, width: int):
        super().__init__()
        self.query, self.key = nn.Conv2d(width, width // 8, 1), nn.Conv2d(width, width // 8, 1)
        self.value, self.gamma = nn.Conv2d(width, width, 1), nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (part(x).flatten(2) for part in (self.query, self.key, self.value))
        weights = (query.transpose(1, 2).float() @ key.float()).softmax(-1)
        return x + self.gamma * (value.float() @ weights.transpose(1, 2)).view_as(x)


class ChannelAttention(nn.Module):
    """Every channel attends to all channels."""

    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2).float()
        scores = flat @ flat.transpose(1, 2)
        weights = (scores.amax(-1, keepdim=True) - scores).softmax(-1)
        return x + self.gamma * (weights @ flat).view_as(x)


class DANet(nn.Module):
    """DANet on ResNet-50, output stride 8: (B, 3, H, W) → (B, classes, H, W)."""

    def __init__(self, classes: int):
        super().__init__()
        layers, before = [conv_norm(3, 64, 7, stride=2), nn.MaxPool2d(3, 2, 1)], 64
        for width, count, stride, first, others in (
            (64, 3, 1, 1, 1),
            (128, 4, 2, 1, 1),
            (256, 6, 1, 1, 2),
            (512, 3, 1, 2, 4),
        ):
            for place in range(count):
                step, rate = (1, others) if place else (stride, first)
                layers.append(Residual(before, width, step, rate, bottleneck=True))
                before = 4 * width
        self.encoder = nn.Sequential(*layers)
        width = before // 4
        self.positions = nn.Sequential(
            conv_norm(before, width), PositionAttention(width), conv_norm(width, width)
        )
        self.channels = nn.Sequential(
            conv_norm(before, width), ChannelAttention(), conv_norm(width, width)
        )
        self.head = nn.Sequential(nn.Dropout2d(0.1), nn.Conv2d(width, classes, 1))

    def forward(self, image: Tensor) -> Tensor:
        x = self.encoder(image)
        return resized(self.head(self.positions(x) + self.channels(x)), like=image)


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "unet": UNet,
    "deeplabv3plus": DeepLabV3Plus,
    "hrnet": HRNet,
    "danet": DANet,
}


def main(
    network: str,
    size: int,
    batch: int,
    threads: int | None = None,
    channels_last: bool = False,
    classes: int = 19,
    half: str | None = None,
    device: str = "cpu",
    steps: int = 1,
) -> None:
    """Serves steps of a network, `steps` at a time.

    Args:
        half: type of autocast, such as "float16"; None for float32.
        device: "cpu", "cuda", or "auto" for a GPU if there is one.
    """
    from benchmarks.measure.training import serve

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    if threads:
        torch.set_num_threads(threads)
    order = torch.channels_last if channels_last else torch.contiguous_format
    model = NETWORKS[network](classes).to(device, memory_format=order).train()
    optimizer = torch.optim.Adam(model.parameters())
    scaler = torch.amp.GradScaler(device, enabled=half == "float16" and device == "cuda")
    image = torch.rand(batch, 3, size, size).to(device, memory_format=order)
    mask = torch.randint(classes, (batch, size, size), device=device)

    kind = getattr(torch, half or "float32")
    if half == "float16" and device == "cpu":
        kind = torch.bfloat16  # CPUs train in no other

    def step() -> float:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device, kind, enabled=half is not None):
                loss = functional.cross_entropy(model(image).float(), mask)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        return float(loss.detach())

    def facts() -> dict[str, Any]:
        parameters = sum(each.numel() for each in model.parameters())
        if device == "cpu":
            return {"parameters": parameters}
        peak = round(torch.cuda.max_memory_allocated() / 2**30, 2)
        name = torch.cuda.get_device_name()
        return {"parameters": parameters, "device": name, "device_peak_gib": peak}

    serve(step, facts)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
