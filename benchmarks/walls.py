"""Pages in the formats of known walls, and honest pages that look like them; the wording is this project's own.

What marks a format (ids, addresses, titles, short set phrases) is as recorded in public code and "
        "documentation; none of
these bytes was captured.
"""

STORY = (
    "The harbour master writes the height of the water into a ledger each morning before the first boat leaves. "
    "Nobody asked for the ledger, and for eleven years nobody read it, until the sea wall had to be measured again. "
    "What the engineers found was a record finer than their own, kept in pencil by a man who disliked computers. "
    "They copied every page, and the wall that stands there now is a hand higher than the first plan had it. "
)
MENU = "".join(f'<li><a href="/{n}">{n}</a></li>' for n in ("News", "Sports", "Opinion", "Arts", "Weather", "Jobs"))


def page(title: str, body: str, head: str = "") -> str:
    """A whole page."""
    return f"<!DOCTYPE html><html><head><title>{title}</title>{head}</head><body>{body}</body></html>"


def article(paragraphs: int = 6, extra: str = "", title: str = "The ledger", head: str = "") -> str:
    """An honest page with a text of so many paragraphs."""
    text = "".join(f"<p>{STORY}</p>" for _ in range(paragraphs))
    return page(title, f"<nav><ul>{MENU}</ul></nav><article><h1>{title}</h1>{text}</article>{extra}", head)


def _shell(script: str) -> str:
    return f'<div id="root"></div><script src="{script}"></script>'


