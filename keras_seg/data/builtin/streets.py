"""Streets seen from a car: perspective, occlusion, thin poles, weather."""

from __future__ import annotations

import math

import numpy as np

from keras_seg.data.builtin.canvas import Canvas, ellipse, ragged
from keras_seg.data.builtin.street_objects import (
    BUILDING,
    PAVEMENT,
    ROAD,
    SKY,
    VEGETATION,
    Scene,
    draw_building,
    draw_pole,
    draw_tree,
    draw_vehicle,
)
from keras_seg.data.builtin.textures import camera, jittered, smooth_noise, uneven_light
from keras_seg.data.classes import ClassTable
from keras_seg.names import IGNORE_CLASS

CLASSES = ClassTable(
    ("sky", "building", "road", "pavement", "vegetation", "vehicle", "pole"),
    (
        (70, 130, 180),
        (110, 80, 70),
        (128, 64, 128),
        (244, 35, 232),
        (107, 142, 35),
        (0, 0, 200),
        (250, 220, 60),
    ),
)

# Deviation of the surface in grey values, by class.
_ROUGHNESS = np.array([1.5, 5, 5, 7, 16, 4, 4], np.float32)
_SKIES = ((135, 175, 225), (190, 200, 210), (225, 190, 160), (95, 110, 140), (235, 238, 240))
_FARTHEST = 70.0


def draw(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray, None]:
    """Draws one street: image (H, W, 3) uint8 and mask (H, W) int32, 255 for unknown."""
    sky = jittered(rng, _SKIES[rng.integers(len(_SKIES))], 15)
    scene = Scene(
        rng=rng,
        canvas=Canvas(height, width, sky, SKY),
        haze=sky,
        visibility=rng.choice((60.0, 150.0, 400.0)),
        horizon=height * rng.uniform(0.36, 0.5),
        vanishing=width * rng.uniform(0.38, 0.62),
        focal=min(height, width) * rng.uniform(0.75, 1.0),
    )
    road, kerb = rng.uniform(3.5, 6), rng.uniform(2, 4)
    centre = rng.uniform(-0.3, 0.3) * road
    _draw_sky(scene)
    _draw_ground(scene, centre, road, kerb)
    for side in (-1, 1):
        _draw_blocks(scene, side, centre + side * (road + kerb))
    _draw_objects(scene, centre, road, kerb)
    _draw_unknown(scene)
    image, mask = scene.canvas.pixels()
    return _photograph(rng, image, mask), mask, None


def _draw_sky(scene: Scene) -> None:
    rng, canvas = scene.rng, scene.canvas
    for _ in range(rng.integers(0, 5)):
        x, y = rng.uniform((0, 0), (canvas.width, scene.horizon))
        size = canvas.width * rng.uniform(0.05, 0.2)
        cloud = ragged(rng, x, y, size, 0.3 * size, rough=0.08)
        canvas.polygon(cloud, (255, 255, 255, int(rng.uniform(40, 130))))
    x = -0.05 * canvas.width
    while x < canvas.width:
        wide, tall = canvas.width * rng.uniform(0.03, 0.1), canvas.height * rng.uniform(0.02, 0.12)
        box = np.array([(x, -tall), (x + wide, -tall), (x + wide, 2), (x, 2)])
        far = _FARTHEST + 30
        if rng.random() < 0.5:
            color, label = scene.hazy(jittered(rng, (130, 120, 115), 30), far), BUILDING
        else:
            color, label = scene.hazy(jittered(rng, (70, 95, 60), 20), far), VEGETATION
            box = ragged(rng, x + wide / 2, 0, wide * 0.7, tall * 0.7, rough=0.06)
        canvas.polygon(box + np.array([0, scene.horizon]), color, label)
        x += wide


def _draw_ground(scene: Scene, centre: float, road: float, kerb: float) -> None:
    rng, canvas = scene.rng, scene.canvas
    verge = rng.random() < 0.5
    color, label = ((95, 115, 65), VEGETATION) if verge else ((150, 140, 130), PAVEMENT)
    horizon = scene.horizon
    corners = [(0, horizon), (canvas.width, horizon)]
    corners += [(canvas.width, canvas.height), (0, canvas.height)]
    canvas.polygon(np.array(corners), jittered(rng, color, 20), label)
    paving = jittered(rng, (160, 150, 145), 30)
    asphalt = jittered(rng, (95, 95, 100), 25)
    outer = road + kerb
    scene.ground((centre - outer, centre + outer), (0, 900), paving, PAVEMENT)
    for x in (centre - road, centre + road):
        scene.ground((x - 0.15, x + 0.15), (0, 900), jittered(rng, (185, 180, 175), 15), PAVEMENT)
    scene.ground((centre - road, centre + road), (0, 900), asphalt, ROAD)
    paint = (225, 225, 215, int(rng.uniform(120, 230)))
    for z in np.arange(rng.uniform(0, 6), 60, 6).tolist():
        scene.ground((centre - 0.1, centre + 0.1), (z, z + 3), paint)
    if rng.random() < 0.3:
        z = rng.uniform(6, 18)
        for x in np.arange(centre - road + 0.3, centre + road - 0.5, 1.0).tolist():
            scene.ground((x, x + 0.5), (z, z + 3), paint)
    for _ in range(rng.integers(0, 5)):
        z, x = rng.uniform(3, 25), centre + road * rng.uniform(-0.9, 0.9)
        patch = (30, 30, 35, int(rng.uniform(40, 120)))
        scene.ground((x - rng.uniform(0.3, 1), x + rng.uniform(0.3, 1)), (z, z + 2), patch)
    if rng.random() < 0.5:
        side = rng.choice((-1, 1))
        reach = rng.uniform(0.2, 1.2) * road
        edges = (centre + side * (outer + 1), centre + side * (outer - reach))
        for z in np.cumsum(rng.uniform(4, 14, 6)).tolist():
            scene.ground(edges, (z, z + rng.uniform(3, 12)), (10, 10, 25, 95))


