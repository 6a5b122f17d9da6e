"""Imports skcausal and asks every estimator for everything, and notes what else that does.

Run by test_side_effects.py in a process of its own, since a hook for audits cannot be removed.
"""

import importlib
import json
import os
import pkgutil
import sys

import causallearn.search.ConstraintBased.PC  # noqa: F401
import gymnasium  # noqa: F401
import networkx  # noqa: F401
import pandas  # noqa: F401
import torch._dynamo  # noqa: F401

from tests.reliability.process_state import changes_since, moved_on_state

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto", "urllib.Request")
CHANGES = (
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate",
    "os.chmod", "os.chdir", "os.putenv", "shutil.rmtree", "tempfile.mkstemp", "tempfile.mkdtemp",
)  # fmt: skip
PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn")
UNSAFE = ("pickle.find_class", "marshal.load")

noted = []


def note(event, arguments):
    """Keep what touches anything outside of the process."""
    if event == "open":
        path, _, flags = arguments
        # 3 and above: descriptors, of pipes for instance, that are wrapped as files.
        if isinstance(path, (str, bytes, os.PathLike)) and flags & WRITING:
            noted.append(f"open {os.fspath(path)!s} for writing")
    elif event in NETWORK + CHANGES + PROGRAMS + UNSAFE:
        noted.append(f"{event} {arguments}"[:200])


def since_then(function):
    """What was noted while a function ran."""
    first = len(noted)
    function()
    return noted[first:]


def import_all():
    """All modules of the package."""
    import skcausal

    for module in pkgutil.walk_packages(skcausal.__path__, "skcausal."):
        importlib.import_module(module.name)


def ask_all(found, data):
    """Fit and ask every estimator."""
    from tests.conftest import fit_on
    from tests.reliability.conftest import FAMILIES, answers

    for estimator in FAMILIES:
        name = type(estimator).__name__
        found[name] = since_then(lambda e=estimator: answers(fit_on(e, data), data))


def main(path):
    """Go through everything and write what was found."""
    before = moved_on_state()
    sys.addaudithook(note)
    found = {"import": since_then(import_all)}
    changed = changes_since(before)

    from skcausal.datasets import make_linear_scm

    data = make_linear_scm(4, n_samples=12, random_state=0)
    ask_all(found, data)
    found["a file"] = since_then(lambda: open(path, "w").close())
    with open(path, "w") as file:
        json.dump({"noted": found, "changed by import": changed}, file)


if __name__ == "__main__":
    main(sys.argv[1])