# (reason, name of the format, status, page)
WALLS: tuple[tuple[str, str, int, str], ...] = (
    ("challenge page", "Cloudflare managed challenge", 403, page(
        "Just a moment...", "<noscript><span id='challenge-error-text'>Enable JavaScript and cookies to "
        "continue</span>"
        "</noscript><script>window._cf_chl_opt={cvId:'3',cType:'managed'};</script>")),
    ("challenge page", "Cloudflare challenge at status 200", 200, page(
        "Just a moment...", "<script src='/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1'></script>"
        "<h2>Verifying you are human. This may take a few seconds.</h2>")),
    ("challenge page", "Cloudflare block", 403, page(
        "Attention Required! | Cloudflare", "<div id='cf-error-details'><h1>Sorry, you have been blocked</h1><p>A "
        "service of this site guards it and took the last request for an attack.</p><p>Ray ID: 965e4</p></div>")),
    ("challenge page", "Akamai access denied", 403, page(
        "Access Denied", "<h1>Access Denied</h1>You don't have permission for this page.<p>Reference&#32;&#35;18&#46;"
        "53b06c9&#46;1785874538&#46;b92b78a6</p>")),
    ("challenge page", "Akamai behavioural challenge", 200, page(
        "&nbsp;", "<div id='sec-if-cpt-container'></div><script src='/x/y?v=1'></script>")),
    ("challenge page", "DataDome", 403, page(
        "example.org", "<p id='cmsg'>Please enable JS and disable any ad blocker</p><script>var dd={'rt':'c','host':"
        "'geo.captcha-delivery.com'}</script><script src='https://ct.captcha-delivery.com/c.js'></script>")),
    ("challenge page", "HUMAN (PerimeterX)", 403, page(
        "Access to this page has been denied", "<h1>Press &amp; Hold to confirm you are a person</h1>"
        "<div id='px-captcha'></div>")),
    ("challenge page", "Imperva", 200, page(
        "", "<iframe id='main-iframe' src='/_Incapsula_Resource?SWUDNSAI=31&incident_id=1'>Request unsuccessful. "
        "Incapsula incident ID: 1-2</iframe>")),
    ("challenge page", "Imperva (Distil)", 200, page("Pardon Our Interruption", "<p>Something about your "
        "browser made us "
        "think of a bot: scripts off, or a plug-in in the way.</p>")),
    ("challenge page", "Sucuri", 403, page("Sucuri WebSite Firewall - Access Denied", "<p>Block reason: bad "
        "bot</p>")),
    ("challenge page", "AWS WAF", 202, page("", "<div id='challenge-container'></div><script>window."
        "awsWafCookieDomainList=[];</script><script src='https://a.b.token.awswaf.com/c.js'></script>")),
    ("challenge page", "Vercel checkpoint", 429, page("Vercel Security Checkpoint", "<p>We're verifying your "
        "browser</p>")),
    ("challenge page", "Anubis", 200, page("Making sure you're not a bot!", "<script id='anubis_challenge' "
        "type='application/json'>{}</script><p>Loading...</p>")),
    ("challenge page", "Kasada", 429, page("", "<script>window.KPSDK={};</script><script src='/ips.js'></script>")),
    ("challenge page", "Google, unusual traffic", 429, page("https://www.google.com/search", "<p>Our systems have "
        "detected unusual traffic from your computer network.</p>")),
    ("challenge page", "CAPTCHA of a shop", 200, page("Robot Check", "<p>Type the characters you see in this "
        "image</p>")),
    ("consent wall", "Google", 200, page("Before you continue", "<h1>Before you continue</h1><form action="
        "'https://consent.google.com/save'><button>Reject all</button><button>Accept all</button></form><p>We "
        "use cookies "
        "and data to run our services, to guard them against abuse and to measure how they are used.</p>")),
    ("consent wall", "YouTube", 200, page("Before you continue to YouTube", "<form "
        "action='https://consent.youtube.com/"
        "save'></form><p>We use cookies and data.</p>")),
    ("consent wall", "Yahoo", 200, page("Yahoo is part of a family of brands", "<form action='/v2/collectConsent?"
        "sessionId=1'><p>If you click accept all, we and our partners store information on your device.</p></form>")),
    ("consent wall", "a publisher's", 200, page("Your privacy", "<h1>We value your privacy</h1><p>We and our 842 "
        "partners store and read personal data, such as cookies and addresses, on your device.</p><p>With your "
        "consent we and our partners may use precise location data.</p><button>Accept all</button>")),
    ("consent wall", "a publisher's, in German", 200, page("Zustimmung", "<h1>Ihre Zustimmung</h1><p>Wir und unsere "
        "Partner verwenden Cookies und ähnliche Techniken, um Anzeigen zu messen.</p><p>Näheres steht in der "
        "Erklärung "
        "zum Datenschutz dieser Seite.</p>")),
    ("paywall", "Substack", 200, article(1, "<div class='paywall'><h2 class='paywall-title'>This post is for paid "
        "subscribers</h2><a href='/subscribe'>Subscribe</a><p>Already a paid subscriber? <a>Sign in</a></p></div>")),
    ("paywall", "Medium", 200, article(1, "<p>Member-only story</p><h2>Create an account to read the full story.</h2>"
        "<p>The author made this story available to Medium members only.</p>")),
    ("paywall", "Ghost", 200, article(2, "<aside class='gh-post-upgrade-cta'><h2>This post is for subscribers "
        "only</h2>"
        "<a>Subscribe now</a></aside>")),
    ("paywall", "a newspaper's, by its JSON-LD", 200, article(1, head="<script type='application/ld+json'>{\"@type\":"
        "\"NewsArticle\",\"isAccessibleForFree\":false}</script>")),
    ("paywall", "a newspaper's, by its words", 200, article(2, "<div><h3>Subscribe to continue reading</h3></div>")),
    ("paywall", "a newspaper's limit", 200, article(1, "<h3>You've reached your free article limit</h3>")),
    ("paywall", "a newspaper's, in French", 200, article(1, "<p>Article réservé aux abonnés</p>")),
    ("login wall", "LinkedIn authwall", 200, page("Sign Up | LinkedIn", "<h1>Join LinkedIn</h1><form><input name="
        "'session_key'></form><a href='https://www.linkedin.com/authwall?trk=x'>Sign in</a>")),
    ("login wall", "Facebook", 200, page("Log into Facebook", "<p>You must log in to continue.</p>")),
    ("login wall", "Instagram", 200, page("Login", "<p>See posts, photos and more on Instagram.</p>")),
    ("login wall", "a forum's", 200, page("Members", "<p>Please sign in to view this page.</p>")),
    ("soft 404", "Medium", 200, page("Medium", "<p>PAGE NOT FOUND</p><h1>404</h1><p>Out of nothing, something.</p>")),
    ("soft 404", "Substack", 200, page("Page not found", "<h1>Page not found</h1>")),
    ("soft 404", "WordPress", 200, page("Page not found &#8211; A blog", f"<ul>{MENU}</ul><h1>Oops! That page "
        "can&rsquo;t be found.</h1><p>It looks like nothing was found here. Maybe try a search?</p>")),
    ("soft 404", "with a long list of other articles", 200, page("404 | Example", "<h1>Sorry</h1>" + "".join(
        f"<h3><a href='/{n}'>The harbour master and his ledger, part {n} of a very long series</a></h3>"
        for n in range(60)))),
    ("soft 404", "in German", 200, page("Seite nicht gefunden", "<p>Diese Seite existiert nicht.</p>")),
    ("soft 404", "a blog that was closed", 200, page("Blog", "<p>This blog has been suspended.</p>")),
    ("soft 404", "a domain for sale", 200, page("example.org", "<h1>Buy this domain</h1><p>This domain is for "
        "sale.</p>")),
    ("soft 404", "YouTube", 200, page("YouTube", "<p>This video isn't available any more</p><p>The page "
        "you're looking "
        "for isn't available.</p>")),
    ("error page", "WordPress without its database", 200, page("Database Error", "<h1>Error establishing a database "
        "connection</h1>")),
    ("error page", "maintenance", 200, page("Back soon", "<p>We are under scheduled maintenance.</p>")),
    ("empty body", "an application's shell", 200, page("App", "<noscript>You need to enable JavaScript to run "
        "this app."
        "</noscript>" + _shell("/static/main.js"))),
    ("empty body", "nothing at all", 200, page("", "")),
    ("status 404", "an honest 404", 404, page("Nothing here", "<p>There is no such page.</p>")),
    ("status 410", "an honest 410", 410, page("Gone", "<p>It is gone.</p>")),
    ("status 403", "a plain refusal", 403, page("Forbidden", "<p>Not for you.</p>")),
)  # fmt: skip

