"""The tables of docs/evidence.rst show what the files of results hold, and nothing else."""

import csv
import importlib.util
import re
import statistics
import sys
from itertools import zip_longest
from math import floor, log10
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS, RESULTS = ROOT / "docs", ROOT / "benchmarks" / "reproduce" / "results"
EXTENSION = DOCS / "_ext"
if not EXTENSION.is_dir():  # a source distribution has no documentation
    pytest.skip("the documentation is not here", allow_module_level=True)


def load(name):
    """Import a module of the Sphinx extension by its path."""
    spec = importlib.util.spec_from_file_location(name, EXTENSION / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tables = load("_tables")
prediction, effects, structure = map(
    load, ("_specs_prediction", "_specs_effects", "_specs_structure")
)
EVERY = {
    f"{group}/{name}": table
    for group, content in {
        "prediction": prediction.PREDICTION,
        "design": prediction.DESIGN,
        "perturbation": effects.PERTURBATION,
        "effects": effects.EFFECTS,
        "structure": structure.STRUCTURE,
        "reliability": structure.RELIABILITY,
    }.items()
    for name, table in content.items()
}
CHOSEN = {name: table for name, table in EVERY.items() if getattr(table, "rows", ())}


def lines_of(file, where):
    """Rows of a file that match, read without pandas."""

    def matches(text, value):
        if isinstance(value, (bool, str)):
            return text == str(value)
        return text != "" and float(text) == value

    with open(RESULTS / file, newline="") as opened:
        lines = csv.DictReader(line for line in opened if not line.startswith("#"))
        return [line for line in lines if all(matches(line[k], v) for k, v in where.items())]


def numbers_in(text):
    """Numbers of a cell, each with the size of its last printed decimal."""
    plain = text.replace("−", "-").replace(",", "")
    found = re.findall(r"[-+]?\d+(?:\.(\d+))?", plain)
    values = [float(match[0]) for match in re.finditer(r"[-+]?\d+(?:\.\d+)?", plain)]
    return [(value, 10.0 ** -len(decimals)) for value, decimals in zip(values, found)]


def expected_numbers(lines, column):
    """Numbers that a cell should show."""
    texts = [line[column.value] for line in lines]
    if column.over == "count":
        return [len(set(texts))]
    if column.over == "share":
        return [texts.count("True"), len(texts)]
    if column.over:
        values = [float(text) for text in texts]
        middle = statistics.mean(values) if column.over == "mean" else statistics.median(values)
        ends = [min(values), max(values)] if column.over == "range" and len(values) > 1 else []
        return [middle, *ends]
    (line,) = lines
    further = [name for name in (column.spread, column.beside, column.low, column.high) if name]
    values = [float(line[name]) for name in (column.value, *further) if line[name]]
    return values[:1] if column.low and line[column.low] == line[column.high] else values


def assert_shows(text, lines, column):
    """The cell has the numbers of the lines, to the last printed digit."""
    if not column.over and lines[0][column.value] == "":
        assert text == tables.UNDEFINED
        return
    try:
        expected = expected_numbers(lines, column)
    except ValueError:  # a text, such as a unit
        assert text == lines[0][column.value]
        return
    for (shown, unit), value in zip_longest(numbers_in(text), expected):
        if column.decimals is None and value and value != int(value):
            unit = 10.0 ** (floor(log10(abs(value))) - column.digits + 1)
        assert abs(shown - value) <= 0.51 * unit, (text, value)


@pytest.mark.parametrize("name", CHOSEN)
def test_cells_are_those_of_the_files(name):
    table = CHOSEN[name]
    if name == "design/published_designs" and not (RESULTS / table.file).exists():
        pytest.skip("takes hours to make")
    rendered = table.render()
    assert len(rendered.rows) == len(table.rows)
    for row, texts in zip(table.rows, rendered.rows):
        assert texts[0] == row.label
        for column, text in zip(table.columns, texts[1:], strict=True):
            where = table.where_of(row, column)
            if where is None:
                missing = {True: tables.NOT_REPORTED, False: tables.NOT_MEASURED}
                assert text == missing[column.file == tables.PUBLISHED]
                continue
            lines = lines_of(column.file or table.file, where)
            if column.file == tables.PUBLISHED:  # as printed in the paper
                (line,) = lines
                spread = f"± {line['spread']}" if column.spread else ""
                sign = line["relation"] if column.relation else ""
                assert text == f"{sign} {line['value']} {spread}".strip()
            else:
                assert_shows(text, lines, column)


@pytest.mark.parametrize("name", EVERY)
def test_commands_run_scripts_with_options_they_have(name):
    table = EVERY[name]
    if not (RESULTS / table.file).exists():
        pytest.skip(f"{table.file} is not made yet")
    tables.check_command(table.command)
    for call in table.command.split(", then "):
        script, *options = re.sub("^OMP_NUM_THREADS=1 ", "", call).split()[1:]
        source = (ROOT / script).read_text()
        for option in options:
            assert option in source or re.fullmatch(r"FOLDER|[\de.-]+", option)


@pytest.mark.parametrize("name", CHOSEN)
def test_every_row_has_a_figure(name):
    table = CHOSEN[name]
    if (RESULTS / table.file).exists():
        nothing = {tables.NOT_MEASURED, tables.NOT_REPORTED, tables.UNDEFINED}
        assert all(set(texts[1:]) - nothing for texts in table.render().rows)


def test_pages_use_the_tables_and_type_no_results():
    pages = {page: (DOCS / page).read_text() for page in ("evidence.rst", "reliability.rst")}
    used = re.findall(r"^\.\. evidence:: (\S+)$", "\n".join(pages.values()), re.MULTILINE)
    assert len(used) == len(set(used))
    assert set(used) <= set(EVERY)
    assert set(EVERY) - set(used) <= {"design/published_designs"}
    for text in pages.values():
        for query in re.findall(r":csv:`([^`]+)`", text):
            assert tables.figure(query)
        assert not re.search(r"\d\.\d|±|[+−]\d", re.sub(r":csv:`[^`]+`", "", text))


def test_published_figures_have_a_source():
    lines = lines_of(tables.PUBLISHED, {})
    for line in lines:
        for name in ("paper", "source", "setting", "method", "metric", "value", "note"):
            assert line[name].strip(), line
        assert float(line["value"].replace(",", "")) > 0
        assert line["spread"] == "" or float(line["spread"]) > 0
        assert line["relation"] in ("", "<", ">", "about")
    keys = [tuple(line[k] for k in ("paper", "setting", "method", "metric")) for line in lines]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("value", "options", "text"),
    [
        (0.07476, {}, "0.0748"),
        (0.0998, {"digits": 2}, "0.10"),
        (0.999, {"digits": 2}, "1.0"),
        (-0.223, {"decimals": 2}, "−0.22"),
        (1.98, {"decimals": 2, "signed": True}, "+1.98"),
        (-0.001, {"decimals": 2, "signed": True}, "0.00"),
        (392.449, {"digits": 2}, "390"),
        (151.95, {}, "152"),
        (12345.6, {}, "12,300"),
        (4020, {}, "4,020"),
        (4020.0, {"digits": 2}, "4,020"),
        (0.0, {}, "0"),
        (1.4234e-5, {}, "1.42e−05"),
        (-7.7e-16, {"digits": 2}, "−7.7e−16"),
        (0.000123, {}, "0.000123"),
        (1e-5, {"decimals": 2}, "0.00"),
        (3, {"decimals": 1}, "3.0"),
        (float("nan"), {}, "–"),
        (float("-inf"), {}, "−∞"),
        ("ms per network", {}, "ms per network"),
    ],
)
def test_numbers_are_written(value, options, text):
    assert tables.format_number(value, **options) == text


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "some.csv").write_text(
        "# seeds=2\nmethod,d,error,se\nGIES,4,0.5,0.01\nGIES,10,0.25,\nIGSP,4,,\n"
    )
    return tmp_path


