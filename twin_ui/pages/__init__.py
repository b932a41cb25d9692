"""One module a page, each with `render()`; app.py puts them into the navigation."""