# (name, page): honest texts that carry what a careless detector takes for a wall
HONEST: tuple[tuple[str, str], ...] = (
    ("Cloudflare's script on an ordinary page", article(2, "<script "
        "src='/cdn-cgi/challenge-platform/scripts/jsd/main.js'>"
        "</script>")),
    ("DataDome's tag on an ordinary page", article(3, "<script src='https://js.datadome.co/tags.js'></script>")),
    ("a form with reCAPTCHA", article(2, "<form><div class='g-recaptcha'></div>Are you a human?</form>")),
    ("a cookie banner on a short post", article(1, "<div class='cookie'><p>We use cookies to make this site "
        "work, see our "
        "privacy policy.</p><button>Accept all</button></div>")),
    ("a text about cookies", page("How cookies work", "<p>" + "</p><p>".join([
        "A cookie is a line of text that a server hands to a browser, and that the browser hands back.",
        "Laws on privacy say that one must ask for consent before most of them are set.",
        "In the ledger of the harbour there are none, and nobody ever asked the tide for its consent.",
        STORY, STORY]) + "</p>")),
    ("a text whose title begins as a challenge's", article(3, title="Access denied: a short history of locked "
        "gates")),
    ("a text on a car named 404", article(2, title="The Peugeot 404 of my grandfather")),
    ("a text that says a page was not found", article(2, "<p>The last page of the ledger could not be found.</p>")),
    ("a full text marked as not free", article(8, head="<script type='application/ld+json'>{\"isAccessibleForFree\":"
        "\"False\"}</script>")),
    ("a full text with a member's link in the menu", article(8, "<footer>Already a subscriber? Sign in</footer>")),
    ("a login link in the menu", article(3, "<nav><a>Log in to continue</a></nav>")),
    ("a short note", page("Note", "<p>The tide was early today and so was I.</p>")),
    ("a text on verifying that you are human", article(4, "<p>Some sites verify you are human before they let "
        "you in.</p>")),
    ("a noscript notice beside a text", article(2, "<noscript>Please enable JavaScript to see comments</noscript>")),
    ("a short note on a server", page("Moved", "<article><p>The old server failed, so the database moved; "
        "sorry for the "
        "day nothing could be found here.</p></article>")),
    ("a status page's text", article(2, title="Why our service was under maintenance for a week")),
)  # fmt: skip

