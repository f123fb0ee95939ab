"""The site: python -m sphinx -W -b html docs build/site. What is generated comes from `site_parts.py`."""

import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import site_parts

settings = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
project, version = "vs_slomo", settings["version"]
author = settings["authors"][0]["name"]
project_copyright = f"2026, {author}"

extensions = ["myst_parser", "sphinx_copybutton"]
myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 4
exclude_patterns = ["_build"]
smartquotes = False  # flags begin with two hyphens

html_theme = "furo"
html_title = "vs_slomo"
html_static_path = ["_static", "images"]
html_css_files = ["site.css"]
html_js_files = ["slider.js"]
html_copy_source = False
html_theme_options = {
    "source_repository": settings["urls"]["Source"],
    "source_branch": "main",
    "source_directory": "docs/",
}
copybutton_exclude = ".linenos, .gp, .go"


def setup(app):
    """Connect what fills the pages."""
    app.connect("source-read", site_parts.fill)
    app.add_directive("slider", site_parts.Slider)
