"""From a prompt and links to checked, ranked drafts, and what is kept of them. `composer` is the way in."""
