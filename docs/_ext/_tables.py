"""Tables of the evidence pages, made from the CSV files of the benchmarks.

`Table` describes what is looked up, `Table.render` looks it up. A file, column or row that is not
there raises `EvidenceError`: a renamed column must not empty a page. Only pandas is needed.
"""

import math
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "reproduce" / "results"
PUBLISHED = "published.csv"
TEXTS = ("estimator", "unit", "goal")  # never numbers, in any file

NOT_REPORTED = "not reported"
NOT_MEASURED = "not measured"
UNDEFINED = "–"


class EvidenceError(Exception):
    """A table asks for something that the results do not hold."""


@dataclass(frozen=True)
class Column:
    """One column: which figure of the rows that are found, and how it is written.

    Parameters
    ----------
    heading : str
        Text above the column, with the unit.
    value : str
        Column of the CSV file.
    where : dict
        What selects the row of the file, beside what table and row say.
    file : str
        The file, if it is another one than the table's.
    low, high : str
        Ends of an interval, printed behind the value.
    spread : str
        Standard error or deviation, printed behind ±.
    beside : str
        A second figure, printed in brackets.
    relation : str
        Column with a sign that is printed before the value, such as "<".
    over : {"", "mean", "median", "range", "count", "share"}
        How several rows become one figure. "range" is the median with the least and the greatest
        value, "count" the number of different values, "share" how many are true.
    digits, decimals : int
        Significant digits, or if given decimals.
    signed : bool
        Whether positive numbers carry a plus sign.
    """

    heading: str
    value: str
    where: dict = field(default_factory=dict)
    file: str = ""
    low: str = ""
    high: str = ""
    spread: str = ""
    beside: str = ""
    relation: str = ""
    over: str = ""
    digits: int = 3
    decimals: int | None = None
    signed: bool = False

    def number(self, value):
        """Write one number the way of this column."""
        return format_number(value, self.digits, self.decimals, self.signed)


@dataclass(frozen=True)
class Row:
    """One row: its label, and what selects it in the table's file and in others.

    ``where`` is None for a row that was not measured; ``published`` is the method's name in
    published.csv, empty if the paper does not report it; ``also`` maps other files to what selects
    the row there.
    """

    label: str
    where: dict | None = None
    published: str = ""
    also: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Rendered:
    """Texts of a table, and where they are from."""

    headings: tuple
    rows: tuple
    files: tuple
    sources: tuple = ()


@dataclass(frozen=True)
class Table:
    """What a table shows. Without ``rows``, all rows of the file that ``where`` leaves.

    ``labels`` are then the columns of the file that name a row.
    """

    file: str
    caption: str
    command: str
    columns: tuple
    rows: tuple = ()
    where: dict = field(default_factory=dict)
    labels: tuple = ()
    stub: str = ""

    def render(self, folder=RESULTS):
        """Look up all cells; see `Rendered`."""
        if self.rows:
            headings, rows = (self.stub,), self._chosen_rows(folder)
        else:
            headings, rows = self.labels, self._all_rows(folder)
        used = [column.file or self.file for column in self.columns]
        files = tuple(dict.fromkeys(name for name in used if name != PUBLISHED))
        return Rendered(
            (*headings, *(column.heading for column in self.columns)),
            tuple(rows),
            files,
            tuple(dict.fromkeys(self._sources(folder))),
        )

    def _chosen_rows(self, folder):
        return [
            (row.label, *(self.cell(row, column, folder) for column in self.columns))
            for row in self.rows
        ]

    def _all_rows(self, folder):
        found = select(self.file, self.where, folder)
        keys = [known(found, label, self.file) for label in self.labels]
        return [
            (
                *(str(line[key]) for key in keys),
                *(write(found.iloc[[i]], column, self.file) for column in self.columns),
            )
            for i, (_, line) in enumerate(found.iterrows())
        ]

    def cell(self, row, column, folder=RESULTS):
        """Return the text of one cell."""
        where = self.where_of(row, column)
        if where is None:
            return NOT_REPORTED if column.file == PUBLISHED else NOT_MEASURED
        file = column.file or self.file
        return write(select(file, where, folder), column, file)

    def where_of(self, row, column):
        """Return what selects the cell's rows in its file, None if there is no such cell."""
        if column.file == PUBLISHED:
            return {**column.where, "method": row.published} if row.published else None
        if column.file and column.file != self.file:
            found = row.also.get(column.file)
            return None if found is None else {**column.where, **found}
        return None if row.where is None else {**self.where, **column.where, **row.where}

    def _sources(self, folder):
        for row in self.rows:
            for column in self.columns:
                where = self.where_of(row, column)
                if column.file == PUBLISHED and where is not None:
                    found = select(PUBLISHED, where, folder)
                    yield from found["paper"] + ", " + found["source"]


