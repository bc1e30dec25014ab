"""Weights, ONNX and LiteRT files of an smp network, for `benchmarks.peers`."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from serve import facts, serve
from smp_models import build, settle, stored

words = json.loads(sys.argv[1])
folder, network = Path(words["folder"]), words["network"]
torch.set_num_threads(words["threads"])


def images(size, batch):
    pixels = np.load(folder / f"images-{size}.npy")[:batch].astype(np.float32)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def weights(size):
    model = settle(build(**network), images(size, 8))
    save_file(model.state_dict(), folder / "weights.safetensors")
    return {"parameters": sum(p.numel() for p in model.parameters())}


def reference(size, batch):
    """The reference scores of the network, (B, H, W, classes)."""
    with torch.inference_mode():
        scores = model()(images(size, batch)).permute(0, 2, 3, 1)
    np.save(folder / f"reference-{size}-{batch}.npy", scores.numpy())
    return {}


class Classes(torch.nn.Module):
    """A network that outputs the class of each pixel."""

    def __init__(self, inside, axis):
        super().__init__()
        self.inside, self.axis = inside, axis

    def forward(self, image):
        return self.inside(image).argmax(self.axis).to(torch.int32)


def onnx(size, batch, path, classes=False):
    start = time.perf_counter()
    torch.onnx.export(
        Classes(model(), 1).eval() if classes else model(),
        (images(size, batch),),
        path,
        dynamo=True,
        external_data=False,
        input_names=["image"],
        verbose=False,
    )
    return facts(start, path)


def litert(size, path, classes=False):
    import litert_torch

    start = time.perf_counter()
    wrapped = litert_torch.to_channel_last_io(model(), args=[0], outputs=[0])
    wrapped = Classes(wrapped, -1).eval() if classes else wrapped
    pixels = images(size, 1).permute(0, 2, 3, 1).contiguous()
    litert_torch.convert(wrapped, (pixels,)).export(path)
    return facts(start, path)


def litert_int8(size, path, source):
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    start = time.perf_counter()
    made = quantizer.Quantizer(source)
    made.load_quantization_recipe(recipe.static_wi8_ai8())
    signatures = Interpreter(source).get_signature_list()
    key, (name,) = next((key, found["inputs"]) for key, found in signatures.items())
    pixels = images(size, words["calibration"]).permute(0, 2, 3, 1).contiguous().numpy()
    ranges = made.calibrate({key: [{name: one[None]} for one in pixels]})
    Path(path).write_bytes(made.quantize(ranges).quantized_model)
    return facts(start, path)


def model():
    return stored(folder / "weights.safetensors", **network)


if __name__ == "__main__":
    actions = (weights, reference, onnx, litert, litert_int8)
    serve({action.__name__: action for action in actions})
