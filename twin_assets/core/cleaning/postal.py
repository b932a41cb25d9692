"""postal_addresses(): where whole postal addresses stand in a text.

pyap reads the addresses of the United States, Canada and Britain; it takes seconds for a long text, so it is given the
neighbourhood of what has a postal code's form only. Continental addresses (street, number, code, town) have one
pattern of our own. A town or a street alone is no address.
"""

import re

BEFORE, AFTER = 120, 40  # characters around a postal code that may belong to its address

_STATES = (
    "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[AIT]"
    "|W[AIVY]"
)
_CODES = {
    "US": re.compile(rf"\b(?:(?:{_STATES})|[A-Z][a-z]{{3,}})[,.]?\s+\d{{5}}(?:-\d{{4}})?\b"),
    "CA": re.compile(r"\b[ABCEGHJ-NPRSTVXY]\d[A-Z][ -]?\d[A-Z]\d\b"),
    "GB": re.compile(r"\b[A-Z]{1,2}\d[A-Z\d]?\s\d[ABD-HJLNP-UW-Z]{2}\b"),
}
_CONTINENTAL = re.compile(
    r"\b(?:[A-ZÄÖÜ][\w.äöüß-]+[ -]?(?:straße|strasse|str\.|weg|platz|allee|gasse|ring|damm|ufer|straat|laan|gracht"
    r"|gatan|vej|vägen)|(?:[A-ZÄÖÜ][\w-]+ )(?:Straße|Strasse|Str\.|Weg|Platz|Allee|Ring|Damm|Ufer)"
    r"|(?:Via|Viale|Piazza|Corso|Calle|Avenida|Plaza|Rua|Praça)(?: [\w'’.]+){1,4},?)\s+\d{1,4} ?[a-z]?"
    r"[,\n ]+(?:[A-Z]{1,2}-)?\d{4,5}(?: ?[A-Z]{2})? [A-ZÄÖÜÉÈÀ][\w.äöüßéèàñç-]+"
    r"|\b\d{1,4}(?: ?(?:bis|ter))?,? (?:rue|avenue|boulevard|place|impasse|quai|chemin)"
    r"(?: [\w'’-]+){1,7}[,\n ]+\d{5} [A-ZÉÈ][\w-]+",
)


def postal_addresses(text: str) -> list[tuple[int, int]]:
    """(start, end) of each postal address, in order, not overlapping."""
    found = [match.span() for match in _CONTINENTAL.finditer(text)]
    for country, code in _CODES.items():
        for match in code.finditer(text):
            found.extend(_read(text, max(0, match.start() - BEFORE), match.end() + AFTER, match.end(), country))
    kept: list[tuple[int, int]] = []
    for start, end in sorted(set(found)):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept


def _read(text: str, start: int, end: int, code_end: int, country: str) -> list[tuple[int, int]]:
    """The address around one postal code; it must hold that code."""
    import pyap

    window = text[start:end]
    return [
        (start + address.match_start, start + address.match_end)
        for address in pyap.parse(window, country=country)
        if start + address.match_start < code_end <= start + address.match_end
    ]
