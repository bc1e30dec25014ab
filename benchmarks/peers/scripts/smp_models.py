"""Networks of segmentation_models.pytorch with the same random weights everywhere."""

import segmentation_models_pytorch as smp
import torch
from safetensors.torch import load_file

SEED = 0


def build(network, encoder, classes, options):
    torch.manual_seed(SEED)
    make = getattr(smp, network)
    return make(encoder_name=encoder, encoder_weights=None, classes=classes, **options).eval()


def settle(model, images):
    """Gives batch norms the statistics of some images, so that random weights keep their scale."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    with torch.no_grad():
        model.train()(images)
    for norm in norms:
        norm.momentum = 0.1
    return model.eval()


def stored(path, network, encoder, classes, options):
    model = build(network, encoder, classes, options)
    model.load_state_dict(load_file(path))
    return model.eval()
