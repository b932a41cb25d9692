"""From the dataset to a candidate model in the registry."""
