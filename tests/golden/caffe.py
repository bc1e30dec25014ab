"""Makes the golden files of SegNet and DeconvNet: PyTorch modules written from their prototxts.

    python -m tests.golden.caffe

Needs PyTorch. Layers are called as in the prototxts, so that the modules' state dicts are manifests
of source `segnet-caffe` and `deconvnet-caffe`. Batch norm has running statistics and epsilon 1e-5.
Widths are a sixteenth of the real ones and sizes odd, to keep files small and rounding visible.
"""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from tests.helpers.reference import image, state_dict, write_golden

WIDTHS = ((4, 4), (8, 8), (16, 16, 16), (32, 32, 32), (32, 32, 32))
SEED = 0


class Caffe(nn.Module):
    """Layers by their Caffe names, and the pooling that both networks share."""

    def __init__(self):
        super().__init__()
        self.pooled = []

    def add_conv(self, name, norm, before, width, *, kernel=3, padding=None, kind=nn.Conv2d):
        padding = kernel // 2 if padding is None else padding
        self.add_module(name, kind(before, width, kernel, padding=padding))
        if norm:
            self.add_module(norm, nn.BatchNorm2d(width))
        return width

    def run(self, x, name, norm, activation=F.relu):
        return activation(self.get_submodule(norm)(self.get_submodule(name)(x)))

    def pool(self, x):
        pooled, places = F.max_pool2d(x, 2, 2, ceil_mode=True, return_indices=True)
        self.pooled.append((places, x.shape[2:]))
        return pooled

    def unpool(self, x):
        places, size = self.pooled.pop()
        return F.max_unpool2d(x, places, 2, 2, output_size=size)


class SegNet(Caffe):
    """segnet_train.prototxt: the decoder is the encoder, mirrored."""

    def __init__(self, channels, num_classes):
        super().__init__()
        self.steps_down, self.steps_up = [], []
        width = channels
        for stage, widths in enumerate(WIDTHS, start=1):
            names = [f"conv{stage}_{i}" for i in range(1, len(widths) + 1)]
            before = [width, *widths[:-1]]
            for name, narrow, width in zip(names, before, widths, strict=True):
                self.add_conv(name, f"{name}_bn", narrow, width)
            self.steps_down.append(names)
            mirrored = [*zip(names, before, widths, strict=True)][::-1]
            self.steps_up.insert(0, [f"{name}_D" for name, _, _ in mirrored])
            for name, narrow, wide in mirrored:
                last = name == "conv1_1"
                norm = None if last else f"{name}_D_bn"
                self.add_conv(f"{name}_D", norm, wide, num_classes if last else narrow)

    def forward(self, x):
        for names in self.steps_down:
            for name in names:
                x = self.run(x, name, f"{name}_bn")
            x = self.pool(x)
        for names in self.steps_up:
            x = self.unpool(x)
            for name in names:
                x = self.conv1_1_D(x) if name == "conv1_1_D" else self.run(x, name, f"{name}_bn")
        return x


class SegNetBasic(Caffe):
    """segnet_basic_train.prototxt: normalised input, 7x7 convolutions, no ReLU in the decoder."""

    stages = 4

    def __init__(self, channels, num_classes, width=4):
        super().__init__()
        for stage in range(1, self.stages + 1):
            before = channels if stage == 1 else width
            self.add_conv(f"conv{stage}", f"conv{stage}_bn", before, width, kernel=7)
            decoder = f"conv_decode{stage}"
            self.add_conv(decoder, f"{decoder}_bn", width, width, kernel=7)
        self.add_conv("conv_classifier", None, width, num_classes, kernel=1)

    def forward(self, x):
        x = F.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1.0)
        for stage in range(1, self.stages + 1):
            x = self.pool(self.run(x, f"conv{stage}", f"conv{stage}_bn"))
        for stage in range(self.stages, 0, -1):
            name = f"conv_decode{stage}"
            x = self.run(self.unpool(x), name, f"{name}_bn", activation=nn.Identity())
        return self.conv_classifier(x)


class DeconvNet(Caffe):
    """DeconvNet_inference_deploy.prototxt; fc=0 leaves out what lies at the bottom."""

    def __init__(self, channels, num_classes, fc):
        super().__init__()
        self.fc, width = fc, channels
        for stage, widths in enumerate(WIDTHS, start=1):
            for i, after in enumerate(widths, start=1):
                width = self.add_conv(f"conv{stage}_{i}", f"bn{stage}_{i}", width, after)
        if fc:
            self.add_conv("fc6", "bnfc6", width, fc, kernel=7, padding=0)
            self.add_conv("fc7", "bnfc7", fc, fc, kernel=1)
            back = {"kernel": 7, "padding": 0, "kind": nn.ConvTranspose2d}
            self.add_conv("fc6-deconv", "fc6-deconv-bn", fc, width, **back)
        for stage in range(len(WIDTHS), 0, -1):
            widths = [*WIDTHS[stage - 1][:-1], WIDTHS[max(stage - 2, 0)][-1]]
            for i, after in enumerate(widths, start=1):
                names = f"deconv{stage}_{i}", f"debn{stage}_{i}"
                width = self.add_conv(*names, width, after, kind=nn.ConvTranspose2d)
        self.add_conv("seg-score-voc", None, width, num_classes, kernel=1)

    def forward(self, x):
        for stage, widths in enumerate(WIDTHS, start=1):
            for i in range(1, len(widths) + 1):
                x = self.run(x, f"conv{stage}_{i}", f"bn{stage}_{i}")
            x = self.pool(x)
        if self.fc:
            for name, norm in (("fc6", "bnfc6"), ("fc7", "bnfc7"), ("fc6-deconv", "fc6-deconv-bn")):
                x = self.run(x, name, norm)
        for stage in range(len(WIDTHS), 0, -1):
            x = self.unpool(x)
            for i in range(1, len(WIDTHS[stage - 1]) + 1):
                x = self.run(x, f"deconv{stage}_{i}", f"debn{stage}_{i}")
        return self.get_submodule("seg-score-voc")(x)


CASES = {
    # file: (source, module, shape of the image, every how many-th pixel is kept)
    "segnet_caffe_narrow_odd": ("segnet-caffe", SegNet(3, 4), (2, 45, 61, 3), 3),
    "segnet_basic_caffe_narrow_odd": ("segnet-caffe", SegNetBasic(3, 4), (1, 45, 61, 3), 3),
    "deconvnet_narrow": ("deconvnet-caffe", DeconvNet(3, 4, 16), (1, 231, 224, 3), 9),
    "deconvnet_nofc_narrow_odd": ("deconvnet-caffe", DeconvNet(2, 3, 0), (1, 45, 61, 2), 3),
}


@torch.no_grad()
def main():
    for name, (source, module, shape, step) in CASES.items():
        manifest = {key: list(value.shape) for key, value in module.state_dict().items()}
        tensors = state_dict(manifest, SEED)
        module.load_state_dict({key: torch.tensor(value) for key, value in tensors.items()})
        pixels = torch.tensor(image(shape, SEED)).permute(0, 3, 1, 2)
        scores = module.eval()(pixels).permute(0, 2, 3, 1).numpy()
        write_golden(
            Path(__file__).parent / f"{name}.npz",
            source=source,
            manifest=manifest,
            seed=SEED,
            norm_scale=1.0,
            input_shape=shape,
            options={},
            outputs={"logits": scores},
            step=step,
        )


if __name__ == "__main__":
    main()
