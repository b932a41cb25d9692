"""What supports a sentence, and the facts in it that no source has."""
