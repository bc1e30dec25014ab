"""Weights from the hub are what the hub announced."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

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
        with pytest.raises(RuntimeError, match=rf"{blob.name} was damaged.*start again"):
            download(wanted, remedy="")
        assert not blob.exists() and not name.is_symlink()


CONTENT = bytes(range(256)) * 4096
"""A file of a megabyte."""
DIGEST = hashlib.sha256(CONTENT).hexdigest()
CLIENT = """
import json, sys
from pathlib import Path
from keras_seg.weights import HubFile, download
try:
    path = download(HubFile("owner/name", "MIT"), remedy="Give a file.")
    print(json.dumps(["path", str(path)]))
except RuntimeError as error:
    print(json.dumps(["error", str(error)]))
"""


class Hub(http.server.BaseHTTPRequestHandler):
    """A hub that announces CONTENT and gives what `attack` says."""

    attack = "none"

    def log_message(self, *_):
        pass

    def announce(self, status, length, **headers):
        self.send_response(status)
        self.send_header("ETag", f'"{DIGEST}"')
        self.send_header("X-Linked-Etag", f'"{DIGEST}"')
        self.send_header("X-Linked-Size", str(len(CONTENT)))
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def do_HEAD(self):
        if self.attack == "redirect":
            return self.announce(302, 0, Location="file:///etc/hostname")
        return self.announce(200, len(CONTENT))

    def do_GET(self):
        body = CONTENT
        if self.attack == "wrong bytes":
            body = CONTENT[::-1]
        if self.attack == "redirect":
            return self.announce(302, 0, Location="file:///etc/hostname")
        if self.attack == "hangs":
            time.sleep(8)
        self.announce(200, len(body) + (1000 if self.attack == "lies" else 0))
        self.wfile.write(body[: len(body) // 2 if self.attack == "cut off" else None])
        return None


@pytest.fixture
def hub():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Hub", (Hub,), {}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def ask(hub, home):
    """What a process of its own gets of the hub: ("path" or "error", text)."""
    address = f"http://127.0.0.1:{hub.server_address[1]}"
    environment = {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_ETAG_TIMEOUT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


class TestHostileHub:
    @pytest.mark.slow
    @pytest.mark.parametrize("attack", ["wrong bytes", "cut off", "lies", "redirect", "hangs"])
    def test_an_attack_is_refused_and_a_second_try_goes_on(self, hub, tmp_path, attack):
        pytest.importorskip("huggingface_hub")
        hub.RequestHandlerClass.attack = attack
        kind, text = ask(hub, tmp_path)
        assert kind == "error", text
        assert "was damaged" in text or text.endswith("Give a file.")
        named = [path for path in tmp_path.rglob("*") if path.name in (DIGEST, "model.safetensors")]
        assert not named, "a file that is not whole has the name of a whole one"
        hub.RequestHandlerClass.attack = "none"
        kind, text = ask(hub, tmp_path)
        assert kind == "path", text
        assert Path(text).read_bytes() == CONTENT
