"""Sphinx configuration: user guide, gallery of examples and reference of the public names."""

import sys
from pathlib import Path

import skcausal

sys.path.insert(0, str(Path(__file__).parent / "_ext"))  # extensions of this documentation

project = "skcausal"
author = "The skcausal developers"
copyright = "The skcausal developers"
version = release = skcausal.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "evidence",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "auto_examples/GALLERY_HEADER.rst"]
default_role = "literal"

# The reference follows the subpackages' __all__.
autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"  # the docstrings name the types, with their shapes
numpydoc_show_class_members = False  # the class template shows every member in full

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "abort_on_example_error": True,
    "show_memory": False,
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = f"skcausal {release}"
html_theme_options = {
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
}
# The landing page lists everything itself; single pages have no neighbours to show at their left.
html_sidebars = {
    page: []
    for page in (
        "contributing",
        "evidence",
        "glossary",
        "index",
        "install",
        "model_cards",
        "reliability",
        "scale",
        "stability",
        "tour",
        "whats_new",
    )
}
html_show_sourcelink = False


def skip_foreign_members(app, what, name, obj, skip, options):
    """Leave out what a class inherits from scikit-learn (get_params, set_fit_request, ...)."""
    module = getattr(getattr(obj, "fget", obj), "__module__", None) or "skcausal"
    return skip or not module.startswith("skcausal")


def setup(app):
    app.connect("autodoc-skip-member", skip_foreign_members)
