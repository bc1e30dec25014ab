"""Published checkpoints are loaded by name, from a stand-in of the servers."""

import http.server
import threading
from dataclasses import replace
from hashlib import sha256
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save

from keras_seg import checkpoints, inference, models
from keras_seg.models.published import is_published, published_file
from keras_seg.published_weights import PUBLISHED, ROWS
from keras_seg.training import Recipe
from keras_seg.training.checks import check_before_data
from keras_seg.weights.downloads import download_file
from tests.helpers.reference import CASES, image, read_golden, state_dict

NAME = "unet-carvana_half"


class Server(http.server.BaseHTTPRequestHandler):
    """Gives `content`, or the part that is asked for; `fault` says how it fails."""

    content, fault, asked = b"", "", []

    def log_message(self, *_):
        pass

    def do_GET(self):
        cls = type(self)
        cls.asked.append(self.headers.get("Range"))
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        if start >= len(cls.content) or cls.fault == "missing":
            self.send_error(416 if start else 404)
            return
        body = cls.content[start:]
        self.send_response(206 if start else 200)
        kind = "text/html" if cls.fault == "page" else "application/octet-stream"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cls.fault == "cut" else body)


@pytest.fixture
def server():
    handler = type("Handler", (Server,), {"asked": []})
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    running.daemon_threads = True
    threading.Thread(target=running.serve_forever, daemon=True).start()
    handler.url = f"http://127.0.0.1:{running.server_address[1]}"
    yield handler
    running.shutdown()
    running.server_close()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "keras_seg"


class TestDownload:
    def test_a_download_that_was_cut_short_continues(self, server, tmp_path):
        server.content, server.fault = bytes(range(256)) * 64, "cut"
        path, url = tmp_path / "new" / "m.pth", f"{server.url}/m.pth"
        with pytest.raises(RuntimeError, match=r"8192 of 16384 bytes arrived.*By hand\."):
            download_file(url, path, remedy="By hand.")
        assert not path.exists()
        server.fault = ""
        download_file(url, path, sha256=sha256(server.content).hexdigest()[:8])
        assert path.read_bytes() == server.content
        assert server.asked == [None, "bytes=8192-"]
        assert [entry.name for entry in path.parent.iterdir()] == ["m.pth"]

    def test_a_part_that_is_longer_than_the_file_is_fetched_anew(self, server, tmp_path):
        server.content = b"short"
        (tmp_path / "m.pth.part").write_bytes(b"longer than the file")
        download_file(f"{server.url}/m.pth", tmp_path / "m.pth")
        assert (tmp_path / "m.pth").read_bytes() == b"short"

    def test_another_file_than_the_published_one_is_removed(self, server, tmp_path):
        server.content = b"other"
        with pytest.raises(RuntimeError, match="another file than the published one"):
            download_file(f"{server.url}/m.pth", tmp_path / "m.pth", sha256="0" * 64)
        assert [*tmp_path.iterdir()] == []

    @pytest.mark.parametrize(("fault", "reason"), [("page", "a web page"), ("missing", "404")])
    def test_a_page_or_a_missing_file_is_refused(self, server, tmp_path, fault, reason):
        server.content, server.fault = b"<html>", fault
        with pytest.raises(RuntimeError, match=reason):
            download_file(f"{server.url}/m.pth", tmp_path / "m.pth")

    def test_other_addresses_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match="http or https"):
            download_file("file:///etc/hostname", tmp_path / "m.pth")


def published(server):
    """Gives the golden weights of a small network under a published name."""
    facts, _ = read_golden(next(path for path in CASES if path.stem == "unet_milesial_narrow_odd"))
    tensors = state_dict(facts["manifest"], facts["seed"], facts["norm_scale"])
    server.content = save(tensors)
    url = f"{server.url}/unet.safetensors"
    return facts, tensors, replace(PUBLISHED[NAME], url=url, options={"preprocessing": "unit"})


