"""Weights from the hub are what the hub announced."""

import hashlib
import sys
import types

import pytest

from keras_seg.weights import HubFile, download


@pytest.mark.parametrize("whole", [True, False])
def test_a_damaged_file_of_the_cache_is_refused(tmp_path, monkeypatch, whole):
    content = b"weights of a network"
    blob = tmp_path / "blobs" / hashlib.sha256(content).hexdigest()
    blob.parent.mkdir()
    blob.write_bytes(content if whole else content[:-3])
    name = tmp_path / "model.safetensors"
    name.symlink_to(blob)
    hub = types.SimpleNamespace(hf_hub_download=lambda repo, file: str(name))
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    wanted = HubFile("owner/name", "MIT")
    if whole:
        assert download(wanted, remedy="").read_bytes() == content
    else:
        with pytest.raises(RuntimeError, match=rf"{blob.name} is damaged.*Delete it"):
            download(wanted, remedy="")
