"""What gives away a page that only looks as if it carried the text."""

import re
from dataclasses import dataclass
from typing import Literal

CHALLENGE, CONSENT, PAYWALL = "challenge page", "consent wall", "paywall"
LOGIN, MISSING, BROKEN = "login wall", "soft 404", "error page"

REMEDIES = {
    CHALLENGE: "the site lets browsers only; use its feed or export, or paste the text",
    CONSENT: "the site shows its text only after a choice about cookies; paste the text",
    PAYWALL: "only subscribers see the whole text; use the platform's export, or paste the text",
    LOGIN: "the site wants a login; use the platform's export, or paste the text",
    MISSING: "the page is gone although the site answers as if it were there; check the address",
    BROKEN: "the site had a fault of its own; try again later",
}


@dataclass(frozen=True)
class Sign:
    """What gives a page away, where it stands, and up to how many words of prose it counts.

    A notice is short; a text that mentions one is not. What only a machine writes counts on longer pages.
    """

    reason: str
    where: Literal["markup", "title", "visible"]
    prose: int
    pattern: re.Pattern[str]


def _sign(reason: str, where: Literal["markup", "title", "visible"], prose: int, *patterns: str) -> Sign:
    return Sign(reason, where, prose, re.compile("|".join(patterns), re.IGNORECASE))


# Formats as documented and recorded in public code: Cloudflare, DataDome, HUMAN (PerimeterX), Imperva, Akamai, Kasada,
# Sucuri, AWS WAF, Vercel, Anubis, DDoS-Guard; Google's, YouTube's and Yahoo's consent pages; Substack, Medium, Ghost.
SIGNS = (
    _sign(
        CHALLENGE, "markup", 250,
        r"_cf_chl_opt|/cdn-cgi/challenge-platform/h/|cf-browser-verification|cf-error-details",
        r"id=.challenge-(form|running)|captcha-delivery\.com|px-captcha|_Incapsula_Resource|incapsula incident id",
        r"distil_referrer|errors\.edgesuite\.net|reference\s*#\s*\d+\.[0-9a-f]+\.\d+|sec-if-cpt-container|bm-verify",
        r"KPSDK|sucuri website firewall|sucuri_cloudproxy|awsWafCookieDomainList|token\.awswaf\.com",
        r"id=.anubis_challenge|ddos-guard/|/sorry/index|vercel security checkpoint",
    ),
    # Their scripts stand on ordinary pages too.
    _sign(CHALLENGE, "markup", 40, r"_pxAppId|perimeterx assignments|var dd=\{|validateCaptcha|sgcaptcha"),
    _sign(
        CHALLENGE, "title", 150,
        r"^\W*(just a moment|attention required|access denied|checking your browser)",
        r"^\W*(pardon our interruption|robot ch(eck|allenge)|client challenge|one moment,? please)",
        r"^\W*((are you|you are) (a |not a )?(robot|human)|(vercel )?security check(point)?|human verification)",
        r"^\W*(one more step|request (blocked|rejected)|you have been blocked|ddos-guard|please wait|making sure you)",
    ),
    _sign(
        CHALLENGE, "visible", 150,
        r"verify(ing)? (that )?you are (a )?human|are you a robot|enable javascript and cookies to continue",
        r"unusual (traffic|activity) from your|you have been blocked|press (and|&) hold|bestätigen sie.{0,40}mensch",
        r"prove (that )?you.{0,4}re (a )?human|automated access to (this|our)|checking (if the site|your browser)",
    ),
    _sign(
        CONSENT, "markup", 150,
        r"action=.https://consent\.(google|youtube)\.|//(guce|consent)\.(yahoo|aol|oath)\.|/collectConsent",
    ),
    _sign(CONSENT, "title", 150, r"^\W*(before you continue|bevor sie .*fortfahren|avant de continuer)"),
    _sign(CONSENT, "visible", 60, r"before you continue to (google|youtube|yahoo|bing)"),
    _sign(
        PAYWALL, "visible", 400,
        r"this (post|article|content|story|episode) is (only )?for (paid |paying )?(subscribers|members)",
        r"subscribe (now )?to (continue|keep|read)( reading)?|become a (paid )?(member|subscriber) to read",
        r"member-only story|already a (paid )?(member|subscriber)\?|available to medium members only",
        r"to read the (full|rest of th\w+) (story|article|post)|create an account to read the full story",
        r"(keep reading|read on|continue) with a .{0,20}free trial|you.ve reached your (free )?(article )?limit",
        r"(weiterlesen|diesen artikel lesen) mit .{0,20}(\+|plus|abo)|(article|contenu) réservé aux abonnés",
        r"(contenido|artículo) (exclusivo )?para suscriptores",
        r"(register|sign up|log in|join|subscri|abonn|reg[ií]st|suscr|inscri|iscriv|anmeld).{0,50}"
        r"(continue reading|keep reading|seguir leyendo|continuare a leggere|verder (te )?lezen|weiter ?lesen"
        r"|lire la suite)",
        r"(continue reading|seguir leyendo|continuare a leggere|verder (te )?lezen|weiter ?lesen|lire la suite).{0,50}"
        r"(register|sign up|log in|subscri|abonn|abbon|reg[ií]st|suscr|inscri|iscriv|anmeld)",
        r"(only|nur|alleen|solo|solamente|uniquement|somente|exclusiv\w+) (available )?(for|to|für|voor|para|per|pour) "
        r"[\w ]{0,20}(subscribers|members|abonnenten|abonnees|suscriptores|abbonati|abonnés|assinantes|mitglieder)",
    ),
    _sign(PAYWALL, "markup", 120, r"isAccessibleForFree\W{1,4}false"),
    _sign(
        LOGIN, "visible", 150,
        r"(sign|log) ?in (or (sign up|join) )?to (continue|view|read|see)|join linkedin|join to view|authwall",
        r"you must (log|sign) ?in to|see posts, photos and more on|log into facebook|sign up to see",
        r"(bitte )?melden sie sich an,? um|connectez-vous pour",
    ),
    _sign(LOGIN, "markup", 80, r"linkedin\.com/authwall|trk=.?authwall|/checkpoint/lg/"),
    _sign(
        MISSING, "title", 200,
        r"^\W*(error )?4(04|10)\W*($|\W(?=\s)|(page )?not found|error)|\b404 (error|not found|page)|error 404",
        r"^\W*not found|(page|story|post|article|site) (was |could )?(not|n.t) (be )?(found|available|exist)",
        r"seite (wurde )?nicht gefunden|page (introuvable|non trouvée)|página no encontrada|página não encontrada",
        r"pagina non trovata|nie znaleziono|не найдена|ページが見つかりません|页面不存在",
    ),
    _sign(
        MISSING, "visible", 150,
        r"(page|story|post|article|link|account|content) (you( are|.re)? ?(looking for|requested|followed|want) )?"
        r"((was|is|could|can|does|do|has|may) ?)?(not|n.t|no longer) (be )?(been )?(found|exist|available|accessible)",
        r"out of nothing, something|this (account|site|blog|publication) (has been|is) (suspended|deleted|removed)",
        r"user deactivated|error 404|404 error|(buy this|this) domain (is|may be) for sale",
        r"diese seite existiert nicht|cette page n.existe (pas|plus)|esta página no existe",
    ),
    _sign(
        BROKEN, "visible", 60,
        r"error establishing a database connection|(internal|unexpected) (server )?error",
        r"under (scheduled )?maintenance",
        r"(502 )?bad gateway|503 service|service (temporarily )?unavailable|504 gateway|something went wrong",
        r"there has been a critical error",
    ),
)  # fmt: skip

