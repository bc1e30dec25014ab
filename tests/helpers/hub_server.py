"""A stand-in of the Hugging Face hub on this machine: it keeps repositories as folders."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

COMMIT = "1" * 40


class HubHandler(http.server.BaseHTTPRequestHandler):
    """Answers what huggingface_hub asks to list, download, create and upload.

    Files of `root`/user/repo are those of the repository user/repo, on every branch.
    """

    root = Path()

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, content: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", headers.pop("length", str(len(content))))
        self.send_header("X-Repo-Commit", COMMIT)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def answer_json(self, record: object) -> None:
        self.answer(json.dumps(record).encode(), Content_Type="application/json")

    def do_GET(self) -> None:
        parts = urlparse(self.path).path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            return self.describe(self.root / parts[2] / parts[3], parts[4:5] == ["tree"])
        file = self.root / parts[0] / parts[1] / "/".join(parts[4:])
        if not file.is_file():
            return self.answer(b"", 404, X_Error_Code="EntryNotFound")
        content = file.read_bytes()
        return self.answer(content, ETag=f'"{hashlib.sha256(content).hexdigest()}"')

    do_HEAD = do_GET

    def describe(self, folder: Path, tree: bool) -> None:
        if not folder.is_dir():
            return self.answer(b"", 404, X_Error_Code="RepoNotFound")
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [path.relative_to(folder).as_posix() for path in files]
        if not tree:
            siblings = [{"rfilename": name} for name in names]
            record = {"id": f"{folder.parent.name}/{folder.name}", "sha": COMMIT}
            return self.answer_json(record | {"siblings": siblings})
        return self.answer_json(
            [
                {"type": "file", "path": name, "size": path.stat().st_size, "oid": "0" * 40}
                for name, path in zip(names, files, strict=True)
            ]
        )

    def do_POST(self) -> None:
        body = self.body()
        if self.path.endswith("/repos/create"):
            record = json.loads(body)
            name = f"{record.get('organization') or 'me'}/{record['name']}"
            (self.root / name).mkdir(parents=True, exist_ok=True)
            return self.answer_json({"url": f"http://{self.headers['Host']}/{name}"})
        if "/preupload/" in self.path:
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return self.answer_json({"files": files})
        if "/commit/" in self.path:
            user, repo = self.path.split("/")[3:5]
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    path = self.root / user / repo / entry["value"]["path"]
                    path.write_bytes(base64.b64decode(entry["value"]["content"]))
            address = f"http://{self.headers['Host']}/{user}/{repo}/commit/{COMMIT}"
            return self.answer_json(
                {"commitUrl": address, "commitOid": COMMIT, "success": True, "hookOutput": ""}
            )
        return self.answer_json({})

    def body(self) -> bytes:
        """What was sent, in one piece or in chunks."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)


@contextlib.contextmanager
def hub_server(root: Path) -> Iterator[str]:
    """Runs a hub with the repositories of a folder; yields its address, for HF_ENDPOINT."""
    handler = type("Handler", (HubHandler,), {"root": root})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
