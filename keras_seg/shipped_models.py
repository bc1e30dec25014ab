"""The models that the package holds: their names and files. Imports no TensorFlow."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).with_name("shipped")
FACTS_NAME = "facts.json"
"""What was measured of a shipped model, beside it; `python -m tools.ship_nuclei` writes it."""
SHIPPED = {
    "nuclei": FOLDER / "nuclei" / "model.keras",
    "nuclei_int8": FOLDER / "nuclei" / "model_int8.tflite",
}


def shipped_file(name: object) -> Path | None:
    """The file of a shipped model.

    Returns: None for what is no name of one, and if a file or folder here has that name.
    """
    if not isinstance(name, str | Path) or Path(name).exists():
        return None
    return SHIPPED.get(str(name))


def hidden_model(path: Path) -> str:
    """The sentence for a file or folder that has the name of a shipped model; "" for others."""
    if str(path) not in SHIPPED:
        return ""
    kind = "folder" if path.is_dir() else "file"
    return (
        f" The package has a model {str(path)!r}, which this {kind} hides: rename the {kind}, or "
        "run the command in another folder."
    )
