"""No page has code for a device that leaves out how a picture meets the size of the file.

Whether pictures are resized or cut into windows depends on the training, and the wrong one costs
accuracy: 11 points of mIoU in one measurement. The board pack does what the training did.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SECTION = re.compile(r"^(?=#{1,3} )", re.MULTILINE)
RUNS_A_FILE = re.compile(
    r"Interpreter\(|InferenceSession\(|\binvoke\(|\bInvoke\(|interpreter\.run\(|set_tensor\("
    r"|segmenter\.segment\(|\.prediction\(|VNCoreMLRequest\("
)
IN_PYTHON = re.compile(r"Interpreter\(|InferenceSession\(|set_tensor\(")
RESIZES = re.compile(
    r"\bresize\w*\(|\.resize\b|imresize|ResizeOp|createScaledBitmap", re.IGNORECASE
)
TRAINING = re.compile(r"\btrain", re.IGNORECASE)


def faults(text):
    """What is wrong with the blocks of a page."""
    wrong = []
    for section in SECTION.split(BLOCK.sub(_without_headings, text)):
        prose = BLOCK.sub("", section)
        for language, code in BLOCK.findall(section):
            if language.startswith("py") and IN_PYTHON.search(code):
                wrong.append(f"runs a file itself instead of by board.py: {code[:80]}")
            elif RUNS_A_FILE.search(code) and not TRAINING.search(prose):
                wrong.append(
                    f"runs a file, and the section does not name the training: {code[:80]}"
                )
            elif RUNS_A_FILE.search(code) and RESIZES.search(code) and "window" not in prose:
                wrong.append(f"resizes, and the section does not name windows: {code[:80]}")
    return wrong


def _without_headings(block):
    """A block whose comments are no headings."""
    return re.sub(r"^#", " #", block[0], flags=re.MULTILINE)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_code_for_devices_follows_the_training(path):
    assert faults(path.read_text()) == []


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ("## A\n```python\ninterpreter.set_tensor(0, photo)\n```\n", "instead of by board.py"),
        ("## A\n```kotlin\ninterpreter.run(image, map)\n```\n", "does not name the training"),
        (
            "## A\nAs in training.\n```cpp\nresize(photo, image);\ninterpreter->Invoke();\n```\n",
            "does not name windows",
        ),
        ("Training.\n## A\n```swift\n# of\nlet m = try model.prediction(i)\n```\n", "the training"),
    ],
)
def test_such_code_is_found(page, fault):
    """So that the test above cannot pass by finding nothing."""
    (received,) = faults(page)
    assert fault in received


def test_the_pages_have_code_for_devices():
    pages = [path for path in PAGES if RUNS_A_FILE.search(path.read_text())]
    assert len(pages) >= 2
