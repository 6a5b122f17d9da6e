"""What the pages around the guide point at exists, and every shipped network has its card there."""

import re
from pathlib import Path

import pytest

from skcausal import weights
from tests import conftest, test_common

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [
    *sorted((DOCS / "developer_guide").glob("*.rst")),
    *sorted((DOCS / "coming_from").glob("*.rst")),
    DOCS / "model_cards.md",
    DOCS / "scale.rst",
    DOCS / "stability.rst",
]
FOLDERS = ("benchmarks", "docs", "skcausal", "tests")
# The examples of the developer guide, which are not part of the package.
EXAMPLES = ("ordered_correlation", "nearest_regime", "_chain", "my_learner")

pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="the source distribution has no docs")


def paths_in(page):
    """Files that a page names."""
    found = re.findall(rf"(?:{'|'.join(FOLDERS)})/[\w./-]+\.\w+", page.read_text("utf-8"))
    return sorted({path for path in found if not any(name in path for name in EXAMPLES)})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_that_a_page_names_exist(page):
    assert [path for path in paths_in(page) if not (ROOT / path).exists()] == []


def test_files_are_found_in_the_guide():
    assert "tests/conftest.py" in paths_in(DOCS / "developer_guide" / "estimator.rst")


def test_lists_that_the_guide_names_exist():
    guide = " ".join(page.read_text("utf-8") for page in PAGES)
    names = set(re.findall(r"``((?:\w+_)?ESTIMATORS|CHECKABLE)``", guide))
    assert len(names) >= 5
    assert [n for n in names if not (hasattr(conftest, n) or hasattr(test_common, n))] == []


def test_every_shipped_network_has_its_card():
    folder = Path(weights.__file__).parent
    names = {file.stem for file in folder.glob("*.safetensors")}
    page = (DOCS / "model_cards.md").read_text("utf-8")
    assert names == set(re.findall(r"include\} \.\./skcausal/weights/([\w-]+)\.md", page))
    assert names == set(re.findall(r"^\| `([\w-]+)` \|", page, flags=re.MULTILINE))
