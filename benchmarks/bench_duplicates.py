"""Near-duplicate groups and cross-posts of many documents, against datasketch's MinHash LSH on the same shingles."""

import argparse
import random
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime

import polars as pl
from rich.console import Console
from rich.table import Table

from benchmarks.corpus import make_text


def make_documents(count: int) -> tuple[pl.DataFrame, int]:
    """Short posts and articles, a tenth of them another one with a few words changed; and how many those are."""
    choose = random.Random(4)
    texts: list[str] = []
    for number in range(count):
        if number and number % 10 == 0:
            words = texts[choose.randrange(number)].split()
            for _ in range(max(1, len(words) // 60)):
                words[choose.randrange(len(words))] = "otherwise"
            texts.append(" ".join(words))
        else:
            texts.append(make_text(number, words=300 if number % 10 == 5 else 20 + number % 60))
    ids = [f"{number:08d}" for number in range(count)]
    return pl.DataFrame({"document_id": ids, "text": texts}), (count - 1) // 10


def ours(documents: pl.DataFrame) -> dict[str, str]:
    """near_duplicate_groups()."""
    from twin_assets.core.cleaning import near_duplicate_groups

    return near_duplicate_groups(documents)


def datasketch(documents: pl.DataFrame) -> dict[str, str]:
    """datasketch: the same shingles, signatures of the same length, groups along the pairs its index returns."""
    from datasketch import MinHash, MinHashLSH

    from twin_assets.core.cleaning.duplicates import NEAR_ROWS, SHINGLE, SIGNATURE, words_of

    index = MinHashLSH(num_perm=SIGNATURE, params=(SIGNATURE // NEAR_ROWS, NEAR_ROWS))
    group: dict[str, str] = {}
    for name, text in documents.iter_rows():
        words = words_of(text)
        size = min(SHINGLE, len(words))
        shingles = {" ".join(words[at : at + size]).encode() for at in range(len(words) - size + 1)}
        sketch = MinHash(num_perm=SIGNATURE)
        sketch.update_batch(shingles)
        found = list(index.query(sketch))
        group[name] = min((group[other] for other in found), default=name)
        index.insert(name, sketch)
    return group


def cross(documents: pl.DataFrame) -> dict[str, str]:
    """same_signatures() and cross_posts(), as the corpus does it."""
    from twin_assets.core.cleaning.duplicates import cross_posts, same_signatures

    now = datetime(2024, 1, 1, tzinfo=UTC)
    frame = documents.with_columns(
        category=pl.lit("post"), platform=pl.lit("x"), published_at=pl.lit(now),
        words=pl.col("text").str.split(" ").list.len(),
        signature=pl.Series(same_signatures(documents["text"].to_list())),
    )  # fmt: skip
    return dict(cross_posts(frame.drop("text")).iter_rows())


WAYS = {"near_duplicate_groups": ours, "same_signatures + cross_posts": cross, "datasketch MinHashLSH": datasketch}


def measure(way: str, count: int) -> None:
    """Print seconds of the processor (the clock tells of the neighbours as well), peak megabytes over those of the
    documents, those of the process, and how many documents were put to another one."""
    documents, _ = make_documents(count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    groups = WAYS[way](documents)
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(seconds, (peak - before) / 1024, peak / 1024, sum(name != other for name, other in groups.items()))


def main() -> None:
    """Print the table; each way in a process of its own, so that memory is its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2,000 documents only")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    count = 2000 if arguments.quick else 100_000
    if arguments.way:
        measure(arguments.way, count)
        return
    made = make_documents(count)[1]
    table = Table(title=f"{count:,} documents, {made:,} of them another one with a sixtieth of the words changed")
    for column in ("", "CPU seconds", "ratio", "peak MB", "of the process", "put to another"):
        table.add_column(column, justify="right" if column else "left")
    first = 0.0
    for way in WAYS:
        command = [sys.executable, "-m", "benchmarks.bench_duplicates", "--way", way, *sys.argv[1:]]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, peak, whole, found = map(float, done.stdout.split())
        first = first or seconds
        table.add_row(way, f"{seconds:.1f}", f"{seconds / first:.1f}", f"{peak:.0f}", f"{whole:.0f}", f"{found:,.0f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
