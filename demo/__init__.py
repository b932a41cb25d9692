"""The demo: a made-up author in the platforms' real formats, and loopback servers that play the platforms."""
