"""Chunking against other splitters on the same articles: MB/s, and what their cuts do to sentences and sections.

Sizes by tokens of the same tokenizer, 254 at most, but where "characters" is said.
"""

import argparse
import time
from collections.abc import Callable
from itertools import pairwise

from rich.console import Console
from rich.table import Table

from benchmarks.corpus import make_text
from benchmarks.questions import DATA
from twin_assets.core.chunking import chunk_documents
from twin_assets.core.documents import Document
from twin_assets.core.embedding import Embedder, weights_folder
from twin_assets.core.lake import rows_frame
from twin_assets.core.sentences import split_sentences

Spans = list[tuple[int, int]]


def articles(count: int) -> tuple[list[str], str]:
    """Markdown of an author's blog, or made-up Markdown where the captured data is not there."""
    if DATA.is_dir():
        paths = sorted((DATA / "voice_mtlynch").rglob("*.md"))[:count]
        return [path.read_text(encoding="utf-8") for path in paths], "articles of a real blog"
    made = ["\n\n".join(f"# Part {part}\n\n{make_text(part * 1000 + number, 200)}" for part in range(6))
            for number in range(count)]  # fmt: skip
    return made, "made-up articles"


def splitters(embedder: Embedder) -> dict[str, Callable[[list[str]], list[Spans]]]:
    """Functions from texts to the spans of their chunks, by name."""
    from langchain_text_splitters import MarkdownTextSplitter, RecursiveCharacterTextSplitter
    from semantic_text_splitter import MarkdownSplitter
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(weights_folder() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    options = {"chunk_overlap": 0, "add_start_index": True, "strip_whitespace": True}

    def tokens(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    def langchain(splitter: RecursiveCharacterTextSplitter) -> Callable[[list[str]], list[Spans]]:
        def split(texts: list[str]) -> list[Spans]:
            found = [splitter.create_documents([text]) for text in texts]
            return [
                [
                    (one.metadata["start_index"], one.metadata["start_index"] + len(one.page_content))
                    for one in documents
                ]
                for documents in found
            ]

        return split

    def semantic(texts: list[str]) -> list[Spans]:
        splitter = MarkdownSplitter.from_huggingface_tokenizer(tokenizer, embedder.window)
        return [[(start, start + len(chunk)) for start, chunk in splitter.chunk_indices(text)] for text in texts]

    def ours(texts: list[str]) -> list[Spans]:
        rows = [Document(str(n), "files", str(n), "article", "", "", text).row() for n, text in enumerate(texts)]
        spans: list[Spans] = [[] for _ in texts]
        for document, start, end in (
            chunk_documents(rows_frame("documents", rows), embedder).select("document_id", "start", "end").iter_rows()
        ):
            spans[int(document)].append((start, end))
        return spans

    return {
        "langchain recursive, tokens": langchain(
            RecursiveCharacterTextSplitter(chunk_size=embedder.window, length_function=tokens, **options)
        ),
        "langchain Markdown, tokens": langchain(
            MarkdownTextSplitter(chunk_size=embedder.window, length_function=tokens, **options)
        ),
        "langchain recursive, 1,000 characters": langchain(RecursiveCharacterTextSplitter(chunk_size=1000, **options)),
        "semantic-text-splitter Markdown": semantic,
        "chunk_documents()": ours,
    }


def inside_sentences(text: str, spans: Spans) -> tuple[int, int]:
    """How many cuts fall inside a sentence, and how many cuts there are."""
    sentences = split_sentences(text, wrapped=True)
    cuts = [end for (_, end), _ in pairwise(spans)]
    return sum(any(one.start < cut < one.end for one in sentences) for cut in cuts), len(cuts)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the articles")
    texts, kind = articles(24 if parser.parse_args().quick else 240)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    embedder = Embedder(weights_folder())
    embedder.count_tokens(["warm"])
    title = f"Chunking {len(texts)} {kind}, {megabytes:.2f} MB"
    table = Table(title=title, title_justify="left")
    columns = (
        "",
        "MB/s",
        "ratio",
        "chunks",
        "cuts inside a sentence",
        "over the limit",
        "tokens a chunk",
    )
    for column in columns:
        table.add_column(column, justify="right")
    base = None
    for name, split in splitters(embedder).items():
        split(texts[:2])
        seconds, spans = min((timed(split, texts) for _ in range(2)), key=lambda one: one[0])
        base = base or seconds
        pieces = [text[start:end] for text, own in zip(texts, spans, strict=True) for start, end in own]
        sizes = embedder.count_tokens(pieces)
        cut, cuts = map(sum, zip(*(inside_sentences(*one) for one in zip(texts, spans, strict=True)), strict=True))
        table.add_row(
            name, f"{megabytes / seconds:.2f}", f"{base / seconds:.2f}", f"{len(pieces)}", f"{cut / max(cuts, 1):.1%}",
            f"{sum(size > embedder.window for size in sizes)}", f"{sum(sizes) / len(sizes):.0f}",
        )  # fmt: skip
    Console(width=140).print(table)


def timed(function: Callable[[list[str]], list[Spans]], texts: list[str]) -> tuple[float, list[Spans]]:
    """Seconds a call takes, and what it gives."""
    started = time.perf_counter()
    result = function(texts)
    return time.perf_counter() - started, result


if __name__ == "__main__":
    main()
