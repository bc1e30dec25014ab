"""Chooses the images of `builtin:nuclei` from the folder of the full set.

    python -m tools.builtin_nuclei FOLDER

FOLDER has images/, instances/ and splits.json with "train", "val" and facts per image, as described
in `keras_seg/data/builtin/nuclei/README.md`. Of each group of images (kind and size), those with
evenly spaced mean brightness are taken. Validation images come from the validation split.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parents[1] / "keras_seg" / "data" / "builtin" / "nuclei"
CHOSEN = {
    ("fluorescence", 256, 256): (6, 3),
    ("fluorescence", 256, 320): (1, 0),
    ("fluorescence", 260, 347): (1, 0),
    ("fluorescence", 360, 360): (4, 2),
    ("fluorescence", 512, 640): (2, 1),
    ("fluorescence", 520, 696): (3, 2),
    ("fluorescence", 603, 1272): (1, 1),
    ("stained", 256, 320): (6, 3),
    ("brightfield_gray", 1024, 1024): (2, 1),
}
"""(kind, height, width) → number of training and of validation images."""
LARGEST = 700
"""Sides in pixels above this are cut to `CUT`, so that the package stays small."""
CUT = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="the full set")
    source = parser.parse_args().folder
    for name in ("images", "instances"):
        shutil.rmtree(FOLDER / name, ignore_errors=True)
        (FOLDER / name).mkdir(parents=True)
    facts = json.loads((source / "splits.json").read_text())
    splits = {
        split: _chosen(source, facts, split, number)
        for number, split in enumerate(("train", "val"))
    }
    for name in (*splits["train"], *splits["val"]):
        _copy(source, name)
    (FOLDER / "splits.json").write_text(json.dumps(splits, indent=1) + "\n")
    size = sum(path.stat().st_size for path in FOLDER.rglob("*.png"))
    print({split: len(names) for split, names in splits.items()}, f"{size / 1e6:.2f} MB")


def _chosen(source: Path, facts: dict, split: str, number: int) -> list[str]:
    """The names of the images of a split, sorted."""
    names = []
    for group, counts in CHOSEN.items():
        members = [
            name
            for name in facts[split]
            if tuple(facts["meta"][name][key] for key in ("type", "h", "w")) == group
        ]
        members.sort(key=lambda name: (_brightness(source, name), name))
        ranks = np.linspace(0, len(members) - 1, counts[number] + 2)[1:-1].round().astype(int)
        names += [members[rank] for rank in ranks]
    return sorted(names)


def _brightness(source: Path, name: str) -> float:
    return float(np.asarray(Image.open(source / "images" / f"{name}.png")).mean())


def _copy(source: Path, name: str) -> None:
    """Writes an image and its instances, cut if they are large, with the same pixels."""
    for folder in ("images", "instances"):
        pixels = np.asarray(Image.open(source / folder / f"{name}.png"))
        if max(pixels.shape[:2]) > LARGEST:
            pixels = pixels[:CUT, :CUT]
        if folder == "instances":
            _, numbers = np.unique(pixels, return_inverse=True)  # 0 stays 0: background is in all
            pixels = numbers.reshape(pixels.shape)
            pixels = pixels.astype(np.uint8 if pixels.max() < 256 else np.uint16)
        Image.fromarray(pixels).save(FOLDER / folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