class TestByName:
    def test_it_is_downloaded_and_converted_once(self, server, home, monkeypatch):
        facts, tensors, row = published(server)
        row = replace(row, sha256=sha256(server.content).hexdigest())
        monkeypatch.setitem(PUBLISHED, NAME, row)
        pixels = 255 * image(facts["input_shape"], 0).clip(0, 1)
        expected = checkpoints.convert(tensors, "milesial", preprocessing="unit")(pixels)
        for _ in range(2):
            np.testing.assert_array_equal(models.load(NAME)(pixels), expected)
        assert server.asked == [None]
        card = models.read_card(NAME)
        assert card.classes.names == ("background", "car") and card.network == "unet"
        assert inference.load(NAME).card == card
        assert published_file(NAME).is_relative_to(home)
        fresh = models.build("unet", (None, None, 3), 2, **_options_of(facts), weights=NAME)
        np.testing.assert_array_equal(fresh(pixels), expected)

    def test_without_a_connection_the_message_says_what_to_do_by_hand(
        self, server, home, monkeypatch
    ):
        _, _, row = published(server)
        content, server.content = server.content, b""
        monkeypatch.setitem(PUBLISHED, NAME, row)
        path = home / "checkpoints" / f"{NAME}.safetensors"
        with pytest.raises(RuntimeError, match=r"404.*by hand from http://.*save it as") as error:
            models.load(NAME)
        assert str(path) in str(error.value)
        path.write_bytes(content)
        assert models.load(NAME).output.shape[-1] == 2

    def test_a_file_behind_a_page_is_for_the_hand(self, home):
        with pytest.raises(RuntimeError, match=r"behind a web page.*drive\.google\.com"):
            models.load("deeplabv3plus_resnet101-cityscapes")

    def test_a_damaged_file_is_named(self, server, home, monkeypatch):
        _, _, row = published(server)
        server.content = server.content[:1000]
        monkeypatch.setitem(PUBLISHED, NAME, row)
        with pytest.raises(ValueError, match=rf"file of '{NAME}', is not converted.*remove it"):
            models.load(NAME)

    def test_a_misspelt_name_has_the_nearest(self):
        with pytest.raises(ValueError, match="Did you mean 'hrnet_w48-cityscapes'"):
            models.load("hrnet_w48_cityscapes")

    def test_a_file_of_that_name_is_a_path(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert is_published(NAME) and is_published("hf:user/repo")
        (tmp_path / NAME).write_text("")
        assert not is_published(NAME) and not is_published(tmp_path / "m.keras")

    def test_a_recipe_takes_the_name(self):
        engine = SimpleNamespace(check_batch=lambda size, parts: None)
        recipe = Recipe(data="builtin:cells", output="run", initial_weights=NAME)
        check_before_data(recipe, engine)
        with pytest.raises(FileNotFoundError, match="initial_weights: "):
            check_before_data(replace(recipe, initial_weights=f"{NAME}.keras"), engine)


def _options_of(facts):
    """Options of the builder that give the network of the golden weights."""
    from keras_seg.models.variants import UNetVariant

    widths = [facts["manifest"]["inc.double_conv.0.weight"][0]]
    widths += [
        facts["manifest"][f"down{i}.maxpool_conv.1.double_conv.3.weight"][0] for i in (1, 2, 3, 4)
    ]
    return {
        "widths": tuple(widths),
        "preprocessing": "unit",
        "variant": UNetVariant(resize_grid="align_corners", any_size=True),
    }


class TestTable:
    def test_rows_are_complete(self):
        assert models.list_weights() == sorted(row.name for row in ROWS)
        sources = checkpoints.list_sources()
        for row in ROWS:
            assert row.shipped or row.source in sources
            assert row.page.startswith("https://github.com/")
            assert row.url.startswith("https://") and row.licence and row.trained_on
            assert (row.miou is None) == (not row.measured)
            assert len({row.file for row in ROWS}) == len(ROWS)
            assert "." not in row.name, "inference.load takes what has a suffix for a path"

    def test_one_row(self):
        row = models.find_weights("hrnet_w48-cityscapes")
        assert (row.miou, row.licence, len(row.classes)) == (80.9, "MIT", 19)
        with pytest.raises(ValueError, match="Unknown published checkpoint 'hrnet'"):
            models.find_weights("hrnet")
