"""From an approval to the fast engine: exported off the path of requests, measured, and never a mixed answer."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.serving_models import make_adapter, make_base, register
from tests.stream_server import StreamServer
from twin_assets.core import serving_export
from twin_assets.core.authors import Author
from twin_assets.core.errors import ModelError, UnknownModelError
from twin_assets.core.serving_export import FOLDER, RECORD, engine_of, export_version, judged, read_export, refused
from twin_assets.core.voice_edits import Voice
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings
from twin_serving.chat.chat_stream import Chunk
from twin_serving.chat.exporting import Exporter
from twin_serving.chat.models import NoApprovedModelError, ServedModels
from twin_serving.composing.drafting import Drafting, Generator, Written, notice_of
from twin_serving.composing.library import AuthorLibrary
from twin_serving.composing.material import Material
from twin_serving.engines.endpoint_engine import EndpointEngine
from twin_serving.engines.onnx_engine import OnnxEngine
from twin_serving.engines.streaming import Generation
from twin_serving.engines.transformers_engine import TransformersEngine
from twin_serving.schemas import ComposeRequest

ASK = Generation([{"role": "user", "content": "Write about tests."}], max_tokens=8, temperature=0.0)


@pytest.fixture
def deployed(tmp_path: Path) -> Workspace:
    """Ann with two versions on one base, and held-out texts."""
    workspace = Workspace(Settings(home=tmp_path / "home", engine="auto"))
    workspace.authors.save(Author(id="ann", name="Ann Example"))
    workspace.authors.save(Author(id="ben", name="Ben Example"))
    text = "I wrote about tests today. A test that cannot fail says nothing."
    rows = [
        {
            "author": "ann", "sample_id": f"d{number}:0", "document_id": f"d{number}", "position": 0, "form": "post",
            "instruction": "Write about tests.", "context": "", "target": text[number:],
            "split": "test" if number < 2 else "train", "excluded": None,
        }
        for number in range(4)
    ]  # fmt: skip
    workspace.lake.replace_author("samples", "ann", rows)
    made = tmp_path / "made"
    make_base(made / "base", heads=2)
    for seed in (1, 2):
        shutil.rmtree(made / "adapter", ignore_errors=True)
        make_adapter(made / "base", made / "adapter", seed)
        delta = workspace.lake.version("samples")
        register(workspace.registry, "ann", made, f"f{seed}", dataset_delta_version=delta)
    return workspace


def until(holds: Callable[[], bool], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.3)  # what is waited for needs the processor


def test_an_approved_version_is_exported_while_the_reference_serves(deployed: Workspace) -> None:
    deployed.registry.approve("ann", "1", "test", by="test")
    models = ServedModels(deployed)
    models.start()
    try:
        kinds: list[type] = []
        answers = set()

        def ask() -> bool:
            served = models.get("ann")
            assert served.name == "ann@1"
            engine = served.engine
            kinds.append(type(engine))
            pieces = list(engine.generate(ASK))
            assert pieces[-1].finish is not None
            answers.add((type(engine), "".join(piece.text for piece in pieces)))
            return kinds[-1] is OnnxEngine

        until(ask)
        assert kinds[0] is TransformersEngine
        assert kinds.count(OnnxEngine) == 1
        # One text of each engine, from the first answer to the last.
        assert len(answers) == 2
        folder = deployed.registry.folder("ann", "1")
        found = read_export(folder)
        assert found is not None
        assert (found.engine, found.samples) == ("onnx", 2)
        assert found.seconds > 0
        assert {path.name for path in folder.iterdir()} == {"adapter", "base", FOLDER}
        assert export_version(deployed, deployed.registry.get("ann", "1")) == found
        shown = engine_of(deployed, deployed.registry.get("ann", "1"))
        assert (shown["name"], shown["loss"], shown["reason"]) == ("onnx", found.loss, found.reason)
        assert engine_of(deployed, deployed.registry.get("ann", "2"))["reason"] == "it is not exported yet"
        # The other version is not exported, the base without adapter never is.
        assert type(models.get("ann@2").engine) is TransformersEngine
        assert type(models.get("ann@base").engine) is TransformersEngine
        # Whoever deletes a version's files deletes its export.
        deployed.registry.delete_files("ann", "1")
        assert not folder.exists()
    finally:
        models.stop()


def test_loss_decides(deployed: Workspace) -> None:
    assert judged(2.03, 2.0).engine == "onnx"
    assert judged(1.5, 2.0).engine == "onnx"
    worse = judged(2.05, 2.0)
    assert (worse.engine, worse.reason) == (
        "reference", "its held-out loss is 2.50% above the reference's, more than 2%: the reference serves",
    )  # fmt: skip
    assert judged(float("nan"), 2.0).engine == "reference"


def test_what_cannot_be_exported_is_kept_with_its_reason(deployed: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little memory, a worker that fails, none of it tried again; a killed try leaves nothing behind."""
    first, second = (deployed.registry.get("ann", number) for number in ("1", "2"))
    folders = [deployed.registry.folder("ann", number) for number in ("1", "2")]
    (folders[0] / f".{FOLDER}-killed").mkdir()
    monkeypatch.setattr(serving_export, "MEMORY_FACTOR", 1e12)
    found = export_version(deployed, first)
    assert found is not None
    assert "GB of memory" in found.reason
    assert found.passing
    monkeypatch.undo()
    assert read_export(folders[0]) == found
    assert {path.name for path in folders[0].iterdir()} == {"adapter", "base", FOLDER}
    assert [path.name for path in (folders[0] / FOLDER).iterdir()] == [RECORD]
    (folders[1] / "adapter" / "adapter_model.safetensors").write_bytes(b"cut off")
    broken = export_version(deployed, second)
    assert broken is not None
    assert broken.reason.startswith("it cannot be exported: ")
    assert not broken.passing
    assert export_version(deployed, second) == broken
    # Made by other code, it is made again, and so is what may be over.
    assert export_version(deployed, first, stopped=lambda: True) is None
    old = json.loads((folders[0] / FOLDER / RECORD).read_text("utf-8")) | {"export_version": "0"}
    (folders[0] / FOLDER / RECORD).write_text(json.dumps(old), encoding="utf-8")
    assert read_export(folders[0]) is None
    assert export_version(deployed, first, stopped=lambda: True) is None
    assert {path.name for path in folders[0].iterdir()} == {"adapter", "base", FOLDER}


