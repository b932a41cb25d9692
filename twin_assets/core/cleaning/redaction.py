"""redact(): secrets, and people's e-mail addresses, phone numbers and postal addresses, out of a text before anything
learns it.

detect-secrets knows the shapes of keys and tokens, phonenumbers the numbering plans of the world, pyap the postal
addresses of the United States, Canada and Britain. Only what is certain goes, since a false find destroys the author's
own words: a key by its issuer's format, a number that could be dialled and stands in international form or after a
word such as "call", a street with its number and its postal code.

The author's own published contact stays: an e-mail address at the domain of the page it stands on (write to me@ on
me.example/contact), and what the author's settings list (Author.contacts).
"""

import re
from collections import Counter
from collections.abc import Collection
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from twin_assets.core.cleaning.postal import postal_addresses

SECRET, E_MAIL, PHONE, POSTAL = "secret", "e-mail address", "phone number", "postal address"
NOTES = {
    SECRET: "[secret removed]", E_MAIL: "[e-mail removed]", PHONE: "[phone number removed]",
    POSTAL: "[postal address removed]",
}  # fmt: skip

_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL)
_TOKENS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{40,}|sk-ant-[\w-]{20,}|AIza[\w-]{35}|xai-[A-Za-z0-9]{40,}"
    r"|github_pat_\w{50,}|glpat-[\w-]{20,}|dop_v1_[0-9a-f]{64}|shpat_[0-9a-fA-F]{32})"
)
_ADDRESS = re.compile(
    r"(?<![\w.+/:@-])[A-Za-z0-9][\w.+-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}\b"
    r"|(?<=mailto:)[\w.+-]{1,64}@[\w.-]+\.[A-Za-z]{2,24}\b"
)
# Nobody's: reserved for examples (RFC 2606), and the accounts of machines.
_NOBODY = re.compile(
    r"(?:.*@(?:[\w-]+\.)*example\.(?:com|org|net|edu)|.*\.(?:example|test|invalid|localhost|local)|git@.*"
    r"|.*no-?reply.*@.*|.*@users\.noreply\..*|.*\.(?:jpe?g|png|gif|svg|webp|css|json|ya?ml|html?)|(?:user|name|me|you|email|foo|bar|test)@(?:domain|email|foo|bar)\.com)",
    re.I,
)
# Hosts on which many people write: an address at one of these is not the page's own.
_SHARED = ("github.com", "gitlab.com", "medium.com", "substack.com", "linkedin.com", "x.com", "twitter.com")
_INTERNATIONAL = re.compile(r"\(?\+\(?(?=\d[\d ().\-/\u00a0]{6})")  # "0x0 + 4942559348" is a sum
_CALLED = re.compile(
    r"(?:\b(?:call|phone|tel|telephone|mobile|cell|fax|whatsapp|sms)\b|☎|📞|📱)[^\n\d+(]{0,24}(?=\(?\d[\d ().\-/]{6})",
    re.IGNORECASE,
)
LONGEST_NUMBER = 40
_PLUGINS = (
    "aws.AWSKeyDetector", "azure_storage_key.AzureStorageKeyDetector", "basic_auth.BasicAuthDetector",
    "discord.DiscordBotTokenDetector", "github_token.GitHubTokenDetector", "gitlab_token.GitLabTokenDetector",
    "jwt.JwtTokenDetector", "mailchimp.MailchimpDetector", "npm.NpmDetector", "openai.OpenAIDetector",
    "pypi_token.PypiTokenDetector", "sendgrid.SendGridDetector", "slack.SlackDetector",
    "square_oauth.SquareOAuthDetector", "stripe.StripeDetector", "telegram_token.TelegramBotTokenDetector",
    "twilio.TwilioKeyDetector",
)  # fmt: skip


