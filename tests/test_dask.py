"""Searches on a dask cluster: the same scores as in one process, even if a worker dies."""

import os
import signal

import cloudpickle
import joblib
import numpy as np
import pytest
import sklearn
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline

from skcausal.model_selection import LeaveInterventionsOut
from skcausal.prediction import NoEffect
from tests import conftest
from tests.conftest import EFFECT_ESTIMATORS, ESTIMATORS, treated

distributed = pytest.importorskip("distributed", reason="needs the extra 'scale'")


class KillsItsWorker(NoEffect):
    """Ends the process that fits it, once; whoever fits it again finds the file."""

    def __init__(self, file=None, this_process=None):
        super().__init__()
        self.file = file
        self.this_process = this_process

    def _fit(self, X, mask, regime):
        if os.getpid() != self.this_process and not os.path.exists(self.file):
            with open(self.file, "w") as file:
                file.write(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        super()._fit(X, mask, regime)


@pytest.fixture(scope="module")
def cluster():
    """Two workers of one thread each, which get the classes of this module by value."""
    import sys

    for module in (sys.modules[__name__], conftest):
        cloudpickle.register_pickle_by_value(module)
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    )
    with cluster, distributed.Client(cluster):
        yield cluster


def search_predictors(data, killer):
    """Search over all predictors of interventions, on interventions held out."""
    search = GridSearchCV(
        Pipeline([("model", NoEffect())]),
        {"model": [killer, *ESTIMATORS]},
        cv=LeaveInterventionsOut(2),
        error_score="raise",
        refit=False,
    )
    with sklearn.config_context(enable_metadata_routing=True):
        return search.fit(data.X, interventions=data.interventions).cv_results_


def search_effects(data):
    """Search over weights of the alignment of treatment arms."""
    folds = KFold(2, shuffle=True, random_state=0)
    search = GridSearchCV(
        EFFECT_ESTIMATORS[0], {"alpha": [0.0, 1.0]}, cv=folds, error_score="raise"
    )
    with sklearn.config_context(enable_metadata_routing=True):
        search.fit(data.X, data.X.sum(axis=1), treatment=treated(data))
    return search.cv_results_


def scores(results):
    """Test scores of all candidates and splits."""
    return np.array([results[f"split{k}_test_score"] for k in range(2)])


@pytest.mark.timeout(200)
def test_all_predictors_and_a_worker_that_dies(cluster, data, tmp_path):
    file = tmp_path / "killed"
    killer = KillsItsWorker(str(file), os.getpid())
    expected = scores(search_predictors(data, killer))
    assert not file.exists()
    with joblib.parallel_config("dask"):
        found = scores(search_predictors(data, killer))
    assert int(file.read_text()) != os.getpid()
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_effects(cluster, data):
    expected = scores(search_effects(data))
    with joblib.parallel_config("dask"):
        np.testing.assert_allclose(scores(search_effects(data)), expected, rtol=1e-10)