HINTED = 60  # words; on a page with no more of running text, two different hints at one thing are enough
HINTS = tuple(
    (reason, re.compile(pattern, re.IGNORECASE))
    for reason, pattern in (
        (
            CHALLENGE,
            r"(?P<a>robot|\bbot\b|human)|(?P<b>captcha|characters seen)|(?P<c>blocked|denied|limited)"
            r"|(?P<d>securit|connection)"
            r"|(?P<e>browser|javascript|ad blocker)|(?P<f>verif|checking)|(?P<g>unusual|automated)|(?P<i>error 1\d\d\d)"
            r"|(?P<h>(one|just a) moment|stand by|please wait|patience)|(?P<j>rate limit|too many requests)",
        ),
        (
            MISSING,
            r"(?P<a>not found|n.t (be )?f(ind|ound))|(?P<b>sorry|oops)|(?P<c>n.t (currently )?exist|not exist)"
            r"|(?P<d>removed|deleted|moved|no longer)|(?P<e>nothing (is |was )?(here|found))"
            r"|(?P<f>(can ?not|can.t) be (shown|displayed))|(?P<g>looking for)|(?P<h>error in the (url|address))"
            r"|(?P<i>domain)|(?P<j>n.t connected|unknown|has been added|parked)|(?P<k>broken|unavailable"
            r"|n.t available)",
        ),
        (
            LOGIN,
            r"(?P<a>(sign|log) ?in|login|anmeld|connexion)|(?P<b>sign up|register|create an account)"
            r"|(?P<c>private|members.only)"
            r"|(?P<d>(need|request|have) (access|permission))|(?P<e>account|password|passwort)"
            r"|(?P<f>before continuing)",
        ),
        (
            BROKEN,
            r"(?P<a>(application|server) error|error (code )?5\d\d|\b50[0234]\b)"
            r"|(?P<b>backend|gateway|database|server)|(?P<c>unavailable|failed"
            r"|overloaded)"
            r"|(?P<d>try again (later|in a)|back soon|shortly)|(?P<e>maintenance|error occurred|be served)"
            r"|(?P<f>guru meditation|timed? ?out)",
        ),
        (
            PAYWALL,
            r"(?P<a>subscri|abonn)|(?P<b>unlimited access)|(?P<c>free trial|cancel any ?time)|(?P<d>keep reading)"
            r"|(?P<e>choose your plan|per month)|(?P<f>already have an account)|(?P<g>unlock)"
            r"|(?P<h>join now|become a (member|patron))|(?P<i>benefits)",
        ),
    )
)
