"""redact(): secrets, and people's e-mail addresses and phone numbers, out of a text before anything learns it.

detect-secrets knows the shapes of keys and tokens, phonenumbers the numbering plans of the world. Only what is certain
goes: a key by its issuer's format, a number in international form that could be dialled.
"""

import re
from functools import cache
from typing import Any

SECRET, E_MAIL, PHONE = "[secret removed]", "[e-mail removed]", "[phone number removed]"

_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL)
_TOKENS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{40,}|sk-ant-[\w-]{20,}|AIza[\w-]{35}|xai-[A-Za-z0-9]{40,})"
)
_ADDRESS = re.compile(
    r"(?<![\w.+/:@-])[A-Za-z0-9][\w.+-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}\b"
)
# Nobody's: reserved for examples (RFC 2606), and the accounts of machines.
_NOBODY = re.compile(
    r"(?:.*@(?:[\w-]+\.)*example\.(?:com|org|net)|.*\.(?:example|test|invalid|localhost|local)|git@.*|.*noreply.*@.*)",
    re.I,
)
_PLUGINS = (
    "aws.AWSKeyDetector", "azure_storage_key.AzureStorageKeyDetector", "basic_auth.BasicAuthDetector",
    "discord.DiscordBotTokenDetector", "github_token.GitHubTokenDetector", "gitlab_token.GitLabTokenDetector",
    "jwt.JwtTokenDetector", "mailchimp.MailchimpDetector", "npm.NpmDetector", "openai.OpenAIDetector",
    "pypi_token.PypiTokenDetector", "sendgrid.SendGridDetector", "slack.SlackDetector",
    "square_oauth.SquareOAuthDetector", "stripe.StripeDetector", "telegram_token.TelegramBotTokenDetector",
    "twilio.TwilioKeyDetector",
)  # fmt: skip


def redact(text: str) -> tuple[str, int]:
    """The text with what must not be learned replaced by a note in brackets, and how many replacements there were."""
    text, count = _PRIVATE_KEY.subn(SECRET, text)
    text, tokens = _TOKENS.subn(SECRET, text)
    count += tokens
    for secret in _secrets(text):
        count += text.count(secret)
        text = text.replace(secret, SECRET)
    text, addresses = _redact_addresses(text)
    text, numbers = _redact_numbers(text)
    return text, count + addresses + numbers


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


def _redact_addresses(text: str) -> tuple[str, int]:
    if "@" not in text:
        return text, 0
    count = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal count
        if _NOBODY.fullmatch(match[0]):
            return match[0]
        count += 1
        return E_MAIL

    return _ADDRESS.sub(replace, text), count


def _redact_numbers(text: str) -> tuple[str, int]:
    if not re.search(r"\+\s?\d", text):
        return text, 0
    from phonenumbers import Leniency, PhoneNumberMatcher

    found = list(PhoneNumberMatcher(text, None, leniency=Leniency.VALID))
    for match in reversed(found):
        # The matcher takes a parenthesis around the number for its beginning.
        start = match.start + (match.raw_string.startswith("(") and ")" not in match.raw_string)
        text = text[:start] + PHONE + text[match.end :]
    return text, len(found)
