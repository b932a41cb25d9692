"""The parts of a bundle, each with how it is written and read: reports, voice, index, cards, merged weights."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from twin_assets.core.authors import Author
from twin_assets.core.documents import COLLECTIONS
from twin_assets.core.errors import ConfigurationError, InputError, UnknownAuthorError, VectorIndexError
from twin_assets.core.features import INDEX_LAYOUT, index_points
from twin_assets.core.index import Point, model_of
from twin_assets.core.lineage import Lineage, documents_of_record, lineage
from twin_assets.core.registry import ModelVersion

if TYPE_CHECKING:
    from twin_assets.core.bundles import Manifest
    from twin_assets.core.workspace import Workspace

ELSEWHERE = "imported-"  # names of reports that another machine made
VOICE = {"profile.json": ".json", "edits.json": ".edits.json", "voice.npz": ".voice.npz"}
POINTS: dict[str, Any] = {
    "chunk_id": pl.String, "point_hash": pl.String, "collection": pl.String, "dense": pl.List(pl.Float32),
    "terms": pl.List(pl.Int64), "weights": pl.List(pl.Float64), "payload": pl.String,
}  # fmt: skip


def merge(workspace: "Workspace", version: ModelVersion, folder: Path) -> None:
    """Write the version's adapter merged into its base, with the tokenizer; raises ModelError."""
    from twin_assets.core.training.loading import load_version

    model, tokenizer = load_version(workspace, version)
    model.merge_and_unload().save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def write_reports(workspace: "Workspace", version: ModelVersion, folder: Path) -> None:
    """The version's evaluations without the texts in them, and what it was made from."""
    for name, report in workspace.registry.reports(version.author, version.version).items():
        _write_json(folder / "reports" / f"{name}.json", without_texts(report))
    _write_json(
        folder / "lineage.json",
        {"documents": lineage(workspace, version.author, version.version).to_dict()["documents"]},
    )


def without_texts(value: Any) -> Any:
    """A report without its lists of texts: answers, and what they are held against."""
    if isinstance(value, dict):
        return {name: without_texts(each) for name, each in value.items()}
    if isinstance(value, list):
        return [
            without_texts(each) for each in value if not (isinstance(each, dict) and {"target", "text"} & each.keys())
        ]
    return value


def read_reports(workspace: "Workspace", version: ModelVersion, folder: Path) -> None:
    """Keep evaluations and record of the bundle with the version; raises InputError where the record is none.

    Under names of their own: what was measured elsewhere decides nothing here.
    """
    registry = workspace.registry
    for path in sorted((folder / "reports").glob("*.json")):
        name = f"{ELSEWHERE}{path.stem.removeprefix(ELSEWHERE)}"
        registry.record_report(version.author, version.version, _read_json(path), name=name)
    record = _read_json(folder / "lineage.json")
    documents_of_record(record)
    registry.record_lineage(version.author, version.version, record)


def add_author(workspace: "Workspace", author: str, manifest: "Manifest") -> None:
    """Make the author, without sources, where they are not here yet; raises InputError for an impossible id."""
    try:
        workspace.authors.get(author)
    except UnknownAuthorError:
        try:
            workspace.authors.save(Author(id=author, name=manifest.name, names=manifest.names))
        except ValueError as error:
            raise InputError(f"{author!r} is no author id; choose one with --author.") from error


def write_voice(workspace: "Workspace", author: str, folder: Path) -> None:
    """The measured profile, the author's edits and the scorer, as far as there are any."""
    for name, suffix in VOICE.items():
        path = workspace.settings.home / "profiles" / f"{author}{suffix}"
        if path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)


