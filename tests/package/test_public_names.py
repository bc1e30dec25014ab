"""A public name goes or comes on purpose: its line in public_names.txt is part of the change."""

from tests.package.public_names import FILE, public_names


def test_public_names_are_those_that_are_written_down():
    written, present = FILE.read_text().splitlines(), public_names()
    lost, new = sorted({*written} - {*present}), sorted({*present} - {*written})
    assert written == present, (
        f"Gone: {lost}. New: {new}. If both are meant, and CHANGELOG.md names them: "
        "python -m tests.package.public_names"
    )
