"""The chat endpoint from the web process to the inference worker and back: calls, the loop that answers many at
once, which versions serve, what is exported.
"""
