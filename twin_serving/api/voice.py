"""Routes about an author's voice: what was measured, what the author made of it, and what a model is told of both."""

from typing import Any

from fastapi import APIRouter

from twin_assets.core.voice_edits import Voice, VoiceEdits, check_edits, load_voice, reset_edits, save_edits
from twin_assets.core.workspace import Workspace


def voice_routes(workspace: Workspace) -> APIRouter:
    """Routes under /v1/twins/{author}/voice."""
    router = APIRouter(prefix="/v1/twins/{author_id}/voice", tags=["voice"])

    @router.get("")
    def voice(author_id: str) -> dict[str, Any]:
        """The measured profile (null before the first run), the edits over it, and the guides made of both."""
        workspace.authors.get(author_id)
        return _answer(author_id, load_voice(workspace, author_id))

    @router.put("")
    def edit(author_id: str, edits: dict[str, Any]) -> dict[str, Any]:
        """Put these edits in the place of the author's; a field left out is as measured again."""
        workspace.authors.get(author_id)
        save_edits(workspace, author_id, check_edits(edits))
        return _answer(author_id, load_voice(workspace, author_id))

    @router.delete("")
    def reset(author_id: str) -> dict[str, Any]:
        """Take all edits back."""
        workspace.authors.get(author_id)
        reset_edits(workspace, author_id)
        return _answer(author_id, load_voice(workspace, author_id))

    return router


def _answer(author: str, voice: Voice) -> dict[str, Any]:
    from twin_assets.core.vocabulary import WordBackground

    categories = voice.profile.model_dump(mode="json")["categories"] if voice.profile else {}
    return {
        "author": author,
        "measured": categories or None,
        "others": dict(WordBackground.load().norms),
        "edits": voice.edits.model_dump(mode="json"),
        "fields": VoiceEdits.model_json_schema()["properties"],
        "guides": {category: voice.guide(category) for category in categories or ("post", "article")},
    }