def read_voice(workspace: "Workspace", author: str, folder: Path) -> list[str]:
    """Put the voice's files where the author has none; returns what was left as it was. Raises InputError."""
    from twin_assets.core.voice import VoiceScorer
    from twin_assets.core.voice_edits import check_edits
    from twin_assets.core.voice_profile import VoiceProfile

    checks = {"profile.json": lambda path: VoiceProfile.model_validate(_read_json(path)), "voice.npz": VoiceScorer.load,
              "edits.json": lambda path: check_edits(_read_json(path))}  # fmt: skip
    profiles, kept = workspace.settings.home / "profiles", []
    profiles.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.glob("*")):
        if path.name not in VOICE:
            raise InputError(f"The bundle holds voice/{path.name}, which is no part of a voice; it was not taken in.")
        target = profiles / f"{author}{VOICE[path.name]}"
        if target.exists():
            if target.read_bytes() != path.read_bytes():
                kept.append(f"the {path.stem} of {author}'s voice here stays")
            continue
        try:
            checks[path.name](path)
        except (ValueError, KeyError, OSError, ConfigurationError) as error:
            raise InputError(f"The bundle's voice/{path.name} cannot be read: {error}") from error
        temporary = target.with_suffix(".tmp")
        shutil.copyfile(path, temporary)
        temporary.replace(target)
    return kept


def write_index(workspace: "Workspace", author: str, folder: Path) -> tuple[str | None, int | None]:
    """The published passages with their vectors; (schema, how many), (None, None) where nothing is published.

    Raises VectorIndexError where the lake no longer holds what is published.
    """
    index, lake = workspace.index, workspace.lake
    schema = index.schema(author)
    if schema is None:
        return None, None
    state = index.state(author)
    chunks = lake.read("chunks", author, columns=["chunk_id", "chunk_hash", "text_hash"])
    chunks = chunks.filter(pl.col("chunk_id").is_in(list(state))).sort("chunk_id")
    if dict(chunks.select("chunk_id", "chunk_hash").iter_rows()) != state:
        raise VectorIndexError(f"The index of {author!r} is behind its documents; `twin run {author}` publishes them.")
    points = index_points(lake, author, chunks, workspace.embedder_of(str(model_of(schema))), None)
    rows = [
        {
            "chunk_id": point.chunk_id, "point_hash": point.point_hash, "collection": point.collection,
            "dense": point.dense.tolist(), "terms": [int(term) for term in point.sparse[0]],
            "weights": [float(weight) for weight in point.sparse[1]],
            "payload": json.dumps(dict(point.payload), ensure_ascii=False),
        }
        for point in points
    ]  # fmt: skip
    pl.DataFrame(rows, schema=POINTS).write_parquet(folder / "index.parquet")
    return schema, len(rows)


def read_index(workspace: "Workspace", author: str, folder: Path, schema: str | None) -> tuple[int | None, str | None]:
    """Publish the bundle's passages where the author has no index; (how many, what is to be said of it).

    Vectors of another embedding model than is set here are made anew. Raises InputError, VectorIndexError.
    """
    path = folder / "index.parquet"
    if schema is None or not path.is_file():
        return None, "the bundle holds no index"
    if workspace.index.version(author) is not None:
        return None, f"the index of {author} here stays"
    try:
        rows = pl.read_parquet(path).select(pl.col(name).cast(kind) for name, kind in POINTS.items())
        payloads = [dict(json.loads(text)) for text in rows["payload"]]
        texts = [str(payload["text"]) for payload in payloads]
    except (pl.exceptions.PolarsError, ValueError, KeyError, OSError) as error:
        raise InputError(f"The bundle's index.parquet cannot be read: {error}") from error
    if not set(rows["collection"]) <= set(COLLECTIONS.values()):
        raise InputError("The bundle's index.parquet names a collection that there is not.")
    embedder, note = workspace.embedder, None
    vectors = rows["dense"].to_list()
    if schema != f"{INDEX_LAYOUT}/{embedder.model_id}":
        schema, vectors = f"{INDEX_LAYOUT}/{embedder.model_id}", embedder.embed(texts).tolist()
        note = "the passages were embedded with the model that is set here"
    points = [
        Point(row["chunk_id"], row["point_hash"], row["collection"], np.asarray(dense, dtype=np.float32),
              (row["terms"], row["weights"]), payload)
        for row, dense, payload in zip(rows.iter_rows(named=True), vectors, payloads, strict=True)
    ]  # fmt: skip
    workspace.index.publish(author, points, [], schema=schema)
    return len(points), note


