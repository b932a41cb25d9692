"""A mark that moves last.

Do the work, then move the mark: in the same transaction, so that a crash can never skip what was
in flight. Every pipeline I have repaired at night had this order wrong or had no order at all.
"""

import sqlite3

SCHEMA = "CREATE TABLE IF NOT EXISTS keelson_mark (job TEXT PRIMARY KEY, position REAL NOT NULL)"


class Watermark:
    """The position up to which a job has dealt with everything, in seconds since 1970, UTC.

    Use it as a context manager around the reading and the writing. If the block ends well, rows and
    mark are committed together. If it raises, both are rolled back and the next run starts where
    this one started. There is deliberately no way to save the mark before the end of the block.

    The rows must be written through the same connection. A mark in one database and rows in another
    are two promises, and sooner or later only one of them is kept.
    """

    def __init__(self, connection: sqlite3.Connection, job: str, overlap_seconds: float = 7200.0) -> None:
        if overlap_seconds < 0:
            raise ValueError(f"overlap_seconds is {overlap_seconds}; a mark cannot look into the future.")
        self.connection = connection
        self.job = job
        self.overlap_seconds = overlap_seconds
        self._stored = 0.0
        self._next: float | None = None

    @property
    def start(self) -> float:
        """Where to read from: the stored position less the overlap.

        Rows inside the overlap are read twice. Write by key and nothing bad happens.
        """
        return max(0.0, self._stored - self.overlap_seconds)

    def advance_to(self, position: float) -> None:
        """Remember how far this run came. Going backwards is refused, since a mark that goes back
        is nearly always a wrong clock, and I would rather hear of it on the day."""
        if position < self._stored - self.overlap_seconds:
            raise ValueError(
                f"job {self.job}: position {position} lies before the overlap of the stored mark "
                f"{self._stored}. Check which clock stamped the newest row."
            )
        self._next = max(position, self._stored)

    def __enter__(self) -> "Watermark":
        with self.connection:
            self.connection.execute(SCHEMA)
        self._next = None
        found = self.connection.execute(
            "SELECT position FROM keelson_mark WHERE job = ?", (self.job,)
        ).fetchone()
        self._stored = float(found[0]) if found else 0.0
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            self.connection.rollback()
            return
        # An empty night has nothing to advance to. The mark stays, and that is correct.
        if self._next is not None:
            self.connection.execute(
                "INSERT INTO keelson_mark (job, position) VALUES (?, ?) "
                "ON CONFLICT (job) DO UPDATE SET position = excluded.position",
                (self.job, self._next),
            )
        self.connection.commit()
