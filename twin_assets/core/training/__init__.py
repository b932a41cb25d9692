"""Training: base models, families, preflight, the nano base, supervised fine-tuning. Reads datasets, writes the
registry; generates nothing and judges nothing (evaluation does)."""
