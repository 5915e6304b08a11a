"""Builds the pages of the repository into a site, with Sphinx, MyST and Furo (docs/adr/0045). `make docs` runs it.

The pages stay where a reader of the repository expects them, and link to each other by their paths there.
navigation.txt alone says in which order the site lists them.
"""

from pathlib import Path

from sphinx.application import Sphinx

NAVIGATION = Path(__file__).with_name("navigation.txt")

project = "Artemis"
html_title = "Artemis"
extensions = ["myst_parser"]
root_doc = "docs/README"
include_patterns = ["README.md", "CHANGELOG.md", "*/README.md", "docs/*.md", "docs/**/*.md"]
exclude_patterns = [
    ".*",
    "**/.*",
    "build",
    "dist",
    "requirements",
    "tests",
    "docs/site",
]  # no folder of these is walked

myst_heading_anchors = 4  # the anchors that GitHub makes, so that a link leads to the same heading in both
myst_links_external_new_tab = False
highlight_language = "none"  # of blocks that name no language: outputs
smartquotes = False  # quotation marks are often part of a value
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["extra"]
html_copy_source = False
html_show_sphinx = False


def setup(app: Sphinx) -> None:
    """Adds the navigation to the pages."""
    app.connect("source-read", add_navigation)


def add_navigation(app: Sphinx, name: str, source: list[str]) -> None:
    """Appends what the site lists below a page. A reader of the repository would see only the markup of it."""
    if name == root_doc:
        app.env.note_dependency(NAVIGATION)
        source[0] += "\n" + NAVIGATION.read_text(encoding="utf-8")
    if name == "docs/adr/README":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n[0-9]*\n```\n"
