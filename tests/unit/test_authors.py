"""Author files: what is written is whole, and of two changes at once none is lost."""

import threading

import pytest

from twin_assets.core.authors import Author, AuthorStore, Source
from twin_assets.core.errors import ConfigurationError, UnknownAuthorError


def test_sources_added_at_once_are_all_kept(tmp_path):
    AuthorStore(tmp_path).save(Author(id="ada", name="Ada"))

    def add(number: int) -> None:
        AuthorStore(tmp_path).add_source("ada", Source(platform="feed", location=f"https://example.org/{number}"))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(AuthorStore(tmp_path).get("ada").sources) == 12
    assert [author.id for author in AuthorStore(tmp_path).list()] == ["ada"]


def test_an_unknown_author_is_said_with_who_is_known(tmp_path):
    store = AuthorStore(tmp_path)
    store.save(Author(id="ada", name="Ada"))
    with pytest.raises(UnknownAuthorError, match=r"known: ada\); add one with `twin author add ben`"):
        store.get("ben")
    with pytest.raises(UnknownAuthorError):
        store.add_source("ben", Source(platform="feed", location="https://example.org"))
    with pytest.raises(UnknownAuthorError, match="not an author id"):
        store.get("../ada")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ada.json"]


def test_a_broken_author_file_is_named(tmp_path):
    (tmp_path / "ada.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"ada\.json is unreadable"):
        AuthorStore(tmp_path).get("ada")
