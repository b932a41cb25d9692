"""Receipts of any draft: what is verbatim, what is supported, what nobody said."""

from dataclasses import dataclass

import numpy as np
import pytest

from twin_assets.core.embedding import Embedder
from twin_serving.assembling.passages import OwnDocument
from twin_serving.receipts.evidence import DraftSentence, find_evidence
from twin_serving.receipts.facts import Grounds

RESTORE = OwnDocument(
    "restore",
    "Restores",
    "https://posts.example/restore",
    "We restored a backup on Friday for the first time in two years. It did not work.\n\n"
    "The key was stored on the machine that the backup was made of. Pieter found it in 25 minutes.\n\n"
    "𝗧𝗲𝘀𝘁 𝘆𝗼𝘂𝗿 𝗯𝗮𝗰𝗸𝘂𝗽𝘀 every month, and write down how long it took.",
)


@dataclass(frozen=True)
class Page:
    url: str
    title: str
    text: str


SURVEY = Page(
    "https://survey.example", "Backup survey", "Of 1,200 companies, 38 % had never tried to restore a backup."
)


@pytest.fixture(scope="module")
def embed(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    return Embedder(tmp_path_factory.getbasetemp().parent / "embedder-export")


def evidence(embed: Embedder, text: str) -> list[DraftSentence]:
    found = find_evidence(text, [RESTORE], [SURVEY], embed.embed)
    assert all(text[sentence.start : sentence.end] == sentence.text for sentence in found)
    return found


def test_the_same_words_are_verbatim_whatever_their_letters_and_quotes(embed: Embedder) -> None:
    (plain,) = evidence(embed, "Test your backups every month, and write down how long it took.")
    assert plain.status == "verbatim"
    assert plain.support[0].document_id == "restore"
    assert plain.support[0].score == 1.0
    assert plain.support[0].quote in RESTORE.text
    (quoted,) = evidence(embed, "“Of 1,200 companies, 38 % had never tried to restore a backup.”")
    assert quoted.status == "verbatim"
    assert (quoted.support[0].kind, quoted.support[0].url) == ("link", "https://survey.example")


def test_a_sentence_that_says_the_same_is_supported_with_its_quote(embed: Embedder) -> None:
    (sentence,) = evidence(embed, "On Friday we restored a backup, for the first time in two years.")
    assert sentence.status == "supported"
    assert sentence.support[0].quote.startswith("We restored a backup on Friday")
    assert 0.6 < sentence.support[0].score <= 1.0


def test_what_nobody_said_is_unsupported(embed: Embedder) -> None:
    (sentence,) = evidence(embed, "Penguins are excellent swimmers.")
    assert sentence.status == "unsupported"
    assert sentence.support == []


@pytest.mark.parametrize(
    ("text", "unfounded"),
    [
        ("We restored a backup on Monday for the first time in two years.", ["Monday"]),
        ("Of 1,200 companies, 83 % had never tried to restore a backup.", ["83"]),
        ("The key was found by Amina on the machine that the backup was made of.", ["Amina"]),
    ],
)
def test_numbers_dates_and_names_of_no_source_are_flagged(embed: Embedder, text: str, unfounded: list[str]) -> None:
    (sentence,) = evidence(embed, text)
    assert sentence.status == "unsupported"
    assert sentence.unfounded == unfounded


def test_a_number_must_stand_in_the_sentence_that_supports(embed: Embedder) -> None:
    (sentence,) = evidence(embed, "Of 1,200 companies, 25 % had never tried to restore a backup.")
    assert sentence.status == "unsupported"
    assert sentence.support == []


def test_numbers_are_the_same_with_and_without_separators(embed: Embedder) -> None:
    (sentence,) = evidence(embed, "Of the 1200 companies, 38 % had never tried restoring a backup.")
    assert sentence.status == "supported"
    assert sentence.unfounded == []


def test_short_words_are_verbatim_only_as_a_sentence_of_their_own(embed: Embedder) -> None:
    whole, part = evidence(embed, "It did not work.\n\nA backup.")
    assert whole.status == "verbatim"
    assert part.status == "unsupported"


def test_joining_words_are_told(embed: Embedder) -> None:
    found = evidence(embed, "Another example:\n\nSource: https://survey.example")
    assert [sentence.status for sentence in found] == ["joining", "joining"]


@pytest.mark.parametrize(
    ("text", "unfounded"),
    [
        ("Source: https://invented.example/study", ["https://invented.example/study"]),
        ("From “A Study That Never Was” (survey.example):", ["A Study That Never Was"]),
        ("From “Backup survey” (nature.com):", ["nature.com"]),
        ("From nature.com:", ["nature.com"]),
        ("From “Backup survey” (survey.example):", []),
        ("From “Restores” (posts.example):", []),
        ("From survey.example:", []),
        ("From “What Lena wrote” (lena.example):", []),
    ],
)
def test_words_that_introduce_a_source_need_one(text: str, unfounded: list[str]) -> None:
    given = "Start from “What Lena wrote” at lena.example."
    (sentence,) = find_evidence(text, [RESTORE], [SURVEY], lambda texts: np.zeros((len(texts), 2), np.float32), given)
    assert (sentence.status, sentence.unfounded) == ("unsupported" if unfounded else "joining", unfounded)


def test_without_sources_or_text(embed: Embedder) -> None:
    assert find_evidence("", [RESTORE], [], embed.embed) == []
    (sentence,) = find_evidence("Backups matter.", [], [], embed.embed)
    assert sentence.status == "unsupported"
    assert sentence.to_dict()["support"] == []


GROUNDS = Grounds.of(
    [
        "Amina and I counted four releases of 1,200 users; 38 % came back. It was released on 2024-03-05 at Acme.",
        "She asked the Dutch office, a small one: https://acme.example/report.",
    ]
)


@pytest.mark.parametrize(
    "text",
    [
        "Amina’s team had 1200 users, 4 releases, and 38% came back in March.",
        "Nobody knew. Then: Everybody did. I’m glad, I've said.",
        "1. First we count.\n2/ Then we wait.\n(3/7) Then we ship.",
        "The Power Of Small Teams",
        "They asked “Why?” and we said: Because.",
        "We NEVER ship on a Small day, said the Dutch.",
        "See https://www.acme.example/report and 1.2k users.",
        "Der Umzug der Datenbank in das neue Haus war für alle eine Freude.",
    ],
)
def test_what_stands_in_a_source_or_is_no_fact_is_not_flagged(text: str) -> None:
    assert GROUNDS.unfounded(text) == []


@pytest.mark.parametrize(
    ("text", "unfounded"),
    [
        ("We had 6 releases and 39 % came back.", ["6", "39"]),
        ("We asked Amina and Pieter.", ["Pieter"]),
        ("Pieter Vos found the key.", ["Pieter", "Vos"]),
        ("Pieter's key was lost.", ["Pieter"]),
        ("It was in April, in a Berlin-based firm of NASA.", ["April", "Berlin", "NASA"]),
        ("More at https://evil.example/deal.", ["https://evil.example/deal."]),
        ("It made $2 million and 10k users.", ["$2 million", "10k"]),
    ],
)
def test_facts_that_stand_in_no_source_are_flagged_as_they_are_spelled(text: str, unfounded: list[str]) -> None:
    assert GROUNDS.unfounded(text) == unfounded


def test_what_whoever_asks_has_said_is_founded(embed: Embedder) -> None:
    (sentence,) = find_evidence("On Friday we and Lena restored a backup.", [RESTORE], [], embed.embed, "Mention Lena.")
    assert sentence.unfounded == []