def table_with(column, row=None, file="some.csv"):
    rows = (row or tables.Row("GIES", {"method": "GIES"}),)
    return tables.Table(file, "Caption", "python benchmarks/reproduce/gies_speed.py", column, rows)


ERROR = tables.Column("error", "error", {"d": 4})


def test_a_small_table(folder):
    columns = (
        ERROR,
        tables.Column("± se", "error", {"d": 10}, spread="se"),
        tables.Column("range", "error", over="range"),
        tables.Column("sizes", "d", over="count"),
    )
    rendered = table_with(columns).render(folder)
    assert rendered.headings == ("", "error", "± se", "range", "sizes")
    assert rendered.rows == (("GIES", "0.500", "0.250", "0.375 (0.250 to 0.500)", "2"),)
    assert rendered.files == ("some.csv",)
    absent = table_with((ERROR,), tables.Row("IGSP", {"method": "IGSP"})).render(folder)
    assert absent.rows == (("IGSP", tables.UNDEFINED),)
    every = tables.Table("some.csv", "", "", (ERROR,), where={"d": 4}, labels=("method",))
    assert every.render(folder).rows == (("GIES", "0.500"), ("IGSP", "–"))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (table_with((ERROR,), file="other.csv"), "no file other.csv"),
        (table_with((tables.Column("", "mistake", {"d": 4}),)), "no column 'mistake'"),
        (table_with((tables.Column("", "error", {"n": 4}),)), "no column 'n'"),
        (table_with((tables.Column("", "error", {"d": 4}, spread="sd"),)), "no column 'sd'"),
        (table_with((tables.Column("", "error", {"d": 5}),)), "no row"),
        (table_with((ERROR,), tables.Row("", {"method": "PC"})), "no row"),
        (table_with((tables.Column("", "error"),)), "2 rows for one cell"),
        (table_with((tables.Column("", "error", over="sum"),)), "unknown 'sum'"),
        (tables.Table("some.csv", "", "", (ERROR,), labels=("name",)), "no column 'name'"),
    ],
)
def test_what_is_missing_raises(folder, table, message):
    with pytest.raises(tables.EvidenceError, match=message):
        table.render(folder)


