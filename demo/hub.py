"""A loopback server that speaks the Hugging Face hub's protocol for models kept in local folders."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from demo.loopback import LoopbackServer
from demo.messages import Request, Response

LARGE = (
    ".safetensors",
    ".bin",
    ".gguf",
    ".onnx",
    ".model",
)  # what the hub keeps in LFS and answers with a redirect
_API = re.compile(r"/api/models/(?P<model>[^/]+/[^/]+)(?:/(?P<kind>revision|tree)/(?P<revision>[^/]+)(?:/.*)?)?")
_RESOLVE = re.compile(r"/(?P<model>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
_STORED = re.compile(r"/lfs/(?P<model>[^/]+/[^/]+)/(?P<file>.+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class HubServer(LoopbackServer):
    """Serves `models` (hub id to folder) as the hub does; clients take `url` as HF_ENDPOINT or `endpoint=`.

    A model's commit is a hash of its files, so an edited folder is a new revision. Large files are redirected to
    a store of their own with `X-Linked-*` headers, ranges included. Revisions are `main` and the commit.
    """

    def __init__(self, models: dict[str, Path], port: int = 0) -> None:
        self.models = models
        super().__init__(port)

    def respond(self, request: Request) -> Response:
        """The routes: model information, file tree, files."""
        if found := _STORED.fullmatch(request.path):
            return self._stored(request, found["model"], found["file"])
        found = _API.fullmatch(request.path) or _RESOLVE.fullmatch(request.path)
        if found is None:
            return _error(404, "Not Found", "")
        parts = found.groupdict()
        model, revision = parts["model"], parts["revision"] or "main"
        if model not in self.models:
            # Without credentials the hub does not say whether a model is missing or private.
            return _error(401, "Invalid username or password.", "RepoNotFound")
        files = self._files(model)
        commit = _commit(files)
        if revision not in ("main", commit):
            return _error(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        if "file" in parts:
            return self._resolve(request, model, parts["file"], commit)
        answer = _tree(files) if parts["kind"] == "tree" else _information(model, files, commit)
        return Response(200, json.dumps(answer).encode(), {"Content-Type": "application/json; charset=utf-8"})

    def _files(self, model: str) -> dict[str, bytes]:
        folder = self.models[model]
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}

    def _resolve(self, request: Request, model: str, name: str, commit: str) -> Response:
        data = self._files(model).get(name)
        if data is None:
            return _error(404, "Entry not found", "EntryNotFound", commit)
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if not name.endswith(LARGE):
            return _part(request, data, headers | {"ETag": f'"{_blob_id(data)}"'})
        # The store has another host name, as the hub's has: clients take the metadata from this very answer.
        headers |= {
            "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Linked-Size": str(len(data)),
            "Location": f"http://localhost:{self.port}/lfs/{model}/{name}",
        }
        return Response(302, b"", headers)

    def _stored(self, request: Request, model: str, name: str) -> Response:
        data = self._files(model).get(name) if model in self.models else None
        if data is None:
            return _error(404, "Entry not found", "EntryNotFound")
        return _part(request, data, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "Accept-Ranges": "bytes"})


def _information(model: str, files: dict[str, bytes], commit: str) -> dict[str, Any]:
    return {
        "_id": commit[:24],
        "id": model,
        "modelId": model,
        "author": model.split("/")[0],
        "sha": commit,
        "lastModified": "2026-01-01T00:00:00.000Z",
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": [{"rfilename": name} for name in files],
    }


def _tree(files: dict[str, bytes]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, data in files.items():
        row: dict[str, Any] = {"type": "file", "oid": _blob_id(data), "size": len(data), "path": name}
        if name.endswith(LARGE):
            row["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        rows.append(row)
    return rows


def _part(request: Request, data: bytes, headers: dict[str, str]) -> Response:
    """The whole file, or the range of bytes asked for."""
    headers = {"Content-Type": "application/octet-stream"} | headers
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    if found is None:
        return Response(200, data, headers)
    first, last = int(found[1]), min(int(found[2] or len(data)), len(data) - 1)
    if first > last:
        return Response(416, b"", headers | {"Content-Range": f"bytes */{len(data)}"})
    return Response(206, data[first : last + 1], headers | {"Content-Range": f"bytes {first}-{last}/{len(data)}"})


def _blob_id(data: bytes) -> str:
    """Git's id of a blob, the hub's ETag of a small file."""
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()


def _commit(files: dict[str, bytes]) -> str:
    listing = "".join(f"{_blob_id(data)} {name}\n" for name, data in files.items())
    return hashlib.sha1(listing.encode(), usedforsecurity=False).hexdigest()


def _error(status: int, message: str, code: str, commit: str = "") -> Response:
    headers = {"Content-Type": "application/json; charset=utf-8", "X-Error-Message": message}
    headers |= {"X-Error-Code": code} if code else {}
    headers |= {"X-Repo-Commit": commit} if commit else {}
    return Response(status, json.dumps({"error": message}).encode(), headers)
