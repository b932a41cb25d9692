"""`make demo`: the whole loop on the made-up author, from her platforms to a LinkedIn post.

The exit code is 0 only if all of it happened.
It runs under its own author id in the user's TWIN_HOME, so that `make up DEMO=1` shows the result on the page.
"""

import os
import sys
import time

from rich.console import Console

from demo.content import PLATFORMS
from demo.exports import linkedin_export, medium_export
from demo.server import PlatformServer
from twin_assets.core.authors import Author
from twin_assets.core.collection import add_source, import_export
from twin_assets.core.errors import TwinError
from twin_assets.core.workspace import Workspace
from twin_assets.operations import DEMO_PORT, port_is_free
from twin_assets.progress import run_with_progress, show_drafts
from twin_assets.settings import Settings, get_settings

AUTHOR = "maren-oduya"
PROMPT = "What flaky data pipelines really cost a small team, and what we did about it"
LINK = "/web/flaky-pipelines-survey.html"


def add_demo_author(workspace: Workspace, server: PlatformServer) -> None:
    """Add the demo author with all her sources: four platforms over HTTP, an export and a folder."""
    known = {author.id: author for author in workspace.authors.list()}
    workspace.authors.save(
        Author(
            id=AUTHOR,
            name="Maren Oduya",
            sources=known[AUTHOR].sources if AUTHOR in known else (),
            approval="auto",
        )
    )
    add_source(workspace, AUTHOR, "medium", f"{server.url}/medium/feed/@maren-oduya")
    add_source(workspace, AUTHOR, "substack", f"{server.url}/substack")
    add_source(workspace, AUTHOR, "github", "maren-oduya", api_url=f"{server.url}/github")
    add_source(workspace, AUTHOR, "feed", f"{server.url}/blog/feed.xml")
    add_source(workspace, AUTHOR, "files", str(PLATFORMS / "notes"))
    exports = workspace.settings.home / "demo"
    exports.mkdir(parents=True, exist_ok=True)
    for name, write in (("linkedin.zip", linkedin_export), ("medium.zip", medium_export)):
        import_export(workspace, AUTHOR, write(exports / name))


def demo_settings() -> Settings:
    """The user's settings, with fetches from the demo's platforms allowed here and in the processes started here."""
    hosts = (get_settings().allowed_hosts, f"127.0.0.1:{DEMO_PORT}")
    os.environ["TWIN_ALLOWED_HOSTS"] = ",".join(name for name in hosts if name)
    get_settings.cache_clear()
    return get_settings()


def compose(settings: Settings, server: PlatformServer, console: Console) -> bool:
    """Serve the approved model, draft a post from a prompt and a link, print it; True if both drafts came."""
    from twin_serving.client import TwinClient
    from twin_serving.server import running_server

    console.rule("compose")
    console.print(f"prompt: {PROMPT}\nlink:   {server.url}{LINK}", highlight=False)
    with (
        console.status("starting the serving API …"),
        running_server(settings) as url,
        TwinClient(url, timeout=120) as client,
    ):
        answer = client.compose(AUTHOR, PROMPT, links=[f"{server.url}{LINK}"])
    show_drafts(answer)
    read = all(link["status"] == "read" for link in answer["links"])
    return read and {draft["kind"] for draft in answer["drafts"]} == {"assembled", "model"}


def main() -> int:
    """Run the demo and return the exit code."""
    console = Console()
    begun = time.monotonic()
    if not port_is_free("127.0.0.1", DEMO_PORT):
        console.print(
            f"Port {DEMO_PORT} for the demo's platforms is in use (is `make up DEMO=1` running?); stop it first."
        )
        return 1
    settings = demo_settings()
    workspace = Workspace(settings)
    with PlatformServer(port=DEMO_PORT) as server:
        try:
            add_demo_author(workspace, server)
            outcome = run_with_progress("twin", AUTHOR, settings)
            approved = workspace.registry.approved(AUTHOR)
            drafted = outcome.success and approved is not None and compose(settings, server, console)
        except TwinError as error:
            console.print(f"[red]{error}[/]")
            return 1
    console.rule(f"{time.monotonic() - begun:.0f} s")
    if not drafted:
        console.print("[red]The demo did not get all the way; what failed is above.[/]")
        return 1
    console.print("Open next: `make up DEMO=1`, then")
    console.print(f"  the page     http://127.0.0.1:{settings.ui_port}/?author={AUTHOR}")
    console.print(f"  Dagster      http://127.0.0.1:{settings.dagster_port}")
    console.print(f"  the API      http://127.0.0.1:{settings.port}/docs")
    console.print(f"  MLflow       http://127.0.0.1:{settings.mlflow_port}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