# Formats that were looked at only after the detector's signs had been written: what it finds of them without having
# been made for them says more than what it finds of the ones above.
LATER: tuple[tuple[str, str, int, str], ...] = (
    ("challenge page", "Reddit", 200, page("",
        "<h1>whoa there</h1><p>You've been blocked by network security. To continue, log in to your account "
        "or use your developer token.</p>")),
    ("challenge page", "JSTOR/Akamai", 200, page("Client Challenge",
        "<p>Enter the characters seen in the image below</p>")),
    ("challenge page", "Crunchbase/Cloudflare", 200, page("One moment, please…",
        "<p>Please stand by while your request is looked at</p>")),
    ("challenge page", "PubMed", 200, page("Checking your browser - reCAPTCHA","<div class='g-recaptcha'></div>")),
    ("challenge page", "Amazon", 200, page("Amazon.com",
        "<h4>Click the button below to continue shopping</h4><form "
        "action='/errors_page/validateCaptcha'><button>Continue shopping</button></form>")),
    ("challenge page", "HUMAN", 200, page("Access to this page has been denied",
        "<h1>Before we continue...</h1><p>Press &amp; Hold to confirm</p>")),
    ("challenge page", "HUMAN script", 200, page("example",
        "<script>/* PerimeterX assignments */ window._pxAppId='PX1';</script>")),
    ("challenge page", "bot verification", 200, page("Bot Verification",
        "<p>Verifying that you are not a robot...</p><div class='g-recaptcha'></div>")),
    ("challenge page", "SiteGround", 200, page("Robot Challenge Screen",
        "<p>Checking the site connection security</p><script src='/.well-known/sgcaptcha/'></script>")),
    ("challenge page", "security check", 200, page("Security check",
        "<p>An additional security check is required</p>")),
    ("soft 404", "Medium deleted", 200, page("Medium",
        "<h1>Error</h1><p>410</p><p>User deactivated or deleted their account.</p>")),
    ("empty body", "X shell", 200, page("X",
        "<noscript><h1>JavaScript is not available.</h1><p>We’ve detected that JavaScript is disabled in this"
        " browser.</p></noscript><div id='react-root'></div>")),
    ("login wall", "Quora", 200, page("Quora","<p>Log In or sign up to see answers</p>")),
    ("challenge page", "Bloomberg", 200, page("Bloomberg - Are you a robot?",
        "<h2>We've detected unusual activity from your computer network</h2><p>To continue, please click the "
        "box below to let us know you're not a robot.</p>")),
    ("challenge page", "NYT", 200, page("nytimes.com",
        "<script>var dd={'rt':'c'}</script><p>Please enable JS and disable any ad blocker</p>")),
    ("paywall", "FT", 200, page("Subscribe to read | Financial Times",
        "<h1>Subscribe to unlock this article</h1><p>Try unlimited access. Only 1 for 4 weeks</p><p>Then per "
        "month. Complete digital access to quality journalism on any device. Cancel any time during your "
        "trial.</p>")),
    ("paywall", "Spiegel", 200, page("Artikel",
        "<p>Der Hafenmeister schreibt jeden Morgen den Stand des Wassers auf.</p><div><h2>Jetzt weiterlesen "
        "mit SPIEGEL+</h2></div>")),
    ("paywall", "Washington Post", 200, page("Post",
        "<p>The tide was high this morning, said those who saw it.</p><div>Already have an account? Sign in. "
        "Choose your plan to keep reading: unlimited access</div>")),
    ("consent wall", "OneTrust wall DE", 200, page("Zeit",
        "<h1>zeit mit Werbung lesen</h1><p>Besuchen Sie uns wie gewohnt mit Werbung und Tracking. Details zum"
        " Tracking finden Sie im Privacy Center.</p><button>Akzeptieren und weiter</button><p>Wir und unsere "
        "200 Partner speichern Cookies und personenbezogene Daten auf Ihrem Gerät.</p>")),
    ("consent wall", "LeMonde", 200, page("Le Monde",
        "<h1>Avec nos partenaires</h1><p>Le Monde et ses partenaires utilisent des cookies pour stocker et "
        "accéder à des données personnelles.</p><button>Accepter</button>")),
    ("soft 404", "GitHub 404", 200, page("Page not found · GitHub",
        "<h1>404</h1><p>This is not the web page you are looking for.</p>")),
    ("soft 404", "Blogger", 200, page("Blog not found",
        "<p>Sorry, the blog you were looking for does not exist. However, the name is available to "
        "register!</p>")),
    ("soft 404", "Tumblr", 200, page("Not found.",
        "<p>There's nothing here. Whatever you were looking for doesn't currently exist at this address.</p>")),
    ("soft 404", "Squarespace", 200, page("Example",
        "<p>We couldn't find the page you were looking for. This is either because: There is an error in the "
        "URL; the page has been moved.</p>")),
    ("error page", "WP db", 200, page("Error","<p>There has been a critical error on this website.</p>")),
    ("soft 404", "LinkedIn gone", 200, page("Post | LinkedIn",
        "<h1>This post cannot be displayed</h1><p>It may have been removed by its author.</p>")),
    ("challenge page","Cloudflare 1020", 200, page("Access denied | example.org used Cloudflare to restrict "
        "access","<h1>Error 1020</h1><h2>Access denied</h2><p>What happened? The owner of this site set rules "
        "that your request met.</p>")),
    ("challenge page","Cloudflare 1015", 200, page("This website has been temporarily rate "
        "limited","<h1>Error 1015</h1><p>You are being rate limited.</p>")),
    ("challenge page","a newspaper's access check", 200, page("example.com","<p>Thank you for your patience "
        "while we verify access.</p>")),
    ("soft 404","Instagram", 200, page("Instagram","<h2>Sorry, this page isn't available.</h2><p>The link you "
        "followed may be broken, or the page may have been removed.</p>")),
    ("soft 404","Notion", 200, page("Notion","<p>This content does not exist.</p><p>The page may have been "
        "moved, or you may be in the wrong account.</p>")),
    ("soft 404","Vimeo", 200, page("VimeUhOh","<h1>Sorry, we couldn’t find that page</h1>")),
    ("soft 404","Wix, no site yet", 200, page("Example","<p>Looks like this domain isn't connected to a "
        "website yet.</p>")),
    ("soft 404","Fastly", 200, page("","<p>Fastly error: unknown domain: example.org. Please check that this "
        "domain has been added to a service.</p>")),
    ("paywall","Patreon", 200, page("A post","<h2>Unlock this post</h2><p>Join now to get access to this post "
        "and other benefits.</p>")),
    ("paywall","Telegraph", 200, page("A story","<p>" + STORY + "</p><p>Register for free to continue reading</p>")),
    ("paywall","El País", 200, page("Una historia","<p>" + STORY + "</p><p>Regístrate gratis para seguir "
        "leyendo</p>")),
    ("paywall","Corriere", 200, page("Una storia","<p>" + STORY + "</p><p>Per continuare a leggere abbonati</p>")),
    ("paywall","a Dutch paper", 200, page("Een verhaal","<p>" + STORY + "</p><p>Dit artikel is alleen voor "
        "abonnees</p>")),
    ("login wall","WordPress, private", 200, page("Private Site","<h1>Private Site</h1><p>This site is "
        "currently private. Log in to request access.</p>")),
    ("login wall","Google Docs", 200, page("Google Docs","<h1>You need access</h1><p>Request access, or "
        "switch to an account with access.</p>")),
    ("login wall","GitLab", 200, page("Sign in · GitLab","<p>You need to sign in or sign up before continuing.</p>")),
    ("error page","Varnish", 200, page("503 Backend fetch failed","<h1>Error 503 Backend fetch "
        "failed</h1><h3>Guru Meditation:</h3><p>XID: 1</p>")),
    ("error page","nginx", 200, page("502 Bad Gateway","<center><h1>502 Bad "
        "Gateway</h1></center><hr><center>nginx</center>")),
    ("consent wall","DPG", 200, page("Toestemming","<h1>Jouw privacy-instellingen</h1><p>Wij en onze partners "
        "gebruiken cookies en vergelijkbare technieken om gegevens te verzamelen.</p><button>Akkoord</button>")),
    ("consent wall","an Italian paper", 200, page("Consenso","<p>Noi e i nostri partner archiviamo "
        "informazioni su un dispositivo, come i cookie, e trattiamo dati "
        "personali.</p><button>Accetta</button><button>Rifiuta e abbonati</button>")),
    ("challenge page","StackPath", 200, page("StackPath","<h1>Site verification</h1><p>This site is using a "
        "security service to protect itself.</p><p>Please complete the check to proceed.</p>")),
    ("challenge page","Shopify", 200, page("Verifying your connection","<p>Your connection needs to be "
        "verified before you can proceed</p>")),
    ("challenge page","Wordfence", 200, page("Your access to this site has been limited","<p>Your access to "
        "this service has been limited by the site owner. Reason: Access from your area has been temporarily "
        "limited for security reasons.</p>")),
    ("soft 404","Bluesky", 200, page("Bluesky","<p>Post not found</p><p>It may have been deleted.</p>")),
    ("soft 404","Blogger removed", 200, page("Blog has been removed","<p>Sorry, the blog at this address has "
        "been removed. This address is not available for new blogs.</p>")),
    ("soft 404","Polish", 200, page("Strona nie istnieje","<p>Nie ma takiej strony.</p>")),
    ("paywall","Handelsblatt", 200, page("Artikel","<p>" + STORY + "</p><p>Lesen Sie diesen Artikel mit "
        "Handelsblatt Premium. Jetzt testen.</p>")),
    ("paywall","Economist", 200, page("A story","<p>" + STORY + "</p><p>Continue with a free trial. Get full "
        "access to our journalism.</p>")),
    ("login wall","Pinterest", 200, page("Pinterest","<p>Log in to see more</p>")),
    ("login wall","Discourse", 200, page("Forum","<p>This is a private forum. You need an account to enter.</p>")),
    ("error page","Heroku", 200, page("Application error","<p>An error occurred in the application and your "
        "page could not be served.</p>")),
    ("error page","Cloudflare 522", 200, page("example.org | 522: Connection timed out","<p>Connection timed "
        "out. Error code 522. The web server is not answering.</p>")),
    ("consent wall","Swedish", 200, page("Samtycke","<p>Vi och våra partner använder cookies och behandlar "
        "personuppgifter.</p><button>Godkänn alla</button>")),
    ("consent wall","Sourcepoint", 200, page("Privacy","<p>We process your information to deliver content or "
        "ads and measure their delivery. We share it with our partners, see our privacy notice on "
        "cookies.</p><button>Accept</button><button>Options</button>")),
)  # fmt: skip
