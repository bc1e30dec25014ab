"""COCO-Stuff 164K (Caesar et al., arXiv:1612.03716): 80 thing and 91 stuff classes on COCO 2017."""

from __future__ import annotations

from pathlib import Path

from keras_seg.data.classes import ClassTable
from keras_seg.data.layouts.split import (
    LayoutSplit,
    choose_split,
    files_of,
    first_folder,
    mapped_reader,
    pair_up,
)
from keras_seg.names import IGNORE_CLASS

# The official labels 1..182 in their order. The pixel maps hold label - 1.
LABELS = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant,
street sign, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear,
zebra, giraffe, hat, backpack, umbrella, shoe, eye glasses, handbag, tie, suitcase, frisbee, skis,
snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket,
bottle, plate, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli,
carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, mirror, dining table, window,
desk, toilet, door, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink,
refrigerator, blender, book, clock, vase, scissors, teddy bear, hair drier, toothbrush, hair brush,
banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet,
ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt,
door-stuff, fence, floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower, fog,
food-other, fruit, furniture-other, grass, gravel, ground-other, hill, house, leaves, light, mat,
metal, mirror-stuff, moss, mountain, mud, napkin, net, paper, pavement, pillow, plant-other,
plastic, platform, playingfield, railing, railroad, river, road, rock, roof, rug, salad, sand, sea,
shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw, structural-other, table,
tent, textile-other, towel, tree, vegetable, wall-brick, wall-concrete, wall-other, wall-panel,
wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind, window-other, wood
"""
# Thing classes of COCO that were never annotated.
NEVER_DRAWN = [
    "street sign",
    "hat",
    "shoe",
    "eye glasses",
    "plate",
    "mirror",
    "window",
    "desk",
    "door",
    "blender",
    "hair brush",
]


def _listed() -> list[str]:
    return [name.strip() for name in LABELS.replace("\n", " ").split(",")]


CLASSES = ClassTable(tuple(name for name in _listed() if name not in NEVER_DRAWN))


def class_numbers() -> dict[int, int]:
    """Value of the pixel maps → class 0..170; 255 and classes that were never annotated → 255."""
    number = {name: i for i, name in enumerate(CLASSES.names)}
    values = {value: number.get(name, IGNORE_CLASS) for value, name in enumerate(_listed())}
    return values | {IGNORE_CLASS: IGNORE_CLASS}


def open_split(root: Path, split: str) -> LayoutSplit:
    """`images/train2017/` with `annotations/train2017/` (or `stuffthingmaps/`), and val2017."""
    folder = f"{choose_split(split, ('train', 'val'), 'COCO-Stuff')}2017"
    images = first_folder(root, f"images/{folder}", folder, layout="COCO-Stuff")
    masks = first_folder(
        root,
        f"annotations/{folder}",
        f"stuffthingmaps/{folder}",
        f"stuffthingmaps_trainval2017/{folder}",
        layout="COCO-Stuff",
    )
    pairs = pair_up(files_of(images), lambda stem: masks / f"{stem}.png", "COCO-Stuff")
    return LayoutSplit(pairs, CLASSES, mapped_reader(class_numbers()))
