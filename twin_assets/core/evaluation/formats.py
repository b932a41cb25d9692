"""What a text's platform and form ask of it, checked without judgement."""

import re

from twin_assets.core.prompts import FORMS

POST_OF_THREAD = 280
HASHTAGS_OF_CAPTION = 30  # more and Instagram refuses the caption
_HASHTAG = re.compile(r"(?<![\w&])#\w+")
_HEADING = re.compile(r"^#{1,6}\s", re.MULTILINE)
_MARK_OF_ROLE = re.compile(r"<\|[^|>\n]{1,30}\|>|\[/?INST\]|</?s>|<(?:start|end)_of_turn>")


def broken_rules(form: str, text: str, cut_off: bool = False) -> list[str]:
    """The rules of a form (a key of FORMS) that a text breaks, a few words each; [] for none.

    cut_off: the model was stopped before it had ended, which says nothing of a form's upper limits.
    """
    if not text.strip():
        return ["there is no text"]
    found = []
    limit = FORMS[form].characters
    if len(text) > limit:
        found.append(f"{len(text):,} characters, {limit:,} allowed")
    if _MARK_OF_ROLE.search(text):
        found.append("marks of the chat template stand in it")
    if form == "thread":
        longest = max(len(post.strip()) for post in re.split(r"\n\s*\n", text))
        if longest > POST_OF_THREAD:
            found.append(f"a post of {longest:,} characters, {POST_OF_THREAD} allowed")
    if form == "instagram_caption" and len(_HASHTAG.findall(text)) > HASHTAGS_OF_CAPTION:
        found.append(f"{len(_HASHTAG.findall(text))} hashtags, {HASHTAGS_OF_CAPTION} allowed")
    if FORMS[form].category == "post" and _HEADING.search(text):
        found.append("Markdown headings, which the platform shows as they are")
    return found
