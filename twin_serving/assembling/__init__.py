"""The assembled draft: the author's own sentences and a link's, put in order; no model. `assemble` is the way in."""
