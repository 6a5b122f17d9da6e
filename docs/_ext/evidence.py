"""Sphinx extension: tables and numbers that are read from the results of the benchmarks.

``.. evidence:: group/name`` prints a table of the modules beside this one, the command that makes
its numbers, and links to the files. ``:csv:`file|column=value|column|decimals``` prints one number.
What is missing from the files stops the build.
"""

import os
from pathlib import Path

from _specs_effects import EFFECTS, PERTURBATION
from _specs_prediction import DESIGN, PREDICTION
from _specs_structure import RELIABILITY, STRUCTURE
from _tables import PUBLISHED, EvidenceError, check_command, figure, path_of, provenance
from docutils import nodes
from sphinx import addnodes
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective, SphinxRole

GROUPS = {
    "prediction": PREDICTION,
    "design": DESIGN,
    "perturbation": PERTURBATION,
    "effects": EFFECTS,
    "structure": STRUCTURE,
    "reliability": RELIABILITY,
}


def table_of(name):
    """Return the description of a table, by group and name."""
    group, _, own = name.partition("/")
    try:
        return GROUPS[group][own]
    except KeyError:
        raise EvidenceError(f"There is no table {name!r}.") from None


class Evidence(SphinxDirective):
    """Print a table of results, its command, its provenance and its files."""

    required_arguments = 1

    def run(self):
        """Return the nodes of the table and of the lines below it."""
        try:
            table = table_of(self.arguments[0])
            rendered = table.render()
            check_command(table.command)
            below = self._below(table.command, rendered)
        except EvidenceError as error:
            raise ExtensionError(f"{self.get_location()}: {error}") from error
        for module in Path(__file__).parent.glob("_*.py"):
            self.env.note_dependency(str(module))
        return [self._table(table.caption, rendered), *below]

    def _table(self, caption, rendered):
        table = nodes.table(classes=["evidence"])
        table += nodes.title("", "", *self._inline(caption))
        group = nodes.tgroup(cols=len(rendered.headings))
        widths = [max(map(len, texts)) for texts in zip(rendered.headings, *rendered.rows)]
        group += [nodes.colspec(colwidth=width) for width in widths]
        group[0]["stub"] = 1
        group += nodes.thead("", self._line(rendered.headings))
        group += nodes.tbody("", *(self._line(row) for row in rendered.rows))
        table += group
        return table

    def _line(self, texts):
        cells = (nodes.paragraph("", "", *self._inline(text)) if text else "" for text in texts)
        return nodes.row("", *(nodes.entry("", *filter(None, [cell])) for cell in cells))

    def _inline(self, text):
        return self.parse_inline(text)[0]

    def _below(self, command, rendered):
        files = [*rendered.files, PUBLISHED] if rendered.sources else rendered.files
        lines = [nodes.paragraph("", "", nodes.Text("Command: "), nodes.literal("", command))]
        for file in files:
            path = path_of(file)
            self.env.note_dependency(str(path))
            source = "; ".join(rendered.sources) if file == PUBLISHED else provenance(file)
            lines.append(nodes.paragraph("", "", self._link(path), nodes.Text(f": {source}.")))
        return [nodes.container("", *lines, classes=["evidence-source"])]

    def _link(self, path):
        here = Path(self.env.doc2path(self.env.docname)).parent
        link = addnodes.download_reference(
            "", "", refdoc=self.env.docname, reftarget=os.path.relpath(path, here)
        )
        link += nodes.literal("", path.name)
        return link


class Figure(SphinxRole):
    """Print one number of a file of results."""

    def run(self):
        """Return the text of the number."""
        try:
            text = figure(self.text)
        except EvidenceError as error:
            raise ExtensionError(f"{self.get_location()}: {error}") from error
        self.env.note_dependency(str(path_of(self.text.split("|")[0].strip())))
        return [nodes.Text(text)], []


def setup(app):
    """Register the directive and the role."""
    app.add_directive("evidence", Evidence)
    app.add_role("csv", Figure())
    return {"version": "1", "parallel_read_safe": True}
