"""No network, no files that nobody asked for, no programs, no pickles; imports set nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import name_of
from tests.reliability.conftest import FAMILIES

ROOT = Path(__file__).resolve().parents[2]


def test_nothing_outside_of_the_process_is_touched(tmp_path):
    """By a process of its own, whose home and folders are empty."""
    for name in ("tmp", "work"):
        (tmp_path / name).mkdir()
    places = {"HOME": tmp_path, "TMPDIR": tmp_path / "tmp", "XDG_CACHE_HOME": tmp_path / "cache"}
    settings = {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": ROOT}
    settings["MPLCONFIGDIR"] = tmp_path / "matplotlib"  # its list of fonts is not our business
    report = tmp_path / "report.json"
    ended = subprocess.run(
        [sys.executable, "-m", "tests.reliability.side_effects_program", str(report)],
        cwd=tmp_path / "work",
        env=os.environ | {name: str(value) for name, value in (places | settings).items()},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout + ended.stderr == ""
    found = json.loads(report.read_text())
    assert found["changed by import"] == []
    noted = found["noted"]
    # The hook sees files, else what follows would hold whatever happened.
    assert noted.pop("a file") == [f"open {report} for writing"]
    assert noted.keys() == {"import", *map(name_of, FAMILIES)}
    assert {name: events for name, events in noted.items() if events} == {}
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in left if "matplotlib" not in path.parts] == ["report.json"]
