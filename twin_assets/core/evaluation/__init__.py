"""Evaluation: is a model version better than its base and the champion, and is it safe to serve? Measures and decides;
trains nothing and promotes nothing (the registry does)."""