def write_cards(
    workspace: "Workspace", author: Author, version: ModelVersion, folder: Path, passages: int | None
) -> None:
    """The model card and the dataset card, from what was recorded."""
    told = lineage(workspace, author.id, version.version)
    reports = workspace.registry.reports(author.id, version.version)
    decisions = workspace.registry.decisions(author.id, version.version)
    report = reports.get("report") or reports.get(f"{ELSEWHERE}report")
    (folder / "model_card.md").write_text(model_card(author, version, report, decisions, passages), encoding="utf-8")
    (folder / "dataset_card.md").write_text(dataset_card(author, version, told), encoding="utf-8")


def model_card(
    author: Author,
    version: ModelVersion,
    report: dict[str, Any] | None,
    decisions: list[dict[str, Any]],
    passages: int | None,
) -> str:
    """A model card in Markdown."""
    kind = "made from nothing but the author's own text: its words prove the machinery, they are not prose"
    base = kind if version.is_nano else f"`{version.base_model}` at `{version.base_identity}`; its licence holds"
    lines = [
        f"# Twin of {author.name}, version {version.version}", "",
        f"A LoRA adapter that writes in the voice of {author.name}. For their own drafts, which they check and sign; "
        "not to pass for them.", "",
        "| | |", "|---|---|", f"| base model | {base} |", f"| made | {version.created_at:%Y-%m-%d %H:%M} UTC |",
        f"| dataset | `{version.dataset_version}` (dataset_card.md) |", f"| corpus | `{version.corpus_version}` |",
        f"| training code | {version.code_version} |", f"| fingerprint | `{version.fingerprint}` |",
        f"| passages in index.parquet | {'left out' if passages is None else passages} |", "",
        "## Evaluation", "",
    ]  # fmt: skip
    figures = [f"| {name} | {value:.4g} |" for name, value in sorted(version.metrics.items())]
    lines += ["| figure | value |", "|---|---|", *figures] if figures else ["It was not evaluated."]
    left_out = (report or {}).get("left_out") or {}
    lines += ["", *(f"Not measured: {name} ({why})." for name, why in left_out.items())]
    lines += ["## Decisions", ""]
    lines += [f"- {d['at'][:16]} {d['action']} by {d['by']}: {d['reason']}" for d in decisions] or ["None yet."]
    lines += [
        "", "## Limits", "",
        "It knows of its author only what they published, may state what is not so, and can repeat stretches of what "
        "it learned. It was measured on held-out writing of one person; figures say nothing of other people's.", "",
    ]  # fmt: skip
    return "\n".join(lines)


def dataset_card(author: Author, version: ModelVersion, told: Lineage) -> str:
    """A dataset card in Markdown: what the model learned from, without its text."""
    splits: dict[str, int] = {}
    platforms: dict[str, int] = {}
    for document in told.documents:
        for split, number in document.samples.items():
            splits[split] = splits.get(split, 0) + number
        platforms[document.platform or "forgotten since"] = platforms.get(document.platform or "forgotten since", 0) + 1
    lines = [
        f"# What the twin of {author.name}, version {version.version}, learned from", "",
        f"Dataset `{version.dataset_version}`: the author's own published words, verbatim, with instructions that "
        "could have asked for them. Split by document and group of near-duplicates. The texts are not in this bundle; "
        "lineage.json lists the documents by address.", "",
        "| | documents |", "|---|---|", *(f"| {name} | {number} |" for name, number in sorted(platforms.items())), "",
        "| split | samples |", "|---|---|", *(f"| {name} | {number} |" for name, number in sorted(splits.items())), "",
        "Other people's personal data and secrets were taken out before; quoted words of others were left out of the "
        "targets. Rights to the texts are the author's.", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"The bundle's {path.name} cannot be read: {error}") from error
