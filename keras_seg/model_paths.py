"""Paths of model files: accepted, or refused with a message that says what to do.

Imports no TensorFlow, so that a wrong path is refused at once.
"""

from __future__ import annotations

import zipfile
from difflib import get_close_matches
from pathlib import Path

from keras_seg.shipped_models import hidden_model, shipped_file

KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
"""Whole Keras models; those of HDF5 as `model.save("m.h5")` writes them."""
EXPORTED_SUFFIXES = (".tflite", ".onnx")
RUN_MODEL = "model.keras"
"""Name of the model in the folder of a training run."""
RESAVE = (
    'Save the model as a .keras file: keras.models.load_model("m.h5").save("m.keras"), or '
    'model.save("m.keras") where it was trained'
)
CHECKPOINT = (
    "holds weights of {}, not a model. Turn them into a .keras file: keras-seg convert {} "
    "--source REPOSITORY --output model.keras"
)
COMPILED = "is compiled for {} and cannot be opened here. Give the .keras or .onnx file behind it"
FOREIGN = {
    **dict.fromkeys((".pt", ".pth", ".bin", ".safetensors"), "PyTorch"),
    **dict.fromkeys((".ckpt", ".index"), "a checkpoint"),
    **dict.fromkeys((".npz", ".npy"), "NumPy arrays"),
}
DEVICES = {
    **dict.fromkeys((".mlmodel", ".mlpackage", ".mlmodelc"), "Core ML"),
    **dict.fromkeys((".engine", ".trt", ".plan"), "TensorRT"),
    **dict.fromkeys((".xml", ".blob"), "OpenVINO"),
    ".dlc": "Qualcomm's SNPE",
    ".rknn": "Rockchip",
    ".hef": "Hailo",
}


def check_model_path(path: str | Path, *, exported: bool = True) -> Path:
    """The path of an existing file with the suffix of a model file.

    The name of a model that the package holds, such as "nuclei", gives the path of its file.

    Args:
        exported: whether .tflite and .onnx files are accepted besides .keras and .h5 files.

    Raises: FileNotFoundError; TypeError for what is not a path; ValueError that says what the file
        or folder is, and what to do.
    """
    if not isinstance(path, str | Path):
        raise TypeError(
            "A model is a Keras model, or the path of a model file. Received: "
            f"{type(path).__name__}."
        )
    path = shipped_file(path) or Path(path)
    name, suffix = path.name.lower(), path.suffix.lower()
    if path.is_dir():
        raise ValueError(_why_no_folder(path) + hidden_model(path))
    if name.endswith(".weights.h5"):
        raise ValueError(
            f"{path} holds weights alone, not a model. Build the network, and then: "
            f'model.load_weights("{path}"); model.save("model.keras").'
        )
    if name.endswith((".onnx.data", ".onnx_data")):
        raise ValueError(f"{path} holds weights of an .onnx file. Give the .onnx file beside it.")
    if suffix in EXPORTED_SUFFIXES and not exported:
        raise ValueError(
            f"{path} is an exported file, whose weights cannot be read back. Give the .keras file "
            "that it was exported from."
        )
    known = KERAS_SUFFIXES + EXPORTED_SUFFIXES * exported
    if suffix not in known:
        raise ValueError(_why_no_suffix(path, suffix, known) + hidden_model(path))
    if not path.exists():
        raise FileNotFoundError(
            f"There is no model file {str(path)!r}. Check the path; `keras-seg train` writes "
            ".keras files, `keras-seg export` the others."
        )
    if not path.is_file():
        raise ValueError(f"{path} is not a file. Give a model file.")
    return path


def check_model_entry(path: str | Path | None, entry: str) -> None:
    """Checks the model file that an entry of a recipe names, if one is given.

    Raises: as `check_model_path`, with the name of the entry.
    """
    if path is not None:
        try:
            check_model_path(path, exported=False)
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(f"{entry}: {error}") from error


def unreadable_file(path: Path, kind: str, reason: object) -> ValueError:
    """The error for a file whose content is not what its suffix says."""
    size = path.stat().st_size
    return ValueError(
        f"{path} is no {kind} file, or it is damaged. Received: {size} bytes; {reason}. "
        "Give an undamaged file, whose suffix says what it is, or export it again."
    )


def _why_no_folder(path: Path) -> str:
    if (path / "saved_model.pb").exists() or (path / "saved_model.pbtxt").exists():
        return (
            f"{path} is a SavedModel folder, which holds a graph and no Keras layers. {RESAVE}. A "
            "SavedModel that Keras 2 wrote becomes a file that is read here with the package "
            f'tf_keras: tf_keras.models.load_model("{path}").save("m.h5").'
        )
    if (path / RUN_MODEL).is_file():
        return f"{path} is the folder of a training. Give the model in it: {path / RUN_MODEL}."
    if (path / "config.json").is_file() and any(
        (path / name).is_file() for name in ("model.safetensors", "pytorch_model.bin")
    ):
        return (
            f"{path} is a folder of save_pretrained, which holds weights of PyTorch. Turn them "
            f"into a .keras file: keras-seg convert {path} --source smp --output model.keras "
            "(--source timm for a model of timm)."
        )
    if path.suffix.lower() in DEVICES:
        return f"{path} {COMPILED.format(DEVICES[path.suffix.lower()])}."
    files = [each.name for each in sorted(path.iterdir()) if each.suffix in KERAS_SUFFIXES]
    inside = f" It holds: {', '.join(files[:4])}." if files else ""
    return f"{path} is a folder, not a model file.{inside} Give a .keras, .tflite or .onnx file."


def _why_no_suffix(path: Path, suffix: str, known: tuple[str, ...]) -> str:
    shown = [each for each in known if each != ".hdf5"]
    if suffix in FOREIGN:
        return f"{path} {CHECKPOINT.format(FOREIGN[suffix], path)}."
    if suffix in DEVICES:
        return f"{path} {COMPILED.format(DEVICES[suffix])}."
    if suffix in (".pb", ".pbtxt"):
        return f"{path} is a TensorFlow graph without Keras layers. {RESAVE}."
    if suffix == ".zip" or (path.is_file() and not suffix and zipfile.is_zipfile(path)):
        return f"{path} is a zip archive. Unpack it, and give the {', '.join(shown)} file in it."
    near = get_close_matches(suffix, known, n=1, cutoff=0.75)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"A model file ends in one of {', '.join(shown)}. Received: {str(path)!r}.{hint}"
