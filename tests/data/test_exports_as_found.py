"""Exports as people have them: paths of other machines, uploads, missing splits, video, EXIF."""

import base64
import io
import json
import shutil
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from keras_seg.cli import main
from keras_seg.data import open_dataset
from tests.data.test_annotations import (
    CAT,
    DOG,
    HEIGHT,
    SIZE,
    WIDTH,
    by_coco,
    by_pillow,
    coco_file,
    labelme_file,
    region,
    shape,
    task,
    write,
)

BY_PILLOW = by_pillow((1, CAT), (2, DOG))
BY_COCO = by_coco((1, CAT), (2, DOG))
NAMES = ("background", "cat", "dog")
CASES = {}


def case(prefixes):
    """Registers a function that writes an export and returns its mask; prefixes that read it."""

    def register(function):
        CASES[function.__name__] = function, prefixes.split()
        return function

    return register


def photo(path, size=SIZE, exif=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(list(str(path.name).encode()))
    turned = Image.Exif()
    if exif:
        turned[0x112] = exif
    Image.fromarray(noise.integers(0, 255, (*size, 3), np.uint8)).save(path, exif=turned)


def png(pixels):
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


def save_mask(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def save_palette_mask(path):
    """As the tools of Pascal VOC save masks: class indices, shown in the colours of a palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(BY_PILLOW.astype(np.uint8)).convert("P")
    picture.putdata(BY_PILLOW.ravel().tolist())
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    picture.save(path)


def coco(file_names, **options):
    content = coco_file([str(i) for i in range(len(file_names))], **options)
    for image, name in zip(content["images"], file_names, strict=True):
        image["file_name"] = name
    return content


def polygon_lines():
    return "\n".join(
        " ".join(map(str, [number, *(np.array(points) / (WIDTH, HEIGHT)).ravel()]))
        for number, points in ((0, CAT), (1, DOG))
    )


@case("coco cvat")
def coco_cvat(root):
    for s in ("Train", "Validation"):
        photo(root / "images" / s / "a b.jpg")
        photo(root / "images" / s / "ü.jpg")
        write(root / "annotations" / f"instances_{s}.json", coco(["a b.jpg", "ü.jpg"]))
    return BY_COCO


@case("coco cvat")
def coco_default_subfolder(root):
    for n in "abcdef":
        photo(root / "images" / "sub" / f"{n}.jpg")
    write(root / "annotations/instances_default.json", coco([f"sub/{n}.jpg" for n in "abcdef"]))
    return BY_COCO


@case("coco")
def coco_windows_abs(root):
    for n in "abcdef":
        photo(root / "images" / f"{n} (1).jpg")
    write(root / "train.json", coco([f"C:\\Users\\me\\data\\images\\{n} (1).jpg" for n in "abcd"]))
    write(root / "val.json", coco([f"C:\\Users\\me\\data\\images\\{n} (1).jpg" for n in "ef"]))
    return BY_COCO


@case("coco labelstudio")
def coco_urlencoded(root):
    for n in "abcdef":
        photo(root / "images" / f"{n} 1ü.jpg")
    write(root / "result.json", coco([quote(f"images/{n} 1ü.jpg") for n in "abcdef"]))
    return BY_COCO


@case("coco labelstudio")
def coco_ls_backslash(root):
    for n in "abcdef":
        photo(root / "images" / f"0a1b2c3d-{n}.jpg")
    write(root / "result.json", coco([f"images\\0a1b2c3d-{n}.jpg" for n in "abcdef"]))
    return BY_COCO


@case("coco labelstudio")
def coco_ls_media(root):
    for n in "abcdef":
        photo(root / "images" / f"{n}.jpg")
    write(
        root / "result.json",
        coco([f"../../label-studio/data/media/upload/1/0a1b2c3d-{n}.jpg" for n in "abcdef"]),
    )
    return BY_COCO


@case("coco roboflow")
def coco_roboflow(root):
    for s in ("train", "valid", "test"):
        photo(root / s / "a_jpg.rf.0123.jpg")
        cats = [(0, "animals"), (1, "cat"), (3, "dog")]
        c = coco(["a_jpg.rf.0123.jpg"], categories=cats)
        c["categories"] = [
            {"id": 0, "name": "animals", "supercategory": "none"},
            {"id": 1, "name": "cat", "supercategory": "animals"},
            {"id": 3, "name": "dog", "supercategory": "animals"},
        ]
        write(root / s / "_annotations.coco.json", c)
    write(root / "README.roboflow.txt", "hello")
    return BY_COCO


@case("coco")
def coco_nested_annotations(root):
    for s in ("train", "val"):
        photo(root / s / "images" / f"{s}.jpg")
        write(root / s / "annotations" / "coco.json", coco([f"{s}.jpg"]))
    return BY_COCO


@case("coco")
def coco_labels_json(root):  # FiftyOne
    for s in ("train", "validation"):
        photo(root / s / "data" / f"{s}.jpg")
        write(root / s / "labels.json", coco([f"{s}.jpg"]))
    return BY_COCO


@case("coco")
def coco_exif(root):
    for s in ("train", "val"):
        photo(root / s / f"{s}.jpg", size=SIZE[::-1], exif=6)
        write(root / f"{s}.json", coco([f"{s}.jpg"]))
    return BY_COCO


@case("coco")
def coco_exif_raw(root):
    for s in ("train", "val"):
        photo(root / s / f"{s}.jpg", size=SIZE, exif=6)
        write(root / f"{s}.json", coco([f"{s}.jpg"]))
    return np.rot90(BY_COCO, -1)


@case("coco")
def coco_many_files(root):
    for s in ("train", "val"):
        for i in (1, 2):
            photo(root / s / f"{i}.jpg")
            write(root / s / f"part{i}.json", coco([f"{i}.jpg"]))
    return BY_COCO


@case("coco")
def coco_holes_rle(root):
    drawn = BY_COCO.copy()
    for s in ("train", "val"):
        anns = []
        for v, cat in ((1, 1), (2, 3)):
            packed = coco_mask.encode(np.asfortranarray((drawn == v).astype(np.uint8)))
            anns.append(
                {
                    "category_id": cat,
                    "segmentation": {"size": list(SIZE), "counts": packed["counts"].decode()},
                    "iscrowd": 1,
                }
            )
        photo(root / s / f"{s}.jpg")
        write(
            root / "annotations" / f"instances_{s}2017.json", coco([f"{s}.jpg"], annotations=anns)
        )
        write(
            root / "annotations" / f"captions_{s}2017.json",
            {"images": [], "annotations": [{"image_id": 1, "id": 2, "caption": "x"}]},
        )
        write(
            root / "annotations" / f"person_keypoints_{s}2017.json",
            coco(
                [f"{s}.jpg"],
                annotations=[
                    {"category_id": 1, "segmentation": [[1, 1, 5, 1, 5, 5]], "keypoints": []}
                ],
            ),
        )
    return BY_COCO


@case("coco")
def coco_panoptic(root):
    ids = np.array([0, 7, 70000])[BY_COCO]
    for s in ("train", "val"):
        photo(root / f"{s}2017" / f"{s}.jpg")
        codes = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)
        save_mask(root / "annotations" / f"panoptic_{s}2017" / f"{s}.png", codes)
        write(
            root / "annotations" / f"panoptic_{s}2017.json",
            {
                "images": [{"id": 9, "file_name": f"{s}.jpg", "height": 24, "width": 32}],
                "annotations": [
                    {
                        "image_id": 9,
                        "file_name": f"{s}.png",
                        "segments_info": [
                            {"id": 7, "category_id": 1, "iscrowd": 0},
                            {"id": 70000, "category_id": 3, "iscrowd": 0},
                        ],
                    }
                ],
                "categories": [
                    {"id": 1, "name": "cat", "isthing": 1, "color": [220, 20, 60]},
                    {"id": 3, "name": "dog", "isthing": 0, "color": [1, 2, 3]},
                ],
            },
        )
    return np.array([255, 1, 2])[BY_COCO]  # the format calls pixels of no segment unlabelled


def cvatmask(root, names, lists, sub=""):
    colors = np.array([(0, 0, 0), (250, 50, 83), (42, 125, 209)], np.uint8)
    for n in names:
        photo(root / "JPEGImages" / f"{n}.jpg")
        for k in ("SegmentationClass", "SegmentationObject"):
            save_mask(root / k / f"{n}.png", colors[BY_PILLOW])
    for split, ns in lists.items():
        write(root / "ImageSets" / "Segmentation" / f"{split}.txt", "\n".join(ns) + "\n")
    write(
        root / "labelmap.txt",
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,50,83::\ndog:42,125,209::\n",
    )


@case("cvat voc")
def cvat_default_sub(root):
    cvatmask(root, [f"s ü/{n}" for n in "abcdef"], {"default": [f"s ü/{n}" for n in "abcdef"]})
    return BY_PILLOW


@case("cvat voc")
def cvat_subsets(root):
    cvatmask(root, "abcd", {"Train": "abc", "Validation": "d"})
    return BY_PILLOW


@case("cvat")
def cvat_images_root(root):
    cvatmask(root, "abcd", {"default": "abcd"})
    for n in "abcd":
        shutil.move(root / "JPEGImages" / f"{n}.jpg", root / f"{n}.jpg")
    (root / "JPEGImages").rmdir()
    return BY_PILLOW


@case("cvat")
def cvat_images_folder_jpegsub(root):
    cvatmask(root, "abcd", {"default": "abcd"})
    (root / "JPEGImages").rename(root / "images")
    return BY_PILLOW


def cvat_shape(kind, label, points, **more):
    corners = ";".join(f"{x:.2f},{y:.2f}" for x, y in points)
    attributes = "".join(f' {key}="{value}"' for key, value in more.items())
    return f'<{kind} label="{label}" points="{corners}" source="manual"{attributes}></{kind}>'


def cvat_xml_file(root, images, size=""):
    colors = {"cat": "#fa3253", "dog": "#2a7dd1"}
    labels = "".join(
        f"<label><name>{name}</name><color>{color}</color></label>"
        for name, color in colors.items()
    )
    meta = f"<meta><task>{size}<labels>{labels}</labels></task></meta>"
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>{meta}{images}</annotations>'
    write(root / "annotations.xml", text)


@case("cvat")
def cvat_xml(root):
    shapes = cvat_shape("polygon", "dog", DOG, z_order=1)
    shapes += cvat_shape("polygon", "cat", CAT, z_order=0) + '<tag label="cat"></tag>'
    images = ""
    for n in "abcdef":
        photo(root / "images" / "sub" / f"{n} ü.jpg")
        images += f'<image name="sub/{n} ü.jpg" width="32" height="24">{shapes}</image>'
    cvat_xml_file(root, images)
    return BY_PILLOW


@case("cvat")
def cvat_xml_subset(root):
    shapes = cvat_shape("polygon", "cat", CAT) + cvat_shape("polygon", "dog", DOG)
    images = ""
    for subset, n in (("Train", "a"), ("Train", "b"), ("Validation", "c")):
        photo(root / "images" / subset / f"{n}.jpg")
        size = f'subset="{subset}" width="32" height="24"'
        images += f'<image name="{n}.jpg" {size}>{shapes}</image>'
    cvat_xml_file(root, images)
    return BY_PILLOW


SIZE_OF_VIDEO = "<size>6</size><original_size><width>32</width><height>24</height></original_size>"


@case("cvat")
def cvat_tracks(root):
    for number in range(6):
        photo(root / "images" / f"frame_{number:06d}.PNG")
    tracks = ""
    for number, (label, points) in enumerate((("cat", CAT), ("dog", DOG))):
        shapes = "".join(
            cvat_shape("polygon", label, points, frame=frame, outside=0, keyframe=1)
            for frame in (0, 5)
        )
        tracks += f'<track id="{number}" label="{label}" source="manual">{shapes}</track>'
    cvat_xml_file(root, tracks, SIZE_OF_VIDEO)
    return BY_PILLOW


@case("yolo cvat")
def cvat_yolo(root):
    lines = polygon_lines()
    for s, ns in (("Train", "ab"), ("Validation", "c")):
        for n in ns:
            photo(root / "images" / s / f"{n}.jpg")
            write(root / "labels" / s / f"{n}.txt", lines)
        write(root / f"{s}.txt", "".join(f"data/images/{s}/{n}.jpg\n" for n in ns))
    write(
        root / "data.yaml",
        "Train: Train.txt\nValidation: Validation.txt\nnames:\n  0: cat\n  1: dog\npath: .\n",
    )
    return BY_PILLOW


@case("yolo cvat")
def cvat_yolo_train_only(root):
    lines = polygon_lines()
    for n in "abcdef":
        photo(root / "images" / "train" / f"{n}.jpg")
        write(root / "labels" / "train" / f"{n}.txt", lines)
    write(root / "train.txt", "".join(f"data/images/train/{n}.jpg\n" for n in "abcdef"))
    write(root / "data.yaml", "names:\n  0: cat\n  1: dog\npath: .\ntrain: train.txt\n")
    return BY_PILLOW


def lm(n, **k):
    d = labelme_file("x", [shape("cat", CAT), shape("dog", DOG)])
    d["imagePath"] = n
    d |= k
    return d


@case("labelme")
def labelme_backslash(root):
    for n in "abcdef":
        photo(root / "images" / f"{n} ü.jpg")
        write(root / "labels" / f"{n} ü.json", lm(f"..\\images\\{n} ü.jpg"))
    return BY_PILLOW


@case("labelme")
def labelme_abs(root):
    for n in "abcdef":
        photo(root / "images" / f"{n}.JPG")
        write(root / "annotations" / f"{n}.json", lm(f"/home/me/pics/{n}.JPG"))
    return BY_PILLOW


@case("labelme")
def labelme_train_valid_images(root):
    for s in ("train", "valid"):
        photo(root / s / "images" / f"{s}.jpg")
        write(root / s / "annotations" / f"{s}.json", lm(f"../images/{s}.jpg"))
    return BY_PILLOW


@case("labelme")
def labelme_images_train(root):
    for s in ("train", "val"):
        photo(root / "images" / s / "a.jpg")
        write(root / "labels" / s / "a.json", lm("a.jpg"))
    return BY_PILLOW


@case("labelme")
def labelme_imagedata(root):
    for n in "abcdef":
        noise = np.random.default_rng(ord(n)).integers(0, 255, (*SIZE, 3), np.uint8)
        write(root / f"{n}.json", lm(f"{n}.png", imageData=png(noise)))
    return BY_PILLOW


@case("labelme")
def labelme_mask(root):
    for n in "abcdef":
        photo(root / f"{n}.jpg")
        sh = [
            shape(label, [[0, 0], [31, 23]], "mask", mask=png(v == BY_PILLOW))
            for label, v in (("cat", 1), ("dog", 2))
        ]
        write(root / f"{n}.json", lm(f"{n}.jpg", shapes=sh))
    return BY_PILLOW


@case("")
def labelme_voc(root):
    for n in "abcdef":
        photo(root / "JPEGImages" / f"{n}.jpg")
        save_palette_mask(root / "SegmentationClass" / f"{n}.png")
        (root / "SegmentationClassVisualization").mkdir(exist_ok=True)
        photo(root / "SegmentationClassVisualization" / f"{n}.jpg")
        (root / "SegmentationClassNpy").mkdir(exist_ok=True)
        np.save(root / "SegmentationClassNpy" / f"{n}.npy", BY_PILLOW)
    write(root / "class_names.txt", "_background_\ncat\ndog\n")
    return BY_PILLOW


@case("labelme")
def labelme_old_dataset_v3(root):
    for n in "abcdef":
        photo(root / f"{n}.jpg")
        d = lm(f"{n}.jpg")
        del d["imageHeight"], d["imageWidth"], d["version"], d["flags"]
        for s in d["shapes"]:
            del s["shape_type"], s["group_id"]
            s["line_color"] = None
        write(root / f"{n}.json", d)
    return BY_PILLOW


def lst(i, url, regions, **k):
    return task(i, url, regions) | k


REG = [region("cat", CAT, 1), region("dog", DOG, 2)]


@case("labelstudio")
def ls_upload(root):
    for n in "abcdef":
        photo(root / "images" / f"0a1b2c3d-{n}_1.jpg")
    write(
        root / "project-1-at-2024-01-01-00-00-aaaa.json",
        [lst(i, f"/data/upload/1/0a1b2c3d-{n}_1.jpg", REG) for i, n in enumerate("abcdef")],
    )
    return BY_PILLOW


@case("labelstudio")
def ls_upload_plain(root):
    for n in "abcdef":
        photo(root / f"{n} 1.jpg")
    write(
        root / "export.json",
        [lst(i, f"/data/upload/1/0a1b2c3d-{n}_1.jpg", REG) for i, n in enumerate("abcdef")],
    )
    return BY_PILLOW


@case("labelstudio")
def ls_urlenc(root):
    for n in "abcdef":
        photo(root / "images" / f"{n} ü.jpg")
    write(
        root / "export.json",
        [
            lst(i, "/data/local-files/?d=" + quote(f"images/{n} ü.jpg"), REG)
            for i, n in enumerate("abcdef")
        ],
    )
    return BY_PILLOW


@case("labelstudio")
def ls_s3(root):
    for s in ("train", "val"):
        for n in "ab":
            photo(root / s / f"{n}.jpg")
    write(
        root / "export.json",
        [
            lst(i, f"s3://bucket/x/{s}/{n}.jpg", REG)
            for i, (s, n) in enumerate((s, n) for s in ("train", "val") for n in "ab")
        ],
    )
    return BY_PILLOW


@case("labelstudio")
def ls_predictions(root):
    for n in "abcdef":
        photo(root / "images" / f"{n}.jpg")
    write(
        root / "export.json",
        [
            {
                "id": i,
                "data": {"image": f"/data/upload/1/{n}.jpg"},
                "annotations": [],
                "predictions": [{"model_version": "v", "result": REG, "score": 0.5}],
            }
            for i, n in enumerate("abcdef")
        ],
    )
    return BY_PILLOW


@case("labelstudio")
def ls_predictions_nokey(root):
    for n in "abcdef":
        photo(root / "images" / f"{n}.jpg")
    write(
        root / "export.json",
        [
            {
                "data": {"image": f"/data/upload/1/{n}.jpg"},
                "predictions": [{"model_version": "v", "result": REG}],
            }
            for i, n in enumerate("abcdef")
        ],
    )
    return BY_PILLOW


@case("labelstudio")
def ls_min(root):
    for n in "abcdef":
        photo(root / "images" / f"{n}.jpg")
    lab = [
        {
            "points": x["value"]["points"],
            "polygonlabels": x["value"]["polygonlabels"],
            "original_width": WIDTH,
            "original_height": HEIGHT,
            "closed": True,
        }
        for x in REG
    ]
    write(
        root / "export.json",
        [
            {
                "image": f"/data/upload/1/{n}.jpg",
                "id": i,
                "label": lab,
                "annotator": 1,
                "annotation_id": i,
                "created_at": "x",
                "updated_at": "x",
                "lead_time": 1.0,
            }
            for i, n in enumerate("abcdef")
        ],
    )
    return BY_PILLOW


@case("labelstudio")
def ls_resized(root):
    for n in "abcdef":
        photo(root / "images" / f"{n}.jpg")
    big = [dict(x, original_width=WIDTH * 4, original_height=HEIGHT * 4) for x in REG]
    write(
        root / "export.json",
        [lst(i, f"/data/upload/1/{n}.jpg", big) for i, n in enumerate("abcdef")],
    )
    return BY_PILLOW


@case("labelstudio yolo")
def ls_yolo(root):
    lines = polygon_lines()
    for n in "abcdef":
        photo(root / "images" / f"0a1b2c3d-{n}.jpg")
        write(root / "labels" / f"0a1b2c3d-{n}.txt", lines)
    write(root / "classes.txt", "cat\ndog\n")
    write(
        root / "notes.json",
        {
            "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
            "info": {"year": 2024},
        },
    )
    return BY_PILLOW


def yl(root, split, names, imgs="{s}/images", labs="{s}/labels"):
    lines = polygon_lines()
    for n in names:
        photo(root / imgs.format(s=split) / f"{n}.jpg")
        write(root / labs.format(s=split) / f"{n}.txt", lines)


@case("yolo roboflow")
def yolo_roboflow(root):
    for s, ns in (("train", "abc"), ("valid", "d"), ("test", "e")):
        yl(root, s, ns)
    write(
        root / "data.yaml",
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\n"
        "names: ['cat', 'dog']\n\nroboflow:\n  workspace: x\n",
    )
    return BY_PILLOW


@case("yolo")
def yolo_abs_win(root):
    for s, ns in (("train", "abc"), ("val", "d")):
        yl(root, s, ns, "images/{s}", "labels/{s}")
    write(
        root / "dataset.yaml",
        "path: C:\\Users\\me\\datasets\\pets\ntrain: images\\train\nval: images\\val\n"
        "names:\n  0: cat\n  1: dog\n",
    )
    return BY_PILLOW


@case("yolo")
def yolo_abs_posix(root):
    for s, ns in (("train", "abc"), ("val", "d")):
        yl(root, s, ns, "images/{s}", "labels/{s}")
    write(
        root / "pets.yaml",
        "path: /home/me/datasets/pets\ntrain: /home/me/datasets/pets/images/train\n"
        "val:\n - /home/me/datasets/pets/images/val\nnames:\n  0: cat\n  1: dog\n",
    )
    return BY_PILLOW


@case("yolo")
def yolo_noval(root):
    yl(root, "train", "abcdef")
    write(root / "data.yaml", "train: train/images\nnames: [cat, dog]\n")
    return BY_PILLOW


@case("yolo")
def yolo_noyaml(root):
    yl(root, "", "abcdef", "images", "labels")
    write(root / "classes.txt", "cat\ndog\n")
    return BY_PILLOW


@case("yolo")
def yolo_valsame(root):
    yl(root, "train", "abcdef", "images/{s}", "labels/{s}")
    write(
        root / "data.yaml", "path: .\ntrain: images/train\nval: images/train\nnames: [cat, dog]\n"
    )
    return BY_PILLOW


@case("yolo")
def yolo_txtlist(root):
    for s, ns in (("train", "abc"), ("val", "d")):
        yl(root, s, ns, "images/{s}", "labels/{s}")
        write(root / f"{s}.txt", "".join(f"./images/{s}/{n}.jpg\n" for n in ns))
    write(root / "data.yaml", "train: train.txt\nval: val.txt\nnames: [cat, dog]\n")
    return BY_PILLOW


@case("yolo")
def yolo_semantic(root):
    for s, ns in (("train", "abc"), ("val", "d")):
        for n in ns:
            photo(root / "images" / s / f"{n}.jpg")
            save_mask(root / "masks" / s / f"{n}.png", BY_PILLOW.astype(np.uint8))
    write(
        root / "data.yaml",
        "path: .\ntrain: images/train\nval: images/val\n"
        "masks_dir: masks\nnames:\n  0: background\n  1: cat\n  2: dog\n",
    )
    return BY_PILLOW


@case("")
def yolo_semantic_noyaml(root):
    for s, ns in (("train", "abc"), ("val", "d")):
        for n in ns:
            photo(root / "images" / s / f"{n}.jpg")
            save_mask(root / "masks" / s / f"{n}.png", BY_PILLOW.astype(np.uint8))
    return BY_PILLOW


@case("roboflow")
def rf_semantic(root):
    for s, ns in (("train", "abc"), ("valid", "d"), ("test", "e")):
        for n in ns:
            photo(root / s / f"{n}_jpg.rf.01.jpg")
            Image.fromarray(BY_PILLOW.astype(np.uint8)).save(root / s / f"{n}_jpg.rf.01_mask.png")
        write(root / s / "_classes.csv", "Pixel Value, Class\n0, background\n1, cat\n2, dog\n")
    write(root / "README.dataset.txt", "x")
    return BY_PILLOW


@case("roboflow")
def rf_semantic_train(root):
    for n in "abcdef":
        photo(root / "train" / f"{n}.jpg")
        Image.fromarray(BY_PILLOW.astype(np.uint8)).save(root / "train" / f"{n}_mask.png")
    write(root / "train" / "_classes.csv", " Pixel Value,Class\n0,background\n1,cat\n2,dog\n")
    return BY_PILLOW


@case("roboflow")
def rf_semantic_nocsv_val(root):
    for s, ns in (("train", "abc"), ("valid", "d")):
        for n in ns:
            photo(root / s / f"{n}.png")
            Image.fromarray(BY_PILLOW.astype(np.uint8)).save(root / s / f"{n}_mask.png")
    write(root / "train" / "_classes.csv", "Pixel Value, Class\n0, background\n1, cat\n2, dog\n")
    return BY_PILLOW


@case("")
def voc_palette_lists(root):
    for n in "abcdef":
        photo(root / "JPEGImages" / f"{n}.jpg")
        save_palette_mask(root / "SegmentationClass" / f"{n}.png")
    write(root / "ImageSets/Segmentation/train.txt", "a\nb\nc\n")
    write(root / "ImageSets/Segmentation/val.txt", "d\n")
    return BY_PILLOW


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_pixels_of_exports_as_people_have_them(name, tmp_path):
    make, prefixes = CASES[name]
    expected = make(tmp_path)
    for prefix in ("", *(f"{prefix}:" for prefix in prefixes)):
        train, val = (open_dataset(f"{prefix}{tmp_path}", split) for split in ("train", "val"))
        assert train.classes.names == NAMES if prefixes else len(train.classes) == 3
        assert len(train) and len(val)
        for sample in (*train, *val):
            np.testing.assert_array_equal(sample.mask, expected)
            assert sample.image.shape == (*expected.shape, 3)


class TestTracks:
    """A video of CVAT, of which only the key frames are listed."""

    def make(self, root, shapes, label="cat", frames=6):
        for number in range(frames):
            photo(root / "images" / f"frame_{number:06d}.png")
        cvat_xml_file(root, f'<track id="3" label="{label}">{shapes}</track>', SIZE_OF_VIDEO)
        splits = {"train": [f"frame_{i:06d}" for i in range(frames - 1)], "val": ["frame_000005"]}
        write(root / "splits.json", splits)

    def masks(self, root):
        samples = [*open_dataset(f"cvat:{root}"), *open_dataset(f"cvat:{root}", "val")]
        return [sample.mask for sample in samples]

    def test_boxes_and_polygons_move_linearly_between_key_frames(self, tmp_path):
        square = [[2, 2], [6, 2], [6, 6], [2, 6]]
        moved = [[x + 8, y + 4] for x, y in square]
        shapes = cvat_shape("polygon", "", square, frame=0, outside=0)
        shapes += cvat_shape("polygon", "", moved, frame=4, outside=0)
        shapes += cvat_shape("polygon", "", moved, frame=5, outside=1)
        self.make(tmp_path, shapes.replace(' label=""', ""))
        for frame, mask in enumerate(self.masks(tmp_path)):
            at = [[x + 2 * frame, y + frame] for x, y in square]
            expected = by_pillow((1, at)) if frame < 5 else np.zeros(SIZE)
            np.testing.assert_array_equal(mask, expected)

    def test_masks_stay_until_the_next_and_the_last_shape_until_the_end(self, tmp_path):
        mask = '<mask frame="1" outside="0" rle="0, 6" left="4" top="3" width="3" height="2"/>'
        self.make(tmp_path, mask)
        masks = self.masks(tmp_path)
        assert not masks[0].any()
        for each in masks[1:]:
            assert each.sum() == 6 and (each[3:5, 4:7] == 1).all()

    def test_polygons_of_other_corners_are_refused(self, tmp_path):
        shapes = cvat_shape("polygon", "", CAT, frame=0, outside=0)
        shapes += cvat_shape("polygon", "", DOG, frame=4, outside=0)
        self.make(tmp_path, shapes.replace(' label=""', ""))
        with pytest.raises(ValueError, match=r"track 3 \(cat\), frame 1.*4 and 3 corners"):
            open_dataset(str(tmp_path))

    def test_a_video_without_its_frames_is_refused(self, tmp_path):
        shapes = cvat_shape("polygon", "", CAT, frame=0).replace(' label=""', "")
        cvat_xml_file(tmp_path, f'<track id="0" label="cat">{shapes}</track>', SIZE_OF_VIDEO)
        with pytest.raises(FileNotFoundError, match="tracks of a video.*Save images"):
            open_dataset(str(tmp_path))


def test_predictions_are_used_with_a_warning_if_nothing_is_annotated(tmp_path):
    make, _ = CASES["ls_predictions"]
    make(tmp_path)
    with pytest.warns(UserWarning, match="6 images have predictions of a model"):
        open_dataset(str(tmp_path))
    (path,) = tmp_path.glob("*.json")
    tasks = json.loads(path.read_text())
    for number in (0, 1):
        tasks[number] = task(number, tasks[number]["data"]["image"], [region("cat", CAT, 1)])
    write(path, tasks)
    with pytest.warns(UserWarning, match="4 images have no annotation yet"):
        assert len(open_dataset(str(tmp_path))) == 1


@pytest.mark.parametrize("turn", [5, 6, 7, 8])
def test_masks_that_were_drawn_on_stored_pixels_are_turned_with_the_image(turn, tmp_path):
    """The image shows its mask, so that both must turn alike."""
    for name in ("a", "b"):
        exif = Image.Exif()
        exif[0x112] = turn
        drawn = np.repeat(np.uint8(100 * BY_COCO)[..., None], 3, -1)
        Image.fromarray(drawn).save(tmp_path / f"{name}.png", exif=exif)
    write(tmp_path / "result.json", coco(["a.png", "b.png"]))
    (sample,) = open_dataset(str(tmp_path), "val")
    assert sample.mask.shape == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(sample.image[..., 0], 100 * sample.mask)


def test_a_damaged_embedded_image_is_named(tmp_path):
    for name in "ab":
        write(tmp_path / f"{name}.json", lm(f"{name}.png", imageData="aGVsbG8="))
    with pytest.raises(ValueError, match=r"[ab]\.json.*imageData.*damaged"):
        open_dataset(str(tmp_path))[0]


def test_panoptic_pictures_that_are_missing_or_wrong_are_named(tmp_path):
    make, _ = CASES["coco_panoptic"]
    make(tmp_path)
    mask = tmp_path / "annotations" / "panoptic_val2017" / "val.png"
    save_mask(mask, np.full((*SIZE, 3), 9, np.uint8))
    with pytest.raises(ValueError, match=r"val\.png has the segment 592137"):
        open_dataset(str(tmp_path), "val")[0]
    mask.unlink()
    with pytest.raises(FileNotFoundError, match=r"no mask .*val\.png"):
        open_dataset(str(tmp_path), "val")


def test_the_reading_is_told_first(tmp_path, capsys):
    make, _ = CASES["ls_upload"]
    make(tmp_path)
    main(["verify-dataset", str(tmp_path)])
    told = " ".join(capsys.readouterr().out.split())
    assert told.startswith("train, val: read as an export of Label Studio; no validation split is")
