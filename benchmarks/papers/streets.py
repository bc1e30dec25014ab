"""The studies on streets and faces."""

from __future__ import annotations

from benchmarks.papers.records import BASIS, CAMVID, FACES, MEDIAN_FREQUENCY, Study, Variant, steps

ON_CAMVID = {
    **BASIS,
    "resize": [240, 320],
    "crop": [240, 320],
    "batch_size": 8,
    "augmentation": {"scale": [0.75, 1.5]},
}
SMALL_CAMVID = {**ON_CAMVID, "resize": [176, 240], "crop": [176, 240], "batch_size": 4}
FINE_TUNING = {
    "model": "deeplabv3plus",
    "model_options": {"backbone": "efficientnet_lite0", "backbone_weights": "imagenet"},
    "loss": "cross_entropy+dice",
    "optimizer": "adamw",
    "weight_decay": 1e-4,
    "optimizer_options": {"head_rate": 4.0},
    "learning_rate": 5e-4,
    "schedule_options": {"warmup_epochs": 0.5},
}
STUDENT = {
    "model": "deeplabv3plus",
    "model_options": {
        "backbone": "mobilenetv2",
        "backbone_weights": None,
        "backbone_options": {"alpha": 0.35},
        "channels": 64,
    },
    "optimizer_options": {},
    "learning_rate": 2e-3,
}

STREETS_AND_FACES: dict[str, Study] = {
    "segnet": Study(
        idea="SegNet-Basic: up-sampling by pooling indices",
        paper="arXiv:1511.00561",
        claim="CamVid test mIoU 47.7 and BF 35.8 against 43.3 and 20.8 with bilinear up-sampling "
        "(Table 1, median-frequency balancing; the bilinear row from memory)",
        data=CAMVID,
        recipe={
            **SMALL_CAMVID,
            **steps(10, 90),
            "model": "segnet_basic",
            "model_options": {"widths": [32] * 4},
            "loss": MEDIAN_FREQUENCY,
        },
        variants=(
            Variant("bilinear up-sampling", network="bilinear_upsampling"),
            Variant("pooling indices"),
        ),
        metrics=("miou", "boundary_f1", "class_accuracy"),
        seeds=3,
        minutes=42,
        note="Half of the channels. The bilinear network keeps the decoder's convolutions; the "
        "paper's has none and 0.6 of 1.4 M parameters.",
    ),
    "heads": Study(
        idea="Context heads on one encoder: ASPP, dual attention, OCR",
        paper="arXiv:1802.02611, 1809.02983, 1909.11065",
        claim="Cityscapes val: dual attention 76.3 against 70.0 of a dilated FCN (ResNet-50); OCR "
        "79.6 against 75.8 (ResNet-101); ablation tables, from memory. ASPP: no figure against a "
        "plain head in this paper",
        data=CAMVID,
        recipe={
            **ON_CAMVID,
            **steps(10, 50),
            "model": "danet",
            "model_options": {
                "backbone": "efficientnet_lite0",
                "backbone_weights": "imagenet",
                "backbone_options": {"with_head": False},
                "output_stride": 16,
                "multi_grid": None,
            },
            "learning_rate": 5e-4,
        },
        variants=(
            Variant("plain head", network="plain_head"),
            Variant("ASPP", network="aspp_head"),
            Variant("dual attention"),
            Variant("OCR", network="ocr_head"),
        ),
        metrics=("miou", "boundary_f1"),
        seeds=3,
        minutes=44,
        note="EfficientNet-Lite0 with ImageNet weights at output stride 16. Every head has 80 "
        "channels. OCR trains its regions with a second loss of weight 0.4; the others have none.",
    ),
    "hrnet": Study(
        idea="HRNetV2: the head reads all four resolutions",
        paper="arXiv:1908.07919",
        claim="V2 above V1 on Cityscapes and PASCAL-Context (a figure of the paper; no number "
        "known here)",
        data=CAMVID,
        recipe={
            **SMALL_CAMVID,
            **steps(10, 60),
            "model": "hrnet",
            "model_options": {"backbone": "hrnet_w18_small_v1", "backbone_weights": None},
        },
        variants=(
            Variant(
                "V1 head",
                {
                    "model_options": {
                        "backbone": "hrnet_w18_small_v1",
                        "backbone_weights": None,
                        "head": "v1",
                    }
                },
            ),
            Variant("V2 head"),
        ),
        metrics=("miou", "boundary_f1"),
        seeds=2,
        minutes=14,
        note="From random values, where the paper starts from ImageNet.",
    ),
    "gridnet": Study(
        idea="GridNet: total dropout",
        paper="arXiv:1707.07958",
        claim="Named as necessary so that the network uses its lower rows; no figure known here",
        data=CAMVID,
        recipe={
            **SMALL_CAMVID,
            **steps(10, 60),
            "model": "gridnet",
            "model_options": {"features": [8, 16, 32, 64, 128]},
        },
        variants=(
            Variant(
                "without",
                {"model_options": {"features": [8, 16, 32, 64, 128], "dropout": 0.0}},
            ),
            Variant("total dropout of 0.1"),
        ),
        metrics=("miou",),
        seeds=1,
        minutes=22,
        note="Half of the channels.",
    ),
    "icnn": Study(
        idea="iCNN: interlinks between the resolutions",
        paper="arXiv:1806.02479",
        claim="Helen: better than earlier methods; no figure without interlinks",
        data=FACES,
        recipe={
            **BASIS,
            **steps(10, 50),
            "model": "icnn",
            "resize": [64, 64],
            "crop": [64, 64],
            "batch_size": 16,
            "loss": "cross_entropy",
            "augmentation": {"flip_horizontal": False, "scale": [0.9, 1.2], "rotation": 15},
        },
        variants=(Variant("without", network="without_interlinks"), Variant("three interlinks")),
        metrics=("miou",),
        seeds=3,
        minutes=7,
        note="Drawn faces. Without interlinks the neighbours' maps are 0 until the final merge; "
        "the number of parameters is equal.",
    ),
    "recipes": Study(
        idea="Training recipes: averaged weights, larger crops, class balance, views, a teacher",
        paper="various",
        claim="no single paper; what each brings on CamVid",
        data=CAMVID,
        recipe={**ON_CAMVID, **steps(8, 50), "resize": None, **FINE_TUNING},
        variants=(
            Variant("as the recipe says", extra=("views",)),
            Variant("averaged weights", {"optimizer_options": {"head_rate": 4.0, "ema": 0.99}}),
            Variant("crops of 360x480", {"crop": [360, 480], "batch_size": 4}),
            Variant("images with rare classes more often", {"balance": True}),
            Variant("median-frequency class weights", {"loss": MEDIAN_FREQUENCY}),
            Variant("statistics recomputed", {"recalibrate": True}),
            Variant("small network", STUDENT),
            Variant(
                "small network, taught",
                STUDENT,
                teacher="as the recipe says",
                against="small network",
            ),
        ),
        metrics=("miou", "boundary_f1"),
        seeds=1,
        minutes=100,
        note="DeepLabV3+ on EfficientNet-Lite0 with ImageNet weights, crops of 240x320.",
    ),
}