def test_provenance_and_commands(folder):
    assert tables.provenance("some.csv", folder) == "seeds=2"
    (folder / "bare.csv").write_text("a,b\n1,2\n")
    with pytest.raises(tables.EvidenceError, match="does not begin with a line of settings"):
        tables.provenance("bare.csv", folder)
    tables.check_command("python benchmarks/reproduce/gies_speed.py --sizes 10")
    for command in ("python gies_speed.py", "python benchmarks/reproduce/none.py"):
        with pytest.raises(tables.EvidenceError, match="does not name scripts"):
            tables.check_command(command)


def test_figures_in_running_text(folder):
    assert tables.figure("some.csv|method=GIES; d=4|error", folder) == "0.500"
    assert tables.figure("some.csv|method=GIES|mean(error)|2", folder) == "0.38"
    for query, message in {
        "some.csv|method=GIES|error": "has 2 rows",
        "some.csv|method=PC|error": "has 0 rows",
        "some.csv|method=GIES|mistake": "no column 'mistake'",
        "some.csv|name=GIES|error": "no column 'name'",
        "none.csv||error": "no file none.csv",
        "some.csv": "Expected file",
    }.items():
        with pytest.raises(tables.EvidenceError, match=message):
            tables.figure(query, folder)


def test_checks_become_two_tables(tmp_path):
    (tmp_path / "reliability.csv").write_text(
        "# seeds=0\ncheck,estimator,figure,value,unit,goal\n"
        "damaged weights,all,refused,400,of 400,400\n"
        "global state,,changes,0,,\n"
        "bad input,GIES,refused or finite,17,,17\n"
        "bad input,PC,refused or finite,16,,17\n"
        "memory,GIES,peak,812.4,MB,1000\n"
    )
    listed = structure.RELIABILITY["reliability_library"].render(tmp_path)
    assert listed.headings == ("check", "figure", "measured", "goal")
    assert listed.rows == (
        ("damaged weights", "refused", "400 of 400", "400"),
        ("global state", "changes", "0", tables.UNDEFINED),
    )
    pivoted = structure.RELIABILITY["reliability_estimators"].render(tmp_path)
    assert pivoted.headings == ("estimator", "bad input: refused or finite", "memory: peak (MB)")
    assert pivoted.rows == (
        ("``GIES``", "17", "812"),
        ("``PC``", "16", tables.UNDEFINED),
        ("goal", "17", "1000"),
    )


def test_checks_need_their_columns_and_rows(tmp_path):
    path = tmp_path / "reliability.csv"
    path.write_text("# \ncheck,estimator,figure,value,unit\nbad input,GIES,refused,17,\n")
    with pytest.raises(tables.EvidenceError, match="no column 'goal'"):
        structure.RELIABILITY["reliability_estimators"].render(tmp_path)
    row = "bad input,GIES,refused,17,,\n"
    path.write_text(f"# \ncheck,estimator,figure,value,unit,goal\n{row}")
    with pytest.raises(tables.EvidenceError, match="no check for the table"):
        structure.RELIABILITY["reliability_library"].render(tmp_path)
    path.write_text(f"# \ncheck,estimator,figure,value,unit,goal\n{row}{row}")
    with pytest.raises(tables.EvidenceError, match="two values"):
        structure.RELIABILITY["reliability_estimators"].render(tmp_path)


def test_growth_lists_all_estimators(tmp_path):
    names = "slope,slope_low,slope_high,smallest,largest,seconds_smallest,seconds_largest"
    (tmp_path / "growth.csv").write_text(
        f"# first_seed=0\nestimator,operation,varied,{names}\n"
        "GIES,fit,rows,0.31,0.2,0.42,250,4000,0.0021,0.0047\n"
        "GIES,fit,variables,2.1,1.9,2.3,4,24,0.0011,0.0512\n"
    )
    rendered = structure.RELIABILITY["growth_rows"].render(tmp_path)
    expected = ("GIES", "fit", "0.31 (0.20 to 0.42)", "250", "4,000", "0.0021", "0.0047")
    assert rendered.rows == (expected,)
    assert rendered.headings[:2] == ("estimator", "operation")


def test_the_directive_stops_the_build(tmp_path, monkeypatch):
    pytest.importorskip("sphinx")
    from sphinx.application import Sphinx
    from sphinx.errors import ExtensionError

    monkeypatch.syspath_prepend(EXTENSION)
    (tmp_path / "conf.py").write_text("extensions = ['evidence']\n")

    def build(text):
        (tmp_path / "index.rst").write_text(text)
        source, out = str(tmp_path), str(tmp_path / "out")
        Sphinx(source, source, out, out, "text", status=None, warning=None, freshenv=True).build()
        return (tmp_path / "out" / "index.txt").read_text()

    page = build("Title\n=====\n\n.. evidence:: structure/gies\n")
    assert structure.STRUCTURE["gies"].render().rows[0][3] in page
    assert "Command: " in page
    assert "gies_speed.csv" in page
    for text in (".. evidence:: structure/none", ":csv:`gies_speed.csv|d=10|seconds`"):
        with pytest.raises(ExtensionError):
            build(f"Title\n=====\n\n{text}\n")