def redact(text: str, *, url: str = "", own: Collection[str] = ()) -> tuple[str, Counter[str]]:
    """The text with what must not be learned replaced by a note in brackets, and how many of each kind there were.

    url: of the page the text stands on; own: the author's own e-mail addresses and phone numbers, which stay.
    """
    counts: Counter[str] = Counter()
    text, counts[SECRET] = _PRIVATE_KEY.subn(NOTES[SECRET], text)
    text, tokens = _TOKENS.subn(NOTES[SECRET], text)
    counts[SECRET] += tokens
    for secret in _secrets(text):
        counts[SECRET] += text.count(secret)
        text = text.replace(secret, NOTES[SECRET])
    text, counts[E_MAIL] = _redact_mail(text, _domain(url), {address.lower() for address in own})
    text, counts[PHONE] = _cut(text, _phone_numbers(text, {_digits(number) for number in own}), NOTES[PHONE])
    text, counts[POSTAL] = _cut(text, postal_addresses(text), NOTES[POSTAL])
    return text, +counts


def _secrets(text: str) -> list[str]:
    """Keys and tokens in the text, longest first."""
    # Every format has a run of 16 characters without a space; most texts have none outside their links.
    lines = [line for line in text.split("\n") if re.search(r"[\w+/=.:@-]{16,}", line)]
    found = {secret for line in lines for plugin in _plugins() for secret in plugin.analyze_string(line) if secret}
    return sorted(found, key=lambda secret: (-len(secret), secret))


@cache
def _plugins() -> list[Any]:
    from importlib import import_module

    names = [name.split(".") for name in _PLUGINS]
    return [getattr(import_module(f"detect_secrets.plugins.{module}"), kind)() for module, kind in names]


def _domain(url: str) -> str:
    """The host an author writes on alone, without "www."; "" where others write there too."""
    try:
        host = (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:
        return ""
    return "" if host in _SHARED or host.endswith(tuple(f".{shared}" for shared in _SHARED)) else host


def _redact_mail(text: str, domain: str, own: Collection[str]) -> tuple[str, int]:
    if "@" not in text:
        return text, 0
    count = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal count
        address = match[0].lower()
        host = address.rpartition("@")[2]
        its_own = domain and (host == domain or domain.endswith(f".{host}"))
        if its_own or address in own or _NOBODY.fullmatch(address):
            return match[0]
        count += 1
        return NOTES[E_MAIL]

    return _ADDRESS.sub(replace, text), count


def _phone_numbers(text: str, own: Collection[str]) -> list[tuple[int, int]]:
    """Where numbers stand that could be dialled: in international form, or American ones after a word of calling."""
    places: list[tuple[int, str | None]] = [(match.start(), None) for match in _INTERNATIONAL.finditer(text)]
    places += [(match.end(), "US") for match in _CALLED.finditer(text)]
    found: list[tuple[int, int]] = []
    for place, region in sorted(places, key=lambda place: place[0]):
        span = _number_at(text, place, region)
        if span and _digits(text[slice(*span)]) not in own and (not found or span[0] >= found[-1][1]):
            found.append(span)
    return found


def _number_at(text: str, place: int, region: str | None) -> tuple[int, int] | None:
    """Where the number ends that begins at this place, if one does (the matcher takes seconds for a long text)."""
    from phonenumbers import Leniency, PhoneNumberMatcher

    window = text[place : place + LONGEST_NUMBER]
    for match in PhoneNumberMatcher(window, region, leniency=Leniency.VALID):
        # The matcher takes a parenthesis around the number for its beginning.
        start = match.start + (match.raw_string.startswith("(") and ")" not in match.raw_string)
        return (place + start, place + match.end) if start <= 1 else None
    return None


def _digits(number: str) -> str:
    return re.sub(r"\D", "", number)


def _cut(text: str, spans: list[tuple[int, int]], note: str) -> tuple[str, int]:
    for start, end in reversed(spans):
        text = text[:start] + note + text[end:]
    return text, len(spans)