@dataclass(frozen=True)
class Checks:
    """Checks in long form (check, estimator, figure, value, unit, goal) as one of two tables.

    Checks with one figure for the whole library are listed; those with a figure for each estimator
    become a table with one row per estimator. Which checks there are is up to the file.
    """

    file: str
    caption: str
    command: str
    by_estimator: bool = False

    def render(self, folder=RESULTS):
        """Look up all cells; see `Rendered`."""
        table = read(self.file, folder)
        for name in ("check", "estimator", "figure", "value", "unit", "goal"):
            known(table, name, self.file)
        table = table.assign(**{name: table[name].fillna("") for name in TEXTS})
        single = table.groupby(["check", "figure"])["estimator"].transform("nunique") == 1
        single &= ~table["estimator"].str.match("[A-Z]")  # "", "all", no class
        chosen = table[~single] if self.by_estimator else table[single]
        if chosen.empty:
            raise EvidenceError(f"{self.file} has no check for the table {self.caption!r}.")
        headings, rows = _by_estimator(chosen) if self.by_estimator else _listed(chosen)
        return Rendered(headings, rows, (self.file,))


def _listed(table):
    rows = tuple(
        (line.check, line.figure, _with_unit(line.value, line.unit), line.goal or UNDEFINED)
        for line in table.itertuples()
    )
    return ("check", "figure", "measured", "goal"), rows


def _by_estimator(table):
    keys = list(dict.fromkeys(zip(table["check"], table["figure"], table["unit"])))
    if table.duplicated(["check", "figure", "estimator"]).any():
        raise EvidenceError("A check has two values of one figure for one estimator.")
    cells = {
        (line.estimator, line.check, line.figure): format_number(line.value)
        for line in table.itertuples()
    }
    goals = {(line.check, line.figure): line.goal for line in table.itertuples()}
    headings = [f"{check}: {name}" + (f" ({unit})" if unit else "") for check, name, unit in keys]
    rows = [
        (f"``{name}``", *(cells.get((name, check, figure), UNDEFINED) for check, figure, _ in keys))
        for name in dict.fromkeys(table["estimator"])
    ]
    goal = ("goal", *(goals[check, figure] or UNDEFINED for check, figure, _ in keys))
    return ("estimator", *headings), (*rows, goal)


def _with_unit(value, unit):
    return f"{format_number(value)} {unit}".strip()


@cache
def _read(path, changed):
    if path.name == PUBLISHED:  # figures are printed as the papers print them
        return pd.read_csv(path, comment="#", dtype=str)
    return pd.read_csv(path, comment="#", dtype=dict.fromkeys(TEXTS, str))


def path_of(file, folder=RESULTS):
    """Return the path of a file of results; raises if it is not there."""
    path = Path(folder) / file
    if not path.is_file():
        raise EvidenceError(f"There is no file {file} among the results.")
    return path


def read(file, folder=RESULTS):
    """Read a file of results as a DataFrame."""
    path = path_of(file, folder)
    return _read(path, path.stat().st_mtime_ns)


def provenance(file, folder=RESULTS):
    """Return the settings and versions in the first line of a file."""
    with open(path_of(file, folder)) as lines:
        first = lines.readline()
    if not first.startswith("# "):
        raise EvidenceError(f"{file} does not begin with a line of settings and versions.")
    return first[2:].strip()


def check_command(command):
    """Raise if a command does not name scripts of the repository."""
    scripts = re.findall(r"benchmarks/\S+?\.py", command)
    missing = [script for script in scripts if not (ROOT / script).is_file()]
    if missing or not scripts:
        raise EvidenceError(f"The command {command!r} does not name scripts of the repository.")


def known(table, column, file):
    """Return the name of a column; raises if the table does not have it."""
    if column not in table.columns:
        raise EvidenceError(f"{file} has no column {column!r}, only {', '.join(table.columns)}.")
    return column


