"""The studies on nuclei and on membranes."""

from __future__ import annotations

from benchmarks.papers.records import BASIS, ISBI, NUCLEI, Study, Variant, steps, unet

ON_NUCLEI = {
    **BASIS,
    **steps(5, 120),
    "crop": [128, 128],
    "batch_size": 4,
    "augmentation": {"flip_vertical": True, "scale": [0.6, 1.6], "rotation": 180},
}
ON_ISBI = {
    **BASIS,
    **steps(10, 80),
    **unet(16),
    "loss": "cross_entropy",
    "channels": 1,
    "crop": [256, 256],
    "batch_size": 2,
    "augmentation": {"flip_vertical": True, "scale": [0.9, 1.1], "rotation": 180},
}
WIDTHS = [16, 32, 64, 128, 256]
PARAMETERS = "The channels are a quarter of the paper's."

MICROSCOPY: dict[str, Study] = {
    "resunetplusplus": Study(
        idea="ResUNet++: residual units, squeeze and excitation, attention gates and ASPP",
        paper="arXiv:1911.07067",
        claim="Kvasir-SEG mIoU 79.3 against 43.3 of U-Net (Table I; U-Net's figure from memory)",
        data=NUCLEI,
        recipe=ON_NUCLEI,
        variants=(
            Variant("U-Net of as many parameters", unet(23)),
            Variant(
                "ResUNet++",
                {"model": "resunetplusplus", "model_options": {"widths": WIDTHS}},
            ),
        ),
        metrics=("miou", "foreground_iou"),
        seeds=3,
        minutes=21,
        note="Nuclei instead of polyps.",
    ),
    "unetplusplus": Study(
        idea="U-Net++: nested dense skips and deep supervision",
        paper="arXiv:1807.10165",
        claim="IoU of nuclei 92.6 against 90.8 of U-Net and 90.9 of a wide U-Net (Table 3, from "
        "memory); on average +3.9 over U-Net and +3.4 over wide U-Net (abstract)",
        data=NUCLEI,
        recipe=ON_NUCLEI,
        variants=(
            Variant("U-Net", unet(16)),
            Variant(
                "wide U-Net",
                {"model": "unet", "model_options": {"widths": [18, 35, 70, 140, 280]}},
            ),
            Variant("U-Net++", {"model": "unetplusplus", "model_options": {"widths": WIDTHS}}),
            Variant(
                "U-Net++, deep supervision",
                {
                    "model": "unetplusplus",
                    "model_options": {"widths": WIDTHS, "deep_supervision": True},
                },
                extra=("pruned",),
            ),
        ),
        metrics=("foreground_iou", "miou"),
        seeds=3,
        minutes=23,
        note="Half of the paper's channels, so that its wide U-Net has 1.09 times those of U-Net.",
    ),
    "resunet": Study(
        idea="ResUNet: residual units at a quarter of U-Net's parameters",
        paper="arXiv:1711.10684",
        claim="Massachusetts roads: break-even point 91.9 against 90.5 of U-Net (Table I; U-Net's "
        "figure from memory)",
        data=NUCLEI,
        recipe=ON_NUCLEI,
        variants=(
            Variant("U-Net of as many parameters", unet(8)),
            Variant("U-Net of four times as many", unet(16)),
            Variant(
                "ResUNet", {"model": "resunet", "model_options": {"widths": [16, 32, 64, 128]}}
            ),
        ),
        metrics=("miou", "foreground_iou"),
        seeds=3,
        minutes=9,
        note="Nuclei instead of roads. " + PARAMETERS,
    ),
    "deconvnet": Study(
        idea="DeconvNet: first crops of single objects, then whole scenes",
        paper="arXiv:1505.04366",
        claim="Two stages are described as necessary; no figure without the first",
        data=NUCLEI,
        recipe={
            **BASIS,
            **steps(5, 160),
            "model": "deconvnet",
            "model_options": {
                "widths": [[8, 8], [16, 16], [32] * 3, [64] * 3, [64] * 3],
                "fc": 0,
            },
            "loss": "cross_entropy",
            "crop": [64, 64],
            "batch_size": 16,
            "augmentation": {"flip_vertical": True, "scale": [0.6, 1.6], "rotation": 180},
        },
        variants=(
            Variant("one stage"),
            Variant(
                "first stage",
                {
                    **steps(2, 160),
                    "augmentation": {"flip_vertical": True, "scale": [1.0, 1.0]},
                },
                data="single_objects",
                only_a_step=True,
            ),
            Variant("two stages", steps(3, 160), initial="first stage"),
        ),
        metrics=("miou", "foreground_iou"),
        seeds=3,
        minutes=9,
        note="An eighth of the channels, no fully connected layers; both sides have 800 steps.",
    ),
    "isbi": Study(
        idea="U-Net: border weights and elastic deformation",
        paper="arXiv:1505.04597",
        claim="ISBI 2012 test: pixel error 0.0611, Rand error 0.0382 with both (Table 1); no "
        "figure without them",
        data=ISBI,
        recipe=ON_ISBI,
        variants=(
            Variant("neither"),
            Variant("border weights", {"border_weights": True}),
            Variant(
                "elastic deformation",
                {"augmentation": {**ON_ISBI["augmentation"], "elastic": 5.0}},
            ),
            Variant(
                "both",
                {
                    "border_weights": True,
                    "augmentation": {**ON_ISBI["augmentation"], "elastic": 5.0},
                },
            ),
        ),
        metrics=("pixel_error", "rand_error", "pixel_error_views", "miou"),
        seeds=3,
        minutes=34,
        note="20 slices for training and 5 for validation. Displacements of 5 pixels in crops of "
        "256, where the paper has 10 in tiles of 512. " + PARAMETERS,
    ),
}