def _draw_blocks(scene: Scene, side: int, wall: float) -> None:
    """Houses, gardens and gaps along one side, from far to near."""
    rng = scene.rng
    lots = []
    z = scene.nearest
    while z < _FARTHEST:
        length = rng.uniform(5, 14)
        lots.append((z, z + length, rng.random()))
        z += length + (rng.uniform(1, 5) if rng.random() < 0.3 else 0)
    green = rng.uniform(0.15, 0.6)
    for near, far, kind in reversed(lots):
        if kind > green:
            draw_building(scene, side, wall, near, far)
        else:
            for z in np.geomspace(far, near, 2 + round(7 * math.log(far / near))).tolist()[:-1]:
                tall = rng.uniform(1.5, 6)
                draw_tree(scene, wall + side * rng.uniform(1, 3), z, tall, trunk=False)


def _draw_objects(scene: Scene, centre: float, road: float, kerb: float) -> None:
    """All objects between the walls, from far to near, so that nearer ones hide others."""
    rng = scene.rng
    objects = []
    for side in (-1, 1):
        lane = centre + side * 0.5 * road
        parked = centre + side * (road - 1.1)
        for x, share in ((lane, 0.4), (parked, rng.choice((0.0, 0.6)))):
            for z in np.arange(scene.nearest + rng.uniform(2.5, 8), 50, 7).tolist():
                if rng.random() < share:
                    objects.append((z + rng.uniform(0, 2), draw_vehicle, x + rng.normal(0, 0.15)))
        for z in np.arange(scene.nearest + rng.uniform(1, 8), 55, rng.uniform(6, 14)).tolist():
            objects.append((z, draw_pole, centre + side * (road + 0.5)))
        if rng.random() < 0.5:
            for z in np.arange(scene.nearest + rng.uniform(2, 9), 55, rng.uniform(6, 14)).tolist():
                objects.append((z, draw_tree, centre + side * (road + 0.6 * kerb)))
    for z, draw_one, x in sorted(objects, key=lambda item: -item[0]):
        if draw_one is draw_tree:
            draw_tree(scene, x, z, rng.uniform(4, 8), trunk=True)
        else:
            draw_one(scene, x, z)


def _draw_unknown(scene: Scene) -> None:
    """The bonnet of the camera's car, and the blur at the end of the street."""
    rng, canvas = scene.rng, scene.canvas
    if rng.random() < 0.5:
        size = canvas.height * rng.uniform(0.01, 0.02)
        canvas.polygon(
            ellipse(scene.vanishing, scene.horizon, 2 * size, size), (0, 0, 0, 0), IGNORE_CLASS
        )
    if rng.random() < 0.4:
        x, high = canvas.width * rng.uniform(0.45, 0.55), canvas.height * rng.uniform(0.04, 0.12)
        bonnet = ellipse(x, canvas.height, canvas.width * rng.uniform(0.4, 0.6), high)
        canvas.polygon(bonnet, jittered(rng, (70, 70, 80), 50), IGNORE_CLASS)
        canvas.polygon(bonnet * (0.8, 1) + (0.2 * x, 0.4 * high), (255, 255, 255, 40))


def _photograph(rng: np.random.Generator, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    height, width = mask.shape
    rough = np.append(_ROUGHNESS, np.zeros(256 - len(_ROUGHNESS), np.float32))[mask]
    leaves = smooth_noise(rng, height, width, 4) * (mask == VEGETATION)
    surface = rough * smooth_noise(rng, height, width, 1.5) + 12 * leaves
    light = rng.uniform(0.45, 1.15) * (1 + uneven_light(rng, height, width, 0.2))
    tint = rng.uniform(0.9, 1.1, 3).astype(np.float32)
    image = (image + surface[..., None]) * light[..., None].astype(np.float32) * tint
    return camera(rng, image, sharpness=rng.uniform(0.2, 0.6), noise=rng.uniform(2, 9))