def test_without_held_out_texts_or_files_it_raises_and_the_exporter_goes_on(
    deployed: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported: list[tuple[str, str]] = []
    exporter = Exporter(deployed, lambda *version: exported.append(version))
    exporter.offer("ann", "1")  # not started: nothing happens
    exporter.start()
    made = refused("not here").model_copy(update={"engine": "onnx"})
    asked: list[str] = []

    def export(_: Workspace, version: object, stopped: object) -> object:
        asked.append(version.version)  # type: ignore[attr-defined]
        if len(asked) == 1:
            raise ModelError("the store is away")
        return made

    monkeypatch.setattr("twin_serving.chat.exporting.export_version", export)
    register(deployed.registry, "ann", tmp_path / "made", "f3", dataset_delta_version=0)
    for version in ("1", "2", "1", "2", "3"):
        deployed.registry.approve("ann", version, "test", by="test")
    folders = {version: deployed.registry.folder("ann", version) / FOLDER for version in ("1", "2", "3")}
    for folder in folders.values():
        folder.mkdir()
    for version in ("3", "1", "3"):
        exporter.offer("ann", version)
    until(lambda: not folders["1"].exists())
    # The first try failed, 1 does not serve; what serves and what a rollback would serve keep theirs.
    assert (asked, exported) == (["3", "3"], [("ann", "3")])
    assert folders["2"].exists()
    assert folders["3"].exists()
    exporter.stop()


def test_the_generator_answers_where_nothing_is_approved(deployed: Workspace) -> None:
    without = ServedModels(deployed)
    with pytest.raises(NoApprovedModelError):
        without.get("ann")
    with pytest.raises(UnknownModelError, match="TWIN_GENERATOR_URL"):
        without.get("ann@generator")
    settings = {"generator_url": "http://127.0.0.1:9/v1", "generator_model": "big"}
    fallback = ServedModels(Workspace(deployed.settings.model_copy(update=settings)))
    for name, answers in (("ann", "ann"), ("ben", "ben"), ("ann@generator", "ann")):
        served = fallback.get(name)
        assert (served.name, type(served.engine)) == (f"{answers}@generator:big", EndpointEngine)
    deployed.registry.approve("ann", "1", "test", by="test")
    assert fallback.get("ann").name == "ann@1"
    assert fallback.get("ann@2").name == "ann@2"
    always = ServedModels(Workspace(deployed.settings.model_copy(update={**settings, "generator": "always"})))
    assert (always.get("ann").name, always.get("ann@1").name) == ("ann@generator:big", "ann@1")


def test_composing_asks_the_generator_and_says_so(deployed: Workspace) -> None:
    """Prepared within the generator's context, written through the worker's models, named as what it is."""
    with StreamServer(["Bread ", "rises."]) as server:
        settings = {"generator_url": server.url, "generator_model": "big", "generator_context": 1024}
        workspace = Workspace(deployed.settings.model_copy(update=settings))
        models = ServedModels(workspace)

        class Writing:
            """An answer of the worker's models, without HTTP in between."""

            def __init__(self, model: str, messages: list[dict[str, str]], *, max_tokens: int, seed: int) -> None:
                self.served = models.get(model)
                self.generation = Generation(messages, max_tokens, seed=seed)

            def __iter__(self) -> Iterator[Chunk]:
                for piece in self.served.engine.generate(self.generation):
                    yield Chunk(piece.text, self.served.name, piece.finish)

            def close(self) -> None:
                pass

        drafting = Drafting(workspace, Writing)
        version = drafting.version("ben")
        assert isinstance(version, Generator)
        assert (version.version, version.base_model, version.dataset_version) == ("generator:big", "big", None)
        assert "big, a general model" in str(notice_of(version))
        request = ComposeRequest(author="ben", prompt="Write about bread", reply_to="Why? " * 2000, format="reply")
        material = Material(workspace.authors.get("ben"), request, AuthorLibrary(None, {}, None), [], [], Voice())
        written = [item for item in drafting.write(drafting.prepare(material, version)) if isinstance(item, Written)]
    assert [(draft.text, draft.served, draft.finish) for draft in written] == [
        ("Bread rises.", "ben@generator:big", "stop")
    ]
    (asked,) = server.requests
    assert "Ben Example" in asked["messages"][0]["content"]
    assert sum(len(message["content"]) for message in asked["messages"]) < 2 * 1024
