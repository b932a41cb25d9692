"""Each module prints a table of ratios against a named alternative measured in the same run; `make bench` runs all."""