def select(file, where, folder=RESULTS):
    """Return the rows of a file whose columns have the given values; raises if there is none."""
    table = read(file, folder)
    for column, value in where.items():
        values = table[known(table, column, file)]
        table = table[values == value]
    if table.empty:
        raise EvidenceError(f"{file} has no row with {where}.")
    return table


def write(found, column, file):
    """Write the figure of the rows that were found for a cell."""
    values = found[known(found, column.value, file)]
    if column.over:
        return _aggregated(values, column)
    if len(found) != 1:
        raise EvidenceError(
            f"{file} has {len(found)} rows for one cell of the column {column.heading!r}."
        )
    line = found.iloc[0]

    def number(name):
        return column.number(line[known(found, name, file)])

    if pd.isna(line[column.value]):
        return NOT_REPORTED if file == PUBLISHED else UNDEFINED
    text = number(column.value)
    if column.relation and not pd.isna(line[known(found, column.relation, file)]):
        text = f"{line[column.relation]} {text}"
    if column.spread and not pd.isna(line[known(found, column.spread, file)]):
        plain = Column("", "", digits=column.digits, decimals=column.decimals)
        text += f" ± {plain.number(line[column.spread])}"
    if column.beside:
        text += f" ({number(column.beside)})"
    if column.low and line[known(found, column.low, file)] != line[known(found, column.high, file)]:
        text += f" ({number(column.low)} to {number(column.high)})"
    return text


def _aggregated(values, column):
    if column.over == "share":
        return f"{int(values.sum())} of {len(values)}"
    if column.over == "count":
        return str(values.nunique())
    if values.isna().any():
        return UNDEFINED
    if column.over == "range" and len(values) > 1:
        ends = f"{column.number(values.min())} to {column.number(values.max())}"
        return f"{column.number(values.median())} ({ends})"
    if column.over in ("mean", "median", "range"):
        return column.number(values.mean() if column.over == "mean" else values.median())
    raise EvidenceError(f"The column {column.heading!r} asks for the unknown {column.over!r}.")


def format_number(value, digits=3, decimals=None, signed=False):
    """Write a number with significant digits, or decimals; texts stay as they are.

    Whole numbers keep their digits and get no decimals, minus is a minus sign, a zero has none.
    Numbers below 0.0001 are written as powers of ten, unless `decimals` are given.
    """
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return UNDEFINED
    value = float(value)
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞"
    if decimals is None and value == int(value):
        decimals = 0
    elif decimals is None:
        rounded = float(f"{value:.{digits - 1}e}")
        magnitude = math.floor(math.log10(abs(rounded))) if rounded else 0
        if rounded and magnitude < -4:
            return f"{rounded:.{digits - 1}e}".replace("-", "−")
        decimals = max(0, digits - 1 - magnitude)
        value = rounded
    text = f"{abs(value):,.{decimals}f}"
    if not text.strip("0.,"):
        return text
    return ("−" if value < 0 else "+" if signed else "") + text


def figure(query, folder=RESULTS):
    """Return one number for running text: ``file|column=value; ...|column|decimals``.

    Several rows are averaged by ``mean(column)`` or ``median(column)``, and ``min``, ``max``.
    """
    parts = [part.strip() for part in query.split("|")]
    if len(parts) not in (3, 4):
        raise EvidenceError(f"Expected file|column=value; ...|column|decimals, got {query!r}.")
    file, condition, name = parts[:3]
    table = read(file, folder)
    for item in filter(None, condition.split(";")):
        column, _, value = (text.strip() for text in item.partition("="))
        values = table[known(table, column, file)]
        wanted = float(value) if values.dtype.kind in "if" else value
        table = table[(values if values.dtype.kind in "if" else values.astype(str)) == wanted]
    called = re.fullmatch(r"(mean|median|min|max)\((\w+)\)", name)
    name = known(table, called[2] if called else name, file)
    if table.empty or (len(table) > 1 and not called):
        raise EvidenceError(f"{file} has {len(table)} rows for {query!r}, expected one.")
    value = getattr(table[name], called[1])() if called else table[name].iloc[0]
    return format_number(value, decimals=int(parts[3]) if len(parts) == 4 else None)
