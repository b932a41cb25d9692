"""Style: what a draft takes from how the author posts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from twin_serving.assembling.markup import all_hashtags, hashtags
from twin_serving.assembling.passages import OwnText

# Fewer posts than this tell no habit.
FEWEST_POSTS = 4
MOST_TAGS = 40


@dataclass(frozen=True, slots=True)
class PostStyle:
    """What a draft takes from how the author posts: usual length in characters, and hashtags on a line at the end.

    tags: the hashtags the author uses again and again, most used first, each with a post that has it.
    """

    length: int = 700
    hashtag_share: float = 0.0
    hashtag_count: int = 0
    tags: tuple[tuple[str, OwnText], ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, documents: Sequence[OwnText]) -> "PostStyle":
        """The style of the author's posts; the defaults where there is none."""
        posts = [document for document in documents if document.category == "post"]
        if len(posts) < FEWEST_POSTS:
            return cls()
        counts = [len(found) for each in posts if (found := hashtags(each.text))]
        uses: Counter[str] = Counter()
        where: dict[str, OwnText] = {}
        for each in posts:
            for tag in dict.fromkeys(all_hashtags(each.text)):
                uses[tag] += 1
                where.setdefault(tag, each)
        tags = tuple((tag, where[tag]) for tag, count in uses.most_common(MOST_TAGS) if count > 1)
        usual = round(median(counts)) if counts else 0
        return cls(round(median(len(each.text) for each in posts)), len(counts) / len(posts), usual, tags)
