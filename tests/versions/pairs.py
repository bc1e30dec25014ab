"""The pairs of TensorFlow and Keras, and what is run in the environment of each."""

from __future__ import annotations

from dataclasses import dataclass

from keras_seg.tested_versions import COLAB, OLDEST


@dataclass(frozen=True)
class Pair:
    """Packages that are installed before the wheel.

    pythons: minor versions that the pair has wheels for; the first one found is used.
    requirements: arguments of `pip install`.
    """

    pythons: tuple[str, ...]
    requirements: tuple[str, ...]


PAIRS = {
    "newest": Pair(("3.13", "3.12", "3.11"), ("tensorflow", "keras")),
    # from the list of packages that Colab publishes
    "colab": Pair(
        ("3.12",),
        (
            f"tensorflow=={COLAB.tensorflow}.*",
            f"keras=={COLAB.keras}.*",
            "numpy==2.1.3",
            "protobuf==5.29.6",
            "h5py==3.16.0",
            "flatbuffers==25.12.19",
        ),
    ),
    "oldest": Pair(
        ("3.11", "3.12"), (f"tensorflow=={OLDEST.tensorflow}.*", f"keras=={OLDEST.keras}.*")
    ),
}
FEW_NETWORKS = ("unet", "segnet", "deeplabv3plus")
"""Networks of `--short`, which have the layers of the others except attention."""
PYTEST = ("pytest<9.2", "pytest-xdist", "hypothesis")
TEST_FILES = (
    *("models/test_unet", "models/test_deeplabv3plus", "models/test_segnet", "models/test_danet"),
    *("layers/test_batch_normalization", "layers/test_fake_quantize", "golden/test_golden"),
    *("export/test_tflite_audit", "export/test_onnx_export", "export/test_subpixel"),
    *("export/test_fused_argmax", "conformance/test_files_of_earlier_versions"),
)
"""Test files that need nothing of the repository but `tests`."""
SUITES = {
    "resume": ("tests/training/test_resume.py",),
    "two devices": ("tests/training/test_distribution.py", "-k", "Mirrored"),
    "tests": tuple(f"tests/{name}.py" for name in TEST_FILES),
}
"""Row of the table → arguments of pytest."""
EXACT_FILES = ("tflite", "onnx")
"""Files in float32, whose class maps must not depend on the pair that wrote them."""
OTHER_CLASSES_ALLOWED = 0.001
"""Share of pixels with another class that a rounded file may have if another pair wrote it."""
