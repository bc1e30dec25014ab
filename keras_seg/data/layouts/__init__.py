"""Public data sets in the folders of their official archives.

"cityscapes:/data/cityscapes" reads `leftImg8bit/` and `gtFine/` in /data/cityscapes, with the 19
evaluated classes, their official names and colours.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from keras_seg.data.classes import ClassTable
from keras_seg.data.folder.pairs import PairedDataset
from keras_seg.data.layouts import ade20k, camvid, cityscapes, cocostuff, faces, lip, nuclei, voc
from keras_seg.data.layouts.split import LayoutSplit

LAYOUTS: dict[str, Callable[[Path, str], LayoutSplit]] = {
    "ade20k": ade20k.open_split,
    "camvid": camvid.open_split,
    "celebamask": faces.open_celebamask,
    "cityscapes": cityscapes.open_split,
    "cocostuff": cocostuff.open_split,
    "dsb2018": nuclei.open_split,
    "helen": faces.open_helen,
    "lip": lip.open_split,
    "sbd": voc.open_sbd,
    "voc": voc.open_voc,
    "voc+sbd": voc.open_voc_with_sbd,
}
"""Prefix before the colon → function of the folder and the split."""


def open_layout(
    scheme: str,
    root: str | Path,
    split: str = "train",
    *,
    classes: ClassTable | None = None,
    channels: int = 3,
) -> PairedDataset:
    """Opens a split of a data set in an official layout.

    Args:
        scheme: a key of `LAYOUTS`.
        root: folder that the official archive was unpacked to.
        split: "train" or "val"; some layouts have more.
        classes: other names and colours for the same number of classes.
        channels: number of channels of the images.

    Raises: FileNotFoundError if the folder does not have this layout; ValueError for an unknown
        split or a table of another length.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(no_layout_folder(scheme, root))
    layout = LAYOUTS[scheme](root, split)
    if classes is not None and len(classes) != len(layout.classes):
        raise ValueError(
            f"{scheme} has {len(layout.classes)} classes ({', '.join(layout.classes.names[:6])}, "
            f"...). Received a table of {len(classes)}."
        )
    return PairedDataset(
        layout.pairs,
        layout.read_truth,
        name=scheme,
        split=split,
        classes=classes or layout.classes,
        channels=channels,
        names=layout.names,
        resize_images=layout.resize_images,
    )


def no_layout_folder(scheme: str, root: Path) -> str:
    """The message for a layout whose folder does not exist."""
    return (
        f"There is no data folder {root}. Pass {scheme}:FOLDER with the folder that the official "
        "archive was unpacked to."
    )
