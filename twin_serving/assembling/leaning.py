"""Does a sentence stand on its own? What tells that it leans on text that is left behind, or on a day that has passed.

English only: in other languages nothing is recognised, and passages are then kept with what precedes them as far as
the layout (lists, colons, short fragments) tells.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from twin_assets.core.embedding import STOP_WORDS as FUNCTION_WORDS

# The only words a draft has that are from no source; they claim nothing.
JOINTS = ("Closer to home:", "Another example:", "One more thing:")
# Words that say nothing of a subject, besides the function words.
STOP_WORDS = FUNCTION_WORDS | frozenset(
    """also always another anything because best better come day different even ever every everybody everything get give
    good happen just keep lesson let like long lot make makes many may might much must need never nobody nothing often
    one people post linkedin put really see since somebody something still take tell thing things tip upon us use used
    using value want way well within work would write year yet""".split()  # noqa: SIM905 (words, not a list of lines)
)
_START = re.compile(
    r"""^["'“‘(\[]*(?:
    (?:this|that|these|those|it|he|she|they|them|him|his|her|hers|their|theirs|its|one|ones|both|either|neither|none|
       each|such|same|another|others?|most|many|some|few|several|half|
       or|nor|then|also|too|because|instead(?!\ of)|otherwise|meanwhile|
       similarly|likewise|next|finally|lastly|second|secondly|third|thirdly|fourth|again|afterwards?|later|besides|
       well|okay|ok|anyway|indeed|actually|hence|still|even|yeah|plus|ditto|alternatively|hopefully|fortunately|obviously|sadly|
       probably|presumably|basically|essentially|specifically|notably|curiously|crucially|interestingly|importantly|effectively|
       eventually|suddenly|soon|whatever|regardless|except|overall|
       (?:speaking|instead|because|regardless)\ (?:of|about)|(?:getting|going|coming|circling|moving|turning|
       returning)\ (?:back|on|to)|back\ to|
       as\ (?:for|expected|usual|before|always|such|mentioned|noted|promised)|note\ that|recall\ that|to\ (?:recap|
       summarize|be\ (?:clear|fair|honest))|
       conversely|accordingly|consequently|moreover|furthermore|additionally|nevertheless|nonetheless|though|
       not|no|yes|nope|maybe|perhaps|which|who|until|beyond|than|now|here|literally|unfortunately|luckily|sure|surprisingly|
       similarly|unlike|despite|given|as\ with|on\ (?:its|their|his|her)|all\ (?:of\ )?(?:that|this|these|those)|
       that\ said|by\ (?:comparison|contrast|now|then)|
       titled|entitled|called|named|following|ours|mine|yours|either|since|after\ that|before\ that|even\ so)\b
    |with\ [^.,]+\ in\ (?:place|mind|hand),|(?:during|in|at|from)\ (?:my|our)\ (?:last|previous|next|second|third|
       current)\b
    |(?:first|firstly|1st),
    |(?:a|an|the|my)\ (?:second|third|fourth|fifth|final|last|other)\b(?!\ (?:time|year|month|week|day)s?\b)
    |(?:it|that|he|she|they|what)['’](?:s|re|d|ll)\b
    |as\ (?:a|an)\ (?:\w+\ )?(?:example|result|consequence|aside|side\ note)
    |(?:for\ (?:example|instance)|in\ (?:fact|short|other\ words|the\ end|that\ case|this\ case|particular|addition|
       contrast|turn|summary|comparison|both\ cases|either\ case|return|response|hindsight|retrospect)|as\ a\ result|
       of\ course|at\ (?:that|this|first|the\ same\ time)|on\ the\ (?:other|contrary|way)|like\ (?:this|that)|
       from\ (?:this|that|there)|with\ (?:this|that)|except\ (?:for|that)|e\.g\.|i\.e\.|p\.?s\b|
       (?:\w+\ ){1,3}later\b)
    |(?:by|in|on|until|since|around|during)\ (?:(?:early|late|mid)[ -])?(?:january|february|march|april|may|june|july|
       august|
       september|october|november|december|monday|tuesday|wednesday|thursday|friday|saturday|sunday|that\b|
       the\ (?:meantime|
       beginning|end|process|meanwhile|first|next|past|last)|\w+\ (?:years?|months?|weeks?|days?))\b
    |(?:one|two|three|four|five|six|seven|eight|nine|ten|\d[\d.,]*)\ (?:were|was)\b
    |\w+\ (?:of\ (?:them|those|these|which|it)|more|others)\b
    |(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\ (?!people|things)\w+\s+
       (?:\w+ed|were|had|has|have)\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
# What ties to the thought before and can stand after another part of the same document.
_TIE = re.compile(
    r"^(?:so|but|and|yet|still|however|thus|hence|therefore|overall|in\s+short|in\s+the\s+end)\b,?\s*", re.IGNORECASE
)
# Words that open well although the list above has them: "Most teams …", "Some people …", "It is hard to …".
_START_FINE = re.compile(
    r"^(?:(?:most|many|some|few|several)\s+(?!are\b|were\b|have\b|had\b|has\b|can\b|will\b|was\b|did\b)[a-z]{3,}|no\s+(?:one|code|team|plan|tool)|half\s+of\s+all|"
    r"it(?:['’]s| is| was| takes| took)\s+(?:\w+\s+)?(?:hard|easy|good|great|worth|important|time|possible|better|"
    r"funny|rare|clear|true)|here(?:['’]s| is| are)\s|now\s+is|each\s+(?:morning|week|month|day|year)|"
    r"one\s+(?:of\s+(?:the|my|our)|day|wet|year|thing|person)|not\s+(?:every|all)|no\s+\w+\s+(?:has|should|is|can)\b)",
    re.IGNORECASE,
)
_SUPERLATIVE = re.compile(
    r"^the\s+(?:\w+(?:est)|most|least|best|worst|first\s+(?:time|rule)|only\s+\w+\s+(?:that|who|I)|way|more|less|new|"
    r"last\s+\d|problem\s+with|trouble\s+with|point\s+of|\w+\s+(?:taught|of\s+a))\b",
    re.IGNORECASE,
)
_BACKWARD = re.compile(
    r"\b(?:the\s+(?:same|other|others|former|latter|rest|second|third|fourth|fifth|two|three|four|five|six|seven)|"
    r"(?:rule|question|number|step|option|reason|point)\s+\d|these|those|(?:all|both|none|one|half|two|three|third|part)\s+of\s+(?:them|it|that|this)|"
    r"(?:do|did|does|done|doing)\s+(?:so|it|this|that)|that['’]s\s+(?:it|why|how|what|when)|this|such\s+(?:a|an)|"
    r"yours|the\s+above|(?:described|discussed|mentioned|in\s+question|referenced)[.,]|as\s+(?:above|before)|first\s+one|that\s+(?:page|job|day|one|way|week|is\s+why)|like\s+that|two\s+more)\b"
    r"|\b(?:one|ones|another|others)[.,;!?]",
    re.IGNORECASE,
)
_THIS_FINE = re.compile(r"\bthis\s+(?:year|month|week|morning|quarter)\b", re.IGNORECASE)
_ALSO = re.compile(
    r"\b(?:also|too|still|again|as\s+well|another|other|others|instead|either|already|here|then|rest|same|similar|such|former|latter)\b",
    re.IGNORECASE,
)
_BARE_SUBJECT = re.compile(r"(?:it|he|she|they|this|that)\b", re.IGNORECASE)
_PERSON = re.compile(r"\b(?:he|she|him|his|hers|her)\b", re.IGNORECASE)
_THING = re.compile(r"\b(?:it|its)\b", re.IGNORECASE)
_THINGS = re.compile(r"\b(?:they|them|their)\b", re.IGNORECASE)
# What a pronoun later in the sentence can stand for: somebody, one thing, several.
_SOMEBODY = re.compile(
    r"\b(?:whoever|somebody|someone|nobody|everybody|person|(?:an?|the|my|our|every|each)\s+\w+)\b|(?<=\s)(?!We\b|You\b|But\b|And\b)[A-Z][a-z]+"
)
_ONE = re.compile(
    r"\b(?:an?|the|my|our|your|every|each|no|some|any|if)\s+\w+|(?<=\s)(?!We\b|You\b|I\b)[A-Z]\w+|(?:^|[,;]\s)\s?\w+ing\b"
)
_SEVERAL = re.compile(
    r"\b(?:people|whoever|somebody|nobody|everybody|teams?|women|men|children)\b|\b\w{3,}(?<![sui])s\b"
)
_NAMED = re.compile(r"\b(?!I\b|We\b|You\b|The\b|My\b|Our\b|If\b|When\b|What\b|A\b|An\b)[A-Z][a-z]{2,}\b")
_DEFINITE = re.compile(r"\b[Tt]h(?:e|at|is)\s+(?:\w+\s+){0,1}?(\w{3,})\b")
_TIME_BOUND = re.compile(
    r"(?:^|[.!?]\s+)today\b|"
    r"\b(?:i(?:['’]m)?\s+plan(?:ning)?\s+to|tomorrow|tonight|yesterday|this\s+(?:weekend|evening|afternoon|morning|monday|tuesday|wednesday|thursday|friday)|"
    r"next\s+(?:week|weekend|month|monday|tuesday|wednesday|thursday|friday|saturday|sunday)|a\s+few\s+hours|"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day,?\s+\d{1,2}(?:st|nd|rd|th)?\b|last\s+night|"
    r"\d{1,2}(?:st|nd|rd|th)?\s+(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*|just\s+(?:now|released|launched)|"
    r"happy\s+(?:new\s+year|birthday|diwali|holidays)|season['’]s\s+greetings|(?:merry\s+)?christmas)\b",
    re.MULTILINE,
)
_CALL = re.compile(
    r"\b(?:sign\s*up|register|rsvp|join\s+(?:us|me)|subscribe|follow\s+me|dm\s+me|apply\s+(?:here|now)|fill\s+(?:this|in)|"
    r"book\s+(?:a|your)\s+\w+|see\s+you\s+(?:there|all|at)|we(?:['’]re|\s+are)\s+hiring|looking\s+for\s+an?|internship|e?mail\s+me|dear\s+\w+|interested\s+in\s+an?|link\s+in|in\s+the\s+comments|"
    r"venue|tickets?|(?:public|free|upcoming)\s+event|event\s+by|hosted\s+by|open\s+to\s+all|don['’]t\s+miss|check\s+(?:it|them|this)\s+out|(?:please\s+)?try\s+it(?:\s+out)?|give\s+it\s+a\s+(?:try|go|spin)|"
    r"congrat\w*|thank\s+you|thanks\s+(?:to|for)|shout-?out|webinar|giveaway|i['’]ll\s+(?:be|share|talk|show|post)|will\s+be\s+speaking|"
    r"is\s+(?:live|online)\s+(?:now)?|read\s+(?:more|on)|full\s+(?:article|post|story|talk|video|analysis|list)|comment\s+below)\b",
)
_DEICTIC = re.compile(
    r"\b(?:see|in|from|via)?\s*(?:the\s+)?(?:picture|screenshot|photo|image|slides?|video|carousel|attached|attachment|below|"
    r"transcript|podcast\s+below|this\s+(?:post|article|talk|thread|essay|chart))\b",
)
_MENTION = re.compile(r"\w@\w|(?<![\w.])@[A-Za-z]\w+|\{\{|urn:li:")
_MARKUP = re.compile(
    r"\]\(|`|^[_*]\w|\w[_*]\W*$|\[\^|\\[\w\s]|\\$|\^\w+\^|\$\$|\{[#.%<]|[<>]\s*$|\*\w|\w\*|(?<!\w)_\w[^_]*_(?!\w)|^\s*(?:#{1,6}\s|\||>|!\[|<\w+)|</?\w+[^>]*>",
    re.MULTILINE,
)
_LIST_MARK = re.compile(r"^\s*(?:[•→▶✅❌🔹🔸▪️➡️*+–—-]|\d{1,2}[.)]|[a-z][.)])\s+|^\s*(?:\.{3}|…)")
# The old text speaking of itself, of its parts and of its day.
_SELF = re.compile(
    r"\b(?:(?:this|the|my|our|previous|last|first|next|another|same|that|follow-?up|older?|earlier|original)\s+"
    r"(?:[\w'’-]+\s+){0,2}?(?:blog\s*posts?|posts?|articles?|essays?|series|section|chapter|tutorial|newsletter|episode|issue|edition|"
    r"retrospective|readers?|write-?up|excerpt|footnotes?)|(?:blog\s+)?posts?\s+(?:like|about)\s+this|"
    r"in\s+(?:the\s+)?(?:previous|next|last)\s+\w+|above|below|previously|aforementioned|as\s+of\s+(?:this|now|\w+,?\s+20\d\d)|"
    r"(?:time|moment)\s+of\s+writing|stay\s+tuned|tl;?dr|see\s+also|part\s+(?:one|two|three|\d)|"
    r"let['’]s\s+(?:look|see|start|begin|take|dive|get|try|go|say|unpack|continue|move|return|consider|assume|imagine|talk|discuss|now)|"
    r"(?:i|we)(?:['’]ll|\s+will|['’]m\s+going\s+to|\s+want\s+to|\s+won['’]t|['’]d\s+like\s+to|\s+promised\s+to)\s+(?:first\s+|now\s+|also\s+|briefly\s+|then\s+)?(?:cover|explain|describe|show|"
    r"discuss|walk|look|talk|write|outline|argue|disentangle|highlight|focus|link|demonstrate|present|share|list|go\s+(?:over|through|into))|"
    r"(?:mentioned|said|noted|wrote|described|discussed|covered|seen|saw|explained|shown)\s+(?:earlier|before|above|previously|in)|"
    r"i\s+(?:explained|described|discussed|covered|argued|outlined)\b|as\s+(?:i|we)\s+(?:said|mentioned|noted|wrote|described|discussed|saw|have\s+seen)|the\s+following|as\s+follows|"
    r"(?:this|the|my)\s+blog|(?:this|these|my)\s+(?:\w+\s+){0,3}(?:guides?|guidelines|examples?|tips)|(?:i|we)(?:['’]m|\s+am|['’]re|\s+are)\s+(?:publishing|releasing|sharing)|i\s+present\s+to|"
    r"thanks\s+for\s+reading|(?:cover|hero)\s+(?:image|photo|art)|hacker\s+news|disclaimer|"
    r"(?:illustrations?|images?|photos?|cartoons?|diagrams?|art(?:work)?|screenshots?|editing|edited)\s+(?:by|from|courtesy)|discussions?\s+(?:on|at)|"
    r"(?:i|we)\s+(?:once\s+|recently\s+|also\s+)?(?:wrote|blogged|published|posted|tweeted)|i\s+post\s+an?\s+update|(?:decided|wanted)\s+to\s+(?:write|edit|publish|share|document)|enjoy!|"
    r"(?:we|i)(?:['’]ve|\s+have)\s+(?:covered|seen|discussed|looked|shown|described)|i\s+want\s+to\s+(?:post|write|show|talk|share|cover)|let\s+me\s+(?:describe|explain|show|start|elaborate)|"
    r"here\s+(?:we|i)(?:['’]ll|\s+will)|(?:this|that)\s+one\s+is|(?:more|much\s+more)\s+on\s+(?:this|that)|(?:quick|short|brief)\s+(?:one|post|note|update)|share\s+a\s+link|"
    r"here\s+(?:are|is)\s+(?:my|some|a\s+few|the)|here['’]s\s+(?:my|how|what|the|a)|scope\s+of\s+this|feel\s+free\s+to\s+skip|skip\s+(?:to|this|ahead))\b",
)
_LABEL = re.compile(
    r"^\W*(?:results?|grade|nb|ps|update|updated|edit|note|warning|disclaimer|caveat|credits?|source|photo|image|figure|table|discussion|goal)\s*\d*\s*:",
    re.MULTILINE,
)
_RELATIVE_TIME = re.compile(
    r"\b(?:(?:this|last|past|next|previous)\s+(?:few\s+)?(?:months?|quarter|weeks?|semester|spring|summer|autumn|fall|winter)|at\s+the\s+moment|right\s+now|"
    r"currently|lately|so\s+far|today|this\s+year|not\s+(?:\w+\s+)?yet|until\s+then|for\s+now|time\s+for\s+an(?:other)?|these\s+days|nowadays|last\s+year|in\s+(?:january|february|march|april|may|june|july|august|september|october|november|december)|"
    r"(?:a\s+)?(?:few|couple\s+of|two|three|six|\d+)\s+(?:days|weeks|months)\s+ago)\b",
)
_PERSONS = {
    "I": re.compile(r"\b(?:I|my|me|I['’]\w+)\b"),
    "we": re.compile(r"\b(?:we|our|us)\b", re.IGNORECASE),
    "you": re.compile(r"\b(?:you|your)\b", re.IGNORECASE),
}
_PAST = re.compile(r"\b(?:was|were|had|did|went|took|made|got|came|said|thought|found|wrote|built|\w{3,}ed)\b")
_ENDING = re.compile(r"(?<=\w{3})(?:ings?|ten|ed|es|ers?|ly|s|e)$")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_CLOSED = re.compile(
    r"\bhere\)?[:.]?\s*$|\b(?:is|are|see|listed|details|more|link|list|shown)\s+below\b|(?:^|[.!?)])\s*here(?:['’]s|\s+is|\s+are)[^.:!?\n]*[.!](?=\s|$)",
    re.MULTILINE,
)
_YEAR = re.compile(r"\b(?:19[89]|20[0-4])\d\b")
_OCCASION = re.compile(r"\b(?:recently|this year|talk|workshop|session|meetup|conference|hackathon)\b")
# Of small letters, as they are searched in: `re` compares letters of both cases one after the other, which took twice
# as long.
_FORBIDDEN = (_TIME_BOUND, _CALL, _CLOSED, _SELF, _LABEL)
_SPEAKS_AGAINST = ((_DEICTIC, 0.3), (_OCCASION, 0.4), (_YEAR, 0.15), (_RELATIVE_TIME, 0.35))


def plain(text: str) -> str:
    """The text as a reader hears it: mathematical bold and italic letters folded to plain ones (NFKC)."""
    return unicodedata.normalize("NFKC", text)


@lru_cache(maxsize=4096)
def stems(text: str) -> frozenset[str]:
    """Content words without stop words, ending and all but five letters: "dashboard" meets "dashboards"."""
    words = (match.lower().replace("-", "") for match in _WORD.findall(plain(text)))
    return frozenset(_ENDING.sub("", word)[:5] for word in words if len(word) > 2 and word not in STOP_WORDS)


def is_english(text: str) -> bool:
    """Whether a fifth or more of the words are English function words."""
    words = [word.lower() for word in _WORD.findall(plain(text))]
    return bool(words) and sum(word in FUNCTION_WORDS for word in words) >= 0.2 * len(words)


def is_list_item(line: str) -> bool:
    """Whether a line is an item of a list."""
    mark = line.lstrip()[:1]
    return bool(_LIST_MARK.match(line)) or bool(mark and unicodedata.category(mark) == "So")


def names(text: str) -> set[str]:
    """Words written with a capital inside a sentence: people, places, products."""
    return set(_NAMED.findall(plain(text)))


@lru_cache(maxsize=8192)
def leaning(sentence: str, left_behind: str, present: str = "") -> float:
    """How much a sentence leans on text that would be left out: 0 stands alone, 1 cannot.

    left_behind: what precedes it in its document and is not taken along; present: what stands before it in the draft
    and comes from the same document.
    """
    text = plain(sentence).strip()
    if is_list_item(text) or text[:1].islower() or text[:1].isdigit() or len(text.split()) < 4:
        return 1.0
    if tie := _TIE.match(text):
        rest = text[tie.end() :]
        return max(0.6, leaning(rest[:1].upper() + rest[1:], left_behind, present))
    if _START.match(text) and not _START_FINE.match(text):
        return 1.0
    backward = _BACKWARD.search(_THIS_FINE.sub(" ", text))
    if backward and left_behind:
        return 0.9
    for pronoun, antecedent in ((_PERSON, _SOMEBODY), (_THING, _ONE), (_THINGS, _SEVERAL)):
        found = pronoun.search(text)
        if found and left_behind and not antecedent.search(" " + text[: found.start()]):
            return 0.9
    if not left_behind:
        return 0.0
    if text[0] in "\"“‘'(":
        return 0.7
    if _ALSO.search(text):
        return 0.35
    omitted = stems(left_behind) - stems(present)
    if stems(" ".join(_DEFINITE.findall(text))) & omitted:
        return 0.8
    if re.match(r"(?:The|My|Our)\b", text) and (not _SUPERLATIVE.match(text) or stems(text[:60]) & omitted):
        return 0.6 if not _SUPERLATIVE.match(text) else 0.35
    first = text.split()[0].strip("\"'“”‘’,.")
    if first in names(text + " " + text) and first in left_behind:
        return 0.5
    return 0.2 if names(text) & (names(left_behind) - names(present)) else 0.0


def opening_leaning(sentences: Sequence[str], left_behind: str, present: str = "") -> float:
    """`leaning` of how a passage begins: its first sentence, and the second where the first says little ("Sure.")."""
    first = leaning(sentences[0], left_behind, present)
    short = len(sentences) > 1 and left_behind and len(sentences[0].split()) < 6
    return max(first, 0.8) if short and _BARE_SUBJECT.match(sentences[1]) else first


def ties(text: str) -> bool:
    """Whether a text begins with a word that ties it to the thought before ("But", "So")."""
    return bool(_TIE.match(plain(text)))


@lru_cache(maxsize=1024)  # of a passage of one sentence it is asked four times
def flaws(text: str) -> float:
    """What speaks against using a passage again; 1 forbids it: a day long past, a call to act, a mention, markup, the
    old text speaking of itself."""
    text = plain(text)
    small = text.lower()
    if _MENTION.search(text) or _MARKUP.search(text) or any(pattern.search(small) for pattern in _FORBIDDEN):
        return 1.0
    return min(0.9, sum(weight * bool(pattern.search(small)) for pattern, weight in _SPEAKS_AGAINST))


@lru_cache(maxsize=4096)
def manner(text: str) -> tuple[str, str]:
    """(person, tense) of a text: "I", "we", "you" or "" for none; "past" or "present"."""
    text = plain(text)
    counts = {who: len(pattern.findall(text)) for who, pattern in _PERSONS.items()}
    person = max(counts, key=lambda who: counts[who]) if any(counts.values()) else ""
    sentences = max(1, len(re.findall(r"[.!?]", text)))
    return person, "past" if len(_PAST.findall(text)) >= 0.6 * sentences else "present"
