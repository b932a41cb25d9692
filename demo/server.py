"""The loopback server that plays LinkedIn's exports, Medium, Substack, GitHub, a blog and the web.

Used by the demo and by the tests. In the foreground: `python -m demo.server --port 8731`.
"""

import argparse
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo.content import PLATFORMS, Content
from demo.exports import export_bytes
from demo.github import GitHub
from demo.linkedin import LinkedIn
from demo.loopback import LoopbackServer
from demo.messages import Request, Response
from demo.pages import Pages, not_found
from demo.publishing import Publishing

ROBOTS = "User-agent: *\nDisallow: /private/\nAllow: /\n"


class PlatformServer(LoopbackServer):
    """The demo author's platforms on 127.0.0.1, from an in-memory copy of the content.

    Sources: `<url>/medium/feed/@<user>`, `<url>/substack`, `<url>/github` (the API), `<url>/blog/feed.xml`,
    `<url>/linkedin` (the portability API, token `demo.linkedin.TOKEN`),
    `<url>/web/<name>.html`, `<url>/exports/<linkedin|medium|substack>.zip`; `robots` is what /robots.txt says.
    Raises FileNotFoundError where the content folder is missing, OSError where the port is taken.
    """

    def __init__(self, content: Path = PLATFORMS, port: int = 0) -> None:
        self.content = Content(content)
        super().__init__(port)
        self.publishing = Publishing(self.content)
        self.github = GitHub(self.content, f"{self.url}/github")
        self.linkedin = LinkedIn(self.content)
        self.pages = Pages(self.content, self.url)
        self.robots = ROBOTS

    def add_post(self, platform: str, title: str, text: str) -> str:
        """Publish on medium, substack, blog or github (title: `<repository>/<path>`); returns the id."""
        with self.lock:
            return self.publishing.add(platform, title, text)

    def change_post(self, platform: str, id: str, text: str) -> None:
        """Replace a post's text; ETag, Last-Modified and commit move with it. KeyError: no such id."""
        with self.lock:
            self.publishing.change(platform, id, text)

    def remove_post(self, platform: str, id: str) -> None:
        """Take a post or file away. KeyError: no such id."""
        with self.lock:
            self.publishing.remove(platform, id)

    def set_github_quota(self, remaining: int, *, token: str | None = None, resets_in: float = 3600.0) -> None:
        """Leave a GitHub caller this many requests for the next `resets_in` seconds."""
        with self.lock:
            self.github.set_quota(remaining, token=token, resets_in=resets_in)

    def is_control(self, request: Request) -> bool:
        """Requests below /control/ steer the server."""
        return request.path.startswith("/control/")

    def respond(self, request: Request) -> Response:
        """The routes, by the first part of the path."""
        _, platform, *rest = request.path.split("/")
        below = "/" + "/".join(rest)
        if self.is_control(request):
            return self._control(request, below)
        if request.method not in ("GET", "HEAD") and request.path != "/github/graphql":
            return Response(405, b"", {"Allow": "GET, HEAD"})
        routes: dict[str, Callable[[Request, str], Response]] = {
            "medium": self.pages.medium,
            "substack": self.pages.substack,
            "github": self.github.respond,
            "linkedin": self.linkedin.respond,
            "blog": self.pages.blog,
            "web": self.pages.web,
            "exports": self._export,
            "robots.txt": self._robots,
        }
        route = routes.get(platform)
        return route(request, below) if route else not_found()

    def _robots(self, request: Request, path: str) -> Response:
        return Response(200, self.robots.encode(), {"Content-Type": "text/plain; charset=utf-8"})

    def _export(self, request: Request, path: str) -> Response:
        try:
            body = export_bytes(path.removeprefix("/").removesuffix(".zip"), self.content)
        except KeyError:
            return not_found()
        disposition = f'attachment; filename="{path.removeprefix("/")}"'
        return Response(200, body, {"Content-Type": "application/zip", "Content-Disposition": disposition})

    def _control(self, request: Request, action: str) -> Response:
        host = request.headers.get("host", "").rsplit(":", 1)[0]
        if host not in ("127.0.0.1", "localhost") or "origin" in request.headers:
            return _answer(403, {"error": "The control routes answer programs on this machine, not web pages."})
        if request.method != "POST":
            return _answer(405, {"error": "The control routes take POST with a JSON object."})
        try:
            return _answer(200, self._steer(action, json.loads(request.body or b"{}")))
        except KeyError as missing:
            return _answer(404, {"error": f"There is no {missing} here: give the id of something published."})
        except (TypeError, ValueError) as problem:
            return _answer(400, {"error": str(problem)})

    def _steer(self, action: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if action == "/add":
            return {"id": self.add_post(**arguments)}
        if action == "/fail":
            self.fail(arguments.pop("path_prefix"), **arguments)
            return {}
        actions: dict[str, Callable[..., None]] = {
            "/change": self.change_post,
            "/remove": self.remove_post,
            "/clear": self.clear_faults,
        }
        actions[action](**arguments)
        return {}


def _answer(status: int, answer: dict[str, Any]) -> Response:
    return Response(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})


def main() -> None:
    """Serve the demo content until Ctrl-C."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=8731)
    parser.add_argument("--content", type=Path, default=PLATFORMS)
    options = parser.parse_args()
    try:
        platforms = PlatformServer(options.content, options.port)
    except OSError as problem:
        raise SystemExit(f"The demo cannot start on port {options.port}: {problem}. Try --port.") from None
    with platforms as server:
        print(f"The demo author's platforms are at {server.url}; Ctrl-C stops them.", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("Stopped.")


if __name__ == "__main__":
    main()
