"""What the author published, as the platforms sent it: one asset a platform, made from the source registry."""
