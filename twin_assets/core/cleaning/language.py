"""detect_language(): the language a text is written in, by py3langid (Lui and Baldwin 2012, "langid.py"; 97 languages).

Chosen over lingua (more accurate by a per cent on posts of a line, but 1.1 GB of memory and 460 texts a second against
120 MB and 9,200) and over fastText's lid.176 (as good, but its licence, CC BY-SA, binds what ships it).
"""

import re
from functools import cache
from typing import Any

# Below this many letters a guess says little: "Damn!" is anything.
LETTERS = 24
# Scripts that need fewer characters for a word.
LETTERS_OF_DENSE_SCRIPTS = 8
CERTAIN = 0.8
SAMPLE = 1000  # characters; more change little and cost time
_NO_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|[\w.+-]+@[\w.-]+|[#@]\w+|\]\([^)\n]*\)", re.DOTALL)
_DENSE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def detect_language(text: str) -> str | None:
    """ISO 639-1 code of the language of most of the text; None where it is too short to tell or could be several.

    Code, links, mentions and hashtags do not count.
    """
    prose = _NO_PROSE.sub(" ", text[: 4 * SAMPLE])[:SAMPLE]
    letters = sum(map(str.isalpha, prose))
    if letters < (LETTERS_OF_DENSE_SCRIPTS if len(_DENSE.findall(prose)) > letters / 2 else LETTERS):
        return None
    language, certainty = _identifier().classify(" ".join(prose.split()))
    return str(language) if certainty >= CERTAIN else None


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
