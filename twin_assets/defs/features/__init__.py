"""From raw documents to the corpus, its chunks, the index, the voice profile and the datasets."""
