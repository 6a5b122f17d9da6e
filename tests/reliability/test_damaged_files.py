"""Files that were damaged, or are of another kind, are refused, and nothing in them is executed."""

import io
import json
import os
import pickle
import zipfile

import joblib
import numpy as np
import pytest
import torch

from skcausal.design import ActiveDesigner
from skcausal.effects import CFRRegressor
from skcausal.perturbation import GenerativeInterventionModel
from skcausal.prediction import MetaInterventionPredictor
from skcausal.structure import AmortizedGraphPosterior
from skcausal.weights import shipped_weights

N_COPIES = 5  # of each kind of damage; benchmarks/reproduce/reliability.py tries 200
SHIPPED = {
    "active-designer-caasl": lambda path: ActiveDesigner(path, algorithm="distilled"),
    "active-designer-gene-network": lambda path: ActiveDesigner(path, algorithm="distilled"),
    "graph-posterior-caasl": lambda path: AmortizedGraphPosterior(path),
    "graph-posterior-gene-network": lambda path: AmortizedGraphPosterior(path),
    "graph-posterior-linear": lambda path: AmortizedGraphPosterior(path),
    "intervention-predictor": lambda path: MetaInterventionPredictor(pretrained=path),
}
REFUSED = (ValueError, OSError)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return open, (str(self.trace), "w")


def damaged_copies(content, n_copies, seed=0):
    """Truncations, and copies with a single flipped bit anywhere."""
    rng = np.random.default_rng(seed)
    for position in rng.integers(len(content), size=n_copies):
        yield content[:position]
    # Most bytes are weights; the header is damaged as often.
    header = 8 + int.from_bytes(content[:8], "little")
    for number in range(n_copies):
        flipped = bytearray(content)
        position = rng.integers(header if number % 2 else len(content))
        flipped[position] ^= 1 << int(rng.integers(8))
        yield bytes(flipped)


def files_of_other_kinds(content, trace):
    """What somebody might pass by mistake, or with bad intentions, by name."""
    archive, torch_file = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Bomb(trace)))
    torch.save({"weights": Bomb(trace)}, torch_file)
    joblib_file = io.BytesIO()
    joblib.dump(Bomb(trace), joblib_file)
    empty = json.dumps({"__metadata__": {"skcausal": "{}"}}).encode()
    nested = json.dumps({"__metadata__": {"skcausal": "[" * 10**5}}).encode()
    return {
        "empty": b"",
        "text": b"no weights at all\n" * 100,
        "JSON": b'{"weights": [1.0, 2.0]}',
        "pickle": pickle.dumps(Bomb(trace)),
        "old torch": pickle.dumps([Bomb(trace)], protocol=2),
        "torch": torch_file.getvalue(),
        "joblib": joblib_file.getvalue(),
        "zip": archive.getvalue(),
        "huge header": (2**63 - 1).to_bytes(8, "little") + content[8:],
        "header longer than the file": (len(content)).to_bytes(8, "little") + content[8:],
        "header of length zero": bytes(8) + content[8:],
        "nested header": (10**5).to_bytes(8, "little") + b"[" * 10**5,
        "nested metadata": len(nested).to_bytes(8, "little") + nested,
        "no tensors": len(empty).to_bytes(8, "little") + empty,
        "bytes behind the end": content + b"\0",
        "two files": content + content,
    }


def assert_refused(read, path, content):
    """Write the content, read it, and expect an error that names the file."""
    path.write_bytes(content)
    with pytest.raises(REFUSED) as caught:
        read(path)
    assert path.name in str(caught.value)
    # LinAlgError, JSONDecodeError and UnicodeDecodeError are ValueErrors, but no sentences.
    assert type(caught.value) in (ValueError, OSError)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "given.safetensors"


@pytest.mark.parametrize("name", SHIPPED)
def test_damaged_weights_are_refused(name, path):
    """Given as a file of one's own, of which no list holds the checksum."""
    content = shipped_weights(name).read_bytes()
    copy = path.with_name("copy")

    def read(path):
        SHIPPED[name](path).save_pretrained(copy)

    path.write_bytes(content)
    read(path)
    copy.unlink()
    for damaged in damaged_copies(content, N_COPIES):
        assert_refused(read, path, damaged)
    for other in files_of_other_kinds(content, path.with_name("executed")).values():
        assert_refused(read, path, other)
    assert os.listdir(path.parent) == [path.name]


def fit_cfr(checkpoint):
    rng = np.random.default_rng(0)
    X, treatment = rng.normal(size=(40, 2)), np.arange(40) % 2
    model = CFRRegressor(
        representation_layers=(4,),
        head_layers=(3,),
        max_epochs=2,
        n_ensemble=2,
        checkpoint=checkpoint,
        random_state=0,
    )
    return model.fit(X, X[:, 0] + treatment, treatment=treatment)


def fit_gim(checkpoint):
    rng = np.random.default_rng(0)
    features = np.repeat(np.eye(4, 3, k=-1), 10, axis=0)
    X = rng.normal(size=(40, 3)) + features
    model = GenerativeInterventionModel(
        solver="gradient", n_steps=20, checkpoint=checkpoint, random_state=0
    )
    return model.fit(X, interventions=features)


@pytest.mark.parametrize("fit", [fit_cfr, fit_gim])
def test_damaged_checkpoints_are_refused(fit, path):
    """A training never goes on from what is not a checkpoint, and never overwrites it."""
    fit(path)
    content = path.read_bytes()
    fit(path)  # an intact one is read
    assert path.read_bytes() == content
    kinds = files_of_other_kinds(content, path.with_name("executed"))
    for damaged in [*damaged_copies(content, N_COPIES), *kinds.values()]:
        assert_refused(fit, path, damaged)
        assert path.read_bytes() == damaged
    assert os.listdir(path.parent) == [path.name]


def test_bombs_explode_where_they_are_unpickled(tmp_path):
    """Else nothing above would show that nothing was executed."""
    kinds = files_of_other_kinds(bytes(100), tmp_path / "executed")
    for name in ("pickle", "old torch"):
        pickle.loads(kinds[name])
        (tmp_path / "executed").unlink()
    joblib.load(io.BytesIO(kinds["joblib"]))
    (tmp_path / "executed").unlink()
    torch.load(io.BytesIO(kinds["torch"]), weights_only=False)
    (tmp_path / "executed").unlink()
