"""Trains DeepLabV3+ of segmentation_models_pytorch on batches that arrive on standard input.

Runs in an environment with torch and segmentation-models-pytorch, without this package:

    python smp_side.py SETTINGS.json < batches

The stream holds arrays in NumPy's format: the validation images and masks first, then the images
and masks of every step. Optimizer, schedule and loss are those of the recipe, written with torch:
AdamW with another rate for the encoder, warm-up, then a polynomial; cross-entropy and Dice. The
state is saved after every epoch. The result is `result.json` in the folder of the settings.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
from torch import nn

IGNORED = 255
MULTIPLE = 16


def main():
    path = Path(sys.argv[1])
    settings = json.loads(path.read_text())
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(settings["seed"])
    stream = sys.stdin.buffer
    validation = [(read(stream), read(stream)) for _ in range(settings["validation_images"])]
    network = build(settings)
    optimizer, schedule = optimization(network, settings)
    state = {"step": 0, "miou": [], "loss": [], "seconds": 0.0, "processor_seconds": 0.0}
    saved = path.parent / "state.pt"
    if saved.exists():
        state, weights, optimizer_state, schedule_state = torch.load(saved, weights_only=False)
        network.load_state_dict(weights)
        optimizer.load_state_dict(optimizer_state)
        schedule.load_state_dict(schedule_state)
    if state["step"] != settings["start_step"]:
        raise SystemExit(
            f"The batches begin at step {settings['start_step']}, the saved state is of step "
            f"{state['step']}. Remove {path.parent} to train anew."
        )
    while state["step"] < settings["steps"]:
        epoch(network, optimizer, schedule, stream, settings, state)
        state["miou"].append(miou(network, validation, settings["classes"]))
        print(f"smp: step {state['step']}, mIoU {100 * state['miou'][-1]:.2f}", file=sys.stderr)
        everything = (
            state,
            network.state_dict(),
            optimizer.state_dict(),
            schedule.state_dict(),
        )
        torch.save(everything, saved.with_suffix(".part"))
        saved.with_suffix(".part").replace(saved)
        (path.parent / "step.txt").write_text(str(state["step"]))
    versions = {"torch": torch.__version__, "segmentation-models-pytorch": smp.__version__}
    parameters = sum(each.numel() for each in network.parameters())
    result = {**state, "versions": versions, "parameters": parameters}
    (path.parent / "result.json").write_text(json.dumps(result))


def read(stream):
    return np.lib.format.read_array(stream, allow_pickle=False)


def build(settings):
    """DeepLabV3+ on timm's tf_efficientnet_lite0 with the given ImageNet weights."""
    network = smp.DeepLabV3Plus(
        "tu-tf_efficientnet_lite0",
        encoder_weights=None,
        encoder_output_stride=16,
        classes=settings["classes"],
    )
    with np.load(settings["encoder_weights"]) as file:
        weights = {name: torch.from_numpy(file[name]) for name in file.files}
    missing, _ = network.encoder.model.load_state_dict(weights, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing:
        raise SystemExit(f"ImageNet weights without {missing[:3]} and {len(missing)} in all")
    return network


def optimization(network, settings):
    rate, factor = settings["learning_rate"], settings["head_rate"]
    encoder = {id(each) for each in network.encoder.parameters()}
    groups = {}
    for each in network.parameters():
        inside, decays = id(each) in encoder, each.ndim > 1
        groups.setdefault((inside, decays), []).append(each)
    optimizer = torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": rate if inside else rate * factor,
                "weight_decay": settings["weight_decay"] if decays else 0.0,
            }
            for (inside, decays), parameters in groups.items()
        ]
    )
    warm_up, steps = settings["warm_up_steps"], settings["steps"]

    def share(step):
        fallen = min(max((step - warm_up) / (steps - warm_up), 0.0), 1.0)
        rising = min(1.0, (step + 1) / warm_up) if warm_up else 1.0
        return rising * (1 - fallen) ** settings["power"]

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, share)


def epoch(network, optimizer, schedule, stream, settings, state):
    entropy = nn.CrossEntropyLoss(ignore_index=IGNORED)
    dice = smp.losses.DiceLoss("multiclass", ignore_index=IGNORED)
    network.train()
    losses, start = [], (time.perf_counter(), time.process_time())
    for _ in range(settings["steps_per_epoch"]):
        images, masks = as_tensor(read(stream)), torch.from_numpy(read(stream)).long()
        scores = network(images)
        loss = entropy(scores, masks) + dice(scores, masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        state["step"] += 1
    state["loss"].append(float(np.mean(losses)))
    state["seconds"] += time.perf_counter() - start[0]
    state["processor_seconds"] += time.process_time() - start[1]


def as_tensor(images):
    """Pixels in 0..255 to -1..1, as the weights were trained with."""
    images = torch.from_numpy(np.asarray(images, np.float32)).permute(0, 3, 1, 2)
    return images.contiguous() / 127.5 - 1


@torch.no_grad()
def miou(network, validation, classes):
    """mIoU of the whole images, mirrored at the edges up to the next multiple of 16 pixels."""
    network.eval()
    confusion = np.zeros((classes, classes), np.int64)
    for image, mask in validation:
        height, width = mask.shape
        rows, columns = -height % MULTIPLE, -width % MULTIPLE
        padded = np.pad(image, ((0, rows), (0, columns), (0, 0)), "symmetric")
        scores = network(as_tensor(padded[None]))[0, :, :height, :width]
        predicted, known = scores.argmax(0).numpy(), mask != IGNORED
        pairs = classes * mask[known].astype(int) + predicted[known]
        confusion += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    right = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - right
    return float((right[union > 0] / union[union > 0]).mean())


if __name__ == "__main__":
    main()
