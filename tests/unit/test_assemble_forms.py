"""The assembled draft in every form: real sentences, whole thoughts, the limits of each form, nothing dangling."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_assemble import OVENS, POSTS, WordVectors, check_sources
from twin_assets.core.embedding import Embedder
from twin_serving.assembling.assemble import MOST_PASSAGES, assemble, subject_of
from twin_serving.assembling.forms import SHAPES
from twin_serving.assembling.leaning import JOINTS, flaws, leaning
from twin_serving.assembling.markup import read_blocks, render
from twin_serving.assembling.passages import OwnDocument, passages, sections
from twin_serving.assembling.runs import runs
from twin_serving.assembling.style import PostStyle
from twin_serving.composing.formats import X_POST, x_length
from twin_serving.receipts.evidence import Embed

ARTICLE = """In this post I write about ovens.

A home oven is a box with an opinion about temperature. Mine believed in 187 degrees, whatever its dial said, and the
bread of three years believed with it.

## Why dials lie about the oven

An oven's dial shows what the oven is asked for and not what it does. The sensor sits in a corner, and the corner is
colder than the middle of the oven by more than anybody likes. Each baker learns the offset of *one* oven by burning
bread in it.

```python
offset = dial - thermometer
```

This code is all the theory there is. See [the manual](https://kitchen.example/manual) for the rest.

## How to measure an oven with a thermometer

Put a thermometer for nine euros in the middle of the oven, wait half an hour, and read it through the window. Opening
the door of an oven costs forty degrees and tells you nothing about the oven. Bread forgives an oven that is always
wrong by the same amount.

1. Measure the oven at three temperatures.
1. Write the offsets on the oven's door.

## Stone or steel in the oven

A stone keeps the heat of an oven for the first ten minutes of a loaf. Steel gives its heat away faster, and a pizza
likes that more than bread does. An oven with a stone wants an hour before the first loaf, which no recipe says.

| stone | steel |
|---|---|
| 3 kg | 7 kg |

## Conclusion

Measure the oven once a year, and blame the flour afterwards. Bread is mostly patience, and the oven has none."""
BREAD = """Bread from my oven was pale for a year before I asked why.

## What steam does to bread in an oven

Steam keeps the crust of bread soft while the loaf still grows in the oven. A cup of water on a hot tray makes enough of
it for one loaf. An oven that leaks its steam gives bread a crust like paper, and the seal of an oven costs less than
the bread it spoils in a month.

## When bread is done

Bread is done when its middle has 96 degrees, and a thermometer says so in three seconds. Colour tells more about the
sugar in the dough than about the middle of the loaf. Tapping on the bottom of bread impresses visitors of a kitchen."""
FORMS = tuple(SHAPES)
PROMPT = "Why the dial of an oven lies and how to measure it with a thermometer"


@pytest.fixture(scope="module")
def documents() -> list[OwnDocument]:
    posts = [OwnDocument(name, "", f"https://posts.example/{name}", text) for name, text in POSTS.items()]
    return [
        OwnDocument("article", "Ovens", "https://blog.example/ovens", ARTICLE, "article"),
        OwnDocument("bread", "Pale bread", "https://blog.example/bread", BREAD, "article"),
        *posts,
    ]


@pytest.fixture(scope="module")
def embed(tmp_path_factory: pytest.TempPathFactory) -> Embed:
    """The built-in model, each text embedded once."""
    model = Embedder(tmp_path_factory.getbasetemp().parent / "embedder-export")
    kept: dict[str, npt.NDArray[np.float32]] = {}

    def remembered(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        if missing := [text for text in dict.fromkeys(texts) if text not in kept]:
            kept.update(zip(missing, model.embed(missing), strict=True))
        return np.stack([kept[text] for text in texts])

    return remembered


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pages", [[], [OVENS]], ids=["no link", "link"])
def test_every_form_is_verbatim_whole_and_deterministic(
    form: str, pages: list, documents: list[OwnDocument], embed: Embed
) -> None:
    options = {"form": form, "reply_to": "My oven burns everything. Is the dial wrong?" if form == "reply" else ""}
    draft = assemble(PROMPT, documents, pages, embed, **options)
    assert draft.text
    check_sources(draft, documents, pages, given=[PROMPT])
    assert draft == assemble(PROMPT, documents, pages, embed, **options)
    assert not re.search(r"`|\]\(|\*\w|\boffset = |\|", draft.text)
    assert "In this post" not in draft.text
    assert "This code" not in draft.text
    if form == "thread":
        assert len(draft.parts) > 1
        assert "\n\n".join(draft.parts) == draft.text
        assert max(map(x_length, draft.parts)) <= X_POST
    else:
        assert draft.parts == [draft.text]


@pytest.mark.parametrize("count", [6, 30])
def test_a_threads_posts_fit_as_x_counts(documents: list[OwnDocument], embed: Embed, count: int) -> None:
    """Emoji count two each, which an author who sets many would have posts refused for."""
    merry = [replace(each, text=re.sub(r"\boven\b", f"oven {'🔥' * count}", each.text)) for each in documents]
    page = replace(OVENS, title=f"Ovens {'and their thermometers ' * 6}")
    draft = assemble(PROMPT, merry, [page], embed, form="thread")
    assert "🔥" in draft.text
    assert page.url in draft.text
    assert max(map(x_length, draft.parts)) <= X_POST
    assert max(map(x_length, assemble(PROMPT, merry, [], embed, form="thread").parts)) <= X_POST


@pytest.mark.parametrize("form", FORMS)
def test_what_is_not_continued_leans_on_nothing(form: str, documents: list[OwnDocument], embed: Embed) -> None:
    """Wherever a draft jumps from one place of a source to another, it goes on with a sentence that stands alone."""
    texts = {document.document_id: " ".join(render(document.text).split()) for document in documents}
    for seed in range(3):
        draft = assemble(PROMPT, documents, [], embed, form=form, seed=seed, reply_to="Is the dial of my oven wrong?")
        before = None
        for sentence in draft.sentences:
            if sentence.status == "joining":
                before = None
                continue
            (source,) = sentence.support
            place = source.document_id, texts[str(source.document_id)].find(" ".join(render(source.quote).split()))
            follows = before and place[0] == before[0] and 0 <= place[1] - before[1] < 12
            if not follows and not sentence.text.startswith("#"):
                assert leaning(sentence.text, texts[str(place[0])][: max(0, place[1])][-300:]) < 0.9, sentence.text
            before = place[0], place[1] + len(render(source.quote))


def test_an_article_has_the_authors_sections_under_their_own_headings(
    documents: list[OwnDocument], embed: Embed
) -> None:
    draft = assemble(PROMPT, documents, [OVENS], embed, form="article")
    title, *headings = re.findall(r"^#+ (.*)$", draft.text, re.MULTILINE)
    assert title == PROMPT
    own = {render(heading) for heading in re.findall(r"^## (.*)$", f"{ARTICLE}\n{BREAD}", re.MULTILINE)}
    assert len(headings) > 1
    assert set(headings) <= own - {"Conclusion"}
    assert draft.text.index(f"## {headings[0]}") < draft.text.index("From “How wrong are home ovens”")


def test_too_little_for_an_article_is_a_short_text_and_said(embed: Embed) -> None:
    posts = [OwnDocument(name, "", "", text) for name, text in POSTS.items()]
    draft = assemble("My oven lied to me", posts, [], embed, form="article")
    assert draft.text
    assert any("Too few sections" in problem for problem in draft.problems)


def test_a_reply_is_short_and_about_what_it_answers(documents: list[OwnDocument], embed: Embed) -> None:
    draft = assemble("", documents, [], embed, form="reply", reply_to="When is bread done? I never know.")
    assert len(draft.text) <= 420
    assert "96 degrees" in draft.text or "bread" in draft.text.split(".")[0].lower()
    assert draft.text.split(".")[0][-1] != "?"
    off = assemble("", documents, [], embed, form="reply", reply_to="Which interest rate will the bank set?")
    assert off.text == ""
    assert "None of the" in off.problems[0]


def test_a_caption_is_short_has_line_breaks_and_the_authors_hashtags(documents: list[OwnDocument], embed: Embed):
    style = PostStyle.of(documents)
    assert dict(style.tags).keys() == {"#baking"}
    text = "Baking bread is a habit.\n\nBread follows the room.\n\n#baking"
    more = [*documents, OwnDocument("more", "", "", text)]
    draft = assemble("Baking bread in the oven", more, [], embed, form="instagram_caption", style=style)
    assert len(draft.text) < 700
    assert set(re.findall(r"#\w+", draft.text)) <= {"#baking"}
    assert "\n\n" in draft.text


def test_length_is_a_factor(documents: list[OwnDocument], embed: Embed) -> None:
    short, long = (
        len(assemble("Ovens and bread", documents, [], embed, form="thread", length=factor).text)
        for factor in (0.3, 1.2)
    )
    assert short < long


def test_a_call_to_action_stands_at_the_end_as_it_was_given(documents: list[OwnDocument], embed: Embed) -> None:
    call = "Come and see my oven on Sunday."
    for form in ("linkedin_post", "thread", "article"):
        draft = assemble(PROMPT, documents, [], embed, form=form, call_to_action=call)
        (given,) = [sentence for sentence in draft.sentences if sentence.text == call]
        assert given.status == "joining"
        assert re.fullmatch(r"(?:\s*#\w+)*\s*", draft.text[given.end :])


def test_documents_in_another_language_are_left_out(documents: list[OwnDocument], embed: Embed) -> None:
    german = [OwnDocument("de", "", "", POSTS["oven"], language="de")]
    assert assemble(PROMPT, german, [], embed, language="de").text
    draft = assemble(PROMPT, german, [], embed, language="en")
    assert draft.text == ""
    assert "in “en”" in draft.problems[0]


def test_what_is_embedded_is_bounded_whatever_the_corpus() -> None:
    many = [OwnDocument(str(n), f"Ovens {n}", "", ARTICLE.replace("187", str(n)), "article") for n in range(300)]
    counted = WordVectors([ARTICLE])
    assemble(PROMPT, many, [OVENS], counted, form="article")
    assert counted.texts <= 1 + MOST_PASSAGES + 40


@pytest.mark.parametrize(
    ("markdown", "words"),
    [
        ("See [the *manual*](https://a.example/x_(y)) now.", "See the manual now."),
        (
            "A `value` of **two** and _three_, not snake_case or 2*3*4.",
            "A value of two and three, not snake_case or 2*3*4.",
        ),
        ("Said before[^1] and here [2].", "Said before and here."),
        ("An ![icon](i.png) apart --- so", "An apart — so"),
        ("Fish &amp; chips", "Fish & chips"),
        ("wrapped\n  lines", "wrapped lines"),
        ("[shortcut] and [full][ref]", "shortcut and full"),
    ],
)
def test_markdown_is_rendered_as_its_reader_sees_it(markdown: str, words: str) -> None:
    assert render(markdown) == words


def test_blocks_of_an_article() -> None:
    kinds = [(block.kind, block.level) for block in read_blocks(ARTICLE, wrapped=True)]
    assert kinds.count(("heading", 2)) == 4
    assert kinds.count(("wall", 0)) >= 2
    assert ("list", 0) in kinds
    nested = "- a\n  - b\n- c\n\n**A line in bold**\n\nText.\n\n[^1]: A note.\n\n![p](p.png)\n\n> quoted"
    assert [block.kind for block in read_blocks(nested, wrapped=True)] == [
        "wall", "heading", "text", "picture", "picture", "wall",
    ]  # fmt: skip


_LINE = st.sampled_from(
    ["Bread rises.", "## A heading", "```", "- an item", "- another [link](https://a.example)", "", "", "> quoted",
     "| a |",
     "It was late, as *we* said.", "1. first", "    indented", "![x](y.png)", "**bold**", "[ref]: https://a.example"]
)  # fmt: skip


@given(lines=st.lists(_LINE, max_size=25), wrapped=st.booleans(), longest=st.sampled_from([60, 270, 900]))
@settings(max_examples=60, deadline=None)
def test_whatever_the_markup_pieces_are_verbatim(lines: Sequence[str], wrapped: bool, longest: int) -> None:
    text = "\n".join(lines)
    for block in read_blocks(text, wrapped=wrapped):
        assert all(piece in text for piece in block.pieces if block.kind != "heading")
    document = OwnDocument("d", "", "", text, "article" if wrapped else "post")
    for section in sections(document):
        parts = passages(section, longest)
        assert [part.position for part in parts] == list(range(len(parts)))
        for part in parts:
            assert all(sentence.quote in text for line in part.lines for sentence in line)
        for run in runs(section, parts, 500):
            assert run.text == "\n\n".join(part.text for part in run.passages)
            assert all(part.flaw < 1 for part in run.passages)


@pytest.mark.parametrize(
    "text",
    [
        "In this post, I'll show how it works.",
        "As I mentioned above, ovens lie.",
        "See the previous section for details.",
        "Thanks for reading!",
        "Illustration by somebody.",
        "Read all of it here:",
        "Let's look at an example.",
    ],
)
def test_the_old_text_does_not_speak_of_itself(text: str) -> None:
    assert flaws(text) == 1.0


def test_subject_of_a_reply_is_what_it_answers() -> None:
    assert subject_of("say no", "Should we bake?") == "Should we bake? say no"
    assert subject_of("", "Should we bake?") == "Should we bake?"
    assert all(joint.endswith(":") for joint in JOINTS)
