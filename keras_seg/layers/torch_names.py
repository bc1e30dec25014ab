"""Layer names with a dot on Keras' PyTorch backend.

Layers here have the names of the reference's modules, such as `down1.conv.0`, by which checkpoints
load. On its PyTorch backend Keras registers each variable as a parameter of a `torch.nn.Module`,
under its path, and PyTorch refuses a dot in such a name. Only these names inside of PyTorch are
changed: layers, variables and files keep theirs.
"""

from __future__ import annotations

import keras

DOT = "\N{ONE DOT LEADER}"
"""Replaces the dot in the names of PyTorch's parameters."""


def accept_dots_on_torch() -> None:
    """Lets Keras build layers whose name has a dot; does nothing on other backends."""
    if keras.backend.backend() != "torch":
        return
    import torch

    class DottedParameters(torch.nn.ParameterDict):
        """A ParameterDict whose keys may have dots."""

        def _key_to_attr(self, key: str) -> str:
            return super()._key_to_attr(key).replace(".", DOT)

    def track_variables(layer: keras.Layer) -> None:
        """Keras' own function with `DottedParameters`."""
        values = {variable.path: variable.value for variable in layer.variables}
        layer._torch_params = DottedParameters(values)

    backend_layer = next(base for base in keras.Layer.__mro__ if base.__name__ == "TorchLayer")
    backend_layer._track_variables = track_variables
