"""main_text(): the words of a web page that are its point, without what stands around them."""


def main_text(html: str, url: str) -> tuple[str, str]:
    """(title, Markdown) of a page's main text, by trafilatura; ("", "") of a page that has none.

    Precision before recall: a navigation bar in a draft is worse than a paragraph less.
    """
    import trafilatura

    if not html.strip():
        return "", ""
    text = trafilatura.extract(html, url=url, favor_precision=True, include_comments=False, output_format="markdown")
    metadata = trafilatura.extract_metadata(html, default_url=url)
    return str(metadata.title or "").strip() if metadata else "", (text or "").strip()
