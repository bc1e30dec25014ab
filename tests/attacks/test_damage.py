"""A model file that is not as it was written is refused by name: no crash, no wrong masks."""

import json
import subprocess
import sys

import pytest

from keras_seg import inference, models
from keras_seg.card import EMPTY_CHECKSUM
from keras_seg.data import ClassTable
from keras_seg.inference.checksum import check_checksum, with_checksum
from tests.attacks.damage import damaged

CARD = models.ModelCard(ClassTable(("a", "b")), seal=EMPTY_CHECKSUM)


class TestChecksum:
    content = b"\0\0\0\0TFL3" + bytes(range(256)) + CARD.to_json().encode() + bytes(500)

    @pytest.mark.parametrize("suffix", ["tflite", "onnx"])
    def test_a_changed_byte_is_noticed_before_the_runtime_sees_the_file(self, tmp_path, suffix):
        path = tmp_path / f"m.{suffix}"
        whole = with_checksum(self.content)
        path.write_bytes(whole)
        check_checksum(path)
        for place in (8, 100, whole.index(b'"seal"') + 20, len(whole) - 1):
            changed = bytearray(whole)
            changed[place] ^= 1
            path.write_bytes(changed)
            with pytest.raises(ValueError, match=rf"m\.{suffix} is no .*its checksum is"):
                inference.load(path)
        path.write_bytes(whole[:-1])
        with pytest.raises(ValueError, match="its checksum is"):
            inference.load(path)

    def test_files_without_a_seal_pass(self, tmp_path):
        path = tmp_path / "m.tflite"
        for content in (b"", b"foreign", self.content):
            path.write_bytes(content)
            check_checksum(path)
        assert with_checksum(b"foreign") == b"foreign" and len(with_checksum(self.content)) == len(
            self.content
        )

    def test_a_second_checksum_changes_nothing(self):
        assert (
            with_checksum(with_checksum(self.content))
            == with_checksum(self.content)
            != self.content
        )


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"classes": 3}', '{"classes": {"names": []}}', '{"a', "\udcff"]
)
def test_a_damaged_card_is_said(text):
    with pytest.raises(ValueError, match="its card is damaged"):
        models.ModelCard.from_json(text.encode(errors="surrogateescape"))


@pytest.mark.parametrize(
    "entry",
    [
        *({"size_multiple": 0}, {"size_multiple": "4"}, {"size_multiple": None}),
        *({"image_size": [32]}, {"image_size": "ab"}, {"image_size": [0, 8]}),
        *({"margin": ["a", "b"]}, {"margin": [-4, 0]}, {"margin": None}),
        *({"head": "gone"}, {"layout": 7}, {"network": [1]}, {"version": None}),
        *({"classes": {"names": "abc"}}, {"classes": {"names": [None, 1, 2]}}),
    ],
)
def test_a_card_of_another_kind_is_said(entry):
    card = {"classes": {"names": ["a", "b", "c"]}, "version": "9.9"}
    assert len(models.ModelCard.from_json(json.dumps(card | {"later": 1})).classes) == 3
    with pytest.raises(ValueError, match="its card is damaged"):
        models.ModelCard.from_json(json.dumps(card | entry))


def test_a_card_nested_without_end_is_said():
    with pytest.raises(ValueError, match="its card is damaged"):
        models.ModelCard.from_json("[" * 100_000)


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["keras", "tflite", "onnx"])
def test_files_damaged_at_random_are_read_or_refused(kind):
    command = [sys.executable, "-m", "tests.attacks.damage", kind, "--tries", "200"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_damage_is_the_same_for_the_same_seed():
    content = bytes(10_000)
    assert damaged(content, 3) == damaged(content, 3) != content
