"""Question sets with known answers, from captured data: papers with answer spans, and an author's own sentences.

Nothing of their text is kept in the project; they are read from the folder of captured data beside it.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from twin_assets.core.chunking import chunk_documents
from twin_assets.core.documents import Document, content_hash
from twin_assets.core.embedding import Embedder
from twin_assets.core.index import Index, Point
from twin_assets.core.lake import rows_frame
from twin_assets.core.sentences import split_sentences

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
AUTHOR, SCHEMA = "bench", "bench"
_FRONT_MATTER = re.compile(r"---\n(.*?)\n---\n", re.DOTALL)
_DATE = re.compile(r"^date:\s*[\"']?(\d{4}-\d\d-\d\d)", re.MULTILINE)
_TITLE = re.compile(r"^(?:title:|#)\s*[\"']?(.+?)[\"']?\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and the passages (chunk_ids) that answer it; document_id: where they stand."""

    text: str
    document_id: str
    answers: frozenset[str]


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """Passages (rows of `chunks`, their text perhaps with a sentence taken out) and questions about them."""

    name: str
    passages: pl.DataFrame
    questions: list[Asked]

    def part(self, wanted: Callable[[str], bool]) -> list[Asked]:
        """The questions of the documents that are wanted."""
        return [question for question in self.questions if wanted(question.document_id)]

    def publish(self, index: Index, embedder: Embedder) -> None:
        """Embed the passages and publish them, as the pipeline does."""
        rows = self.passages.to_dicts()
        vectors = embedder.embed([row["text"] for row in rows])
        sparse = embedder.sparse([f"{row['title']}\n{row['text']}" for row in rows])
        fields = ("document_id", "position", "category", "platform", "title", "url", "heading", "text", "start", "end")
        points = (
            Point(row["chunk_id"], "1", "articles", vectors[number], sparse[number],
                  {name: row[name] for name in fields} | {"published_at": _moment(row["published_at"])})
            for number, row in enumerate(rows)
        )  # fmt: skip
        index.publish(AUTHOR, points, [], schema=SCHEMA)


def held_out(document_id: str) -> bool:
    """Whether a document's questions are for measuring; the other half may be learned from."""
    return int(content_hash("split", document_id)[:8], 16) % 2 == 1


def paper_questions(most: int | None = None) -> QuestionSet:
    """COVID-QA: questions about 96 papers; the passages that overlap the answer's span answer them."""
    papers = json.loads((DATA / "retrieval_covidqa" / "200421_covidQA.json").read_text(encoding="utf-8"))["data"]
    documents, asked = [], []
    for number, paper in enumerate(papers[:most]):
        text = paper["paragraphs"][0]["context"]
        document = _document("papers", str(number), text.strip().partition("\n")[0], text)
        documents.append(document)
        asked += [(document.document_id, question) for question in paper["paragraphs"][0]["qas"]]
    passages = _chunks(documents)
    places = {key[0]: rows.to_dicts() for key, rows in passages.group_by("document_id")}
    questions = []
    for document_id, question in asked:
        answer = question["answers"][0]
        begin, end = answer["answer_start"], answer["answer_start"] + len(answer["text"])
        answers = [row["chunk_id"] for row in places[document_id] if row["start"] < end and row["end"] > begin]
        questions.append(Asked(question["question"], document_id, frozenset(answers)))
    return QuestionSet("COVID-QA, questions about papers", passages, questions)


def own_sentences(folder: str, pattern: str, most: int | None = None) -> QuestionSet:
    """Inverse cloze: a sentence of an author's passage is the question, and the passage without it the answer.

    Every other passage with at least four sentences gives one question: the sentence is chosen by hash among those of 8
    to 30 words without a link, and is taken out before the passage is indexed, so neither the words nor the meaning of
    the question stand in it as such. Nothing is chosen by what any search finds.
    """
    files = sorted((DATA / folder).rglob(pattern))[:most]
    passages = _chunks([document for file in files if (document := _written(folder, file))])
    rows, questions = [], []
    for row in passages.iter_rows(named=True):
        if int(row["chunk_id"][:8], 16) % 2 == 0 and (cut := _cut(row)):
            questions.append(Asked(cut[0], row["document_id"], frozenset([row["chunk_id"]])))
            row["text"] = cut[1]
        rows.append(row)
    return QuestionSet(f"{folder}, own sentences", pl.DataFrame(rows, schema=passages.schema), questions)


def _cut(row: dict[str, str]) -> tuple[str, str] | None:
    """A sentence of the passage and the passage without it, None where it has too few."""
    sentences = split_sentences(row["text"], wrapped=True)
    fit = [
        sentence for sentence in sentences
        if 8 <= len(sentence.text.split()) <= 30 and sentence.text[0].isalpha() and "](" not in sentence.text
        and sentence.text.rstrip()[-1] in ".?!"
    ]  # fmt: skip
    if len(sentences) < 4 or len(fit) < 3:
        return None
    chosen = fit[int(row["chunk_id"][8:16], 16) % len(fit)]
    return chosen.text, row["text"][: chosen.start] + row["text"][chosen.end :]


def _written(folder: str, file: Path) -> Document | None:
    text = file.read_text(encoding="utf-8")
    front = _FRONT_MATTER.match(text)
    body = text[front.end() :] if front else text
    title = _TITLE.search(front[1] if front else text)
    if not body.strip():
        return None
    date = _DATE.search(front[1]) if front else None
    published = datetime.fromisoformat(date[1]).replace(tzinfo=UTC) if date else None
    return _document(folder, str(file.relative_to(DATA)), title[1] if title else "", body, published)


def _document(source: str, name: str, title: str, text: str, published: datetime | None = None) -> Document:
    return Document(
        document_id=content_hash(source, name), platform="files", external_id=name, category="article", url="",
        title=title, text=text, published_at=published,
    )  # fmt: skip


def _moment(value: datetime | None) -> str | None:
    return value.isoformat() if value else None


def _chunks(documents: list[Document]) -> pl.DataFrame:
    derived = {"author": AUTHOR, "input_hash": "", "derived_version": ""}
    return chunk_documents(rows_frame("documents", [document.row() | derived for document in documents]))


def first_answers(questions: list[Asked], orders: Iterator[list[str]]) -> list[int | None]:
    """The place (from 1) of the first answer in each order of chunk_ids, None where there is none."""
    found = []
    for question, order in zip(questions, orders, strict=True):
        found.append(next((place for place, name in enumerate(order, 1) if name in question.answers), None))
    return found
