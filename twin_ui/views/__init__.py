"""One module a page, each with `render()`; app.py puts them into the navigation.

(Not named pages: Streamlit would serve the modules of a folder of that name as pages of its own.)
"""
