"""Fitted estimators that were stored and read again answer everything as they did."""

import copy
import pickle

import joblib
import pytest
from sklearn.base import clone

from tests.conftest import fit_on, name_of
from tests.reliability.conftest import FAMILIES, answers, assert_same_answers


def through_pickle(model, folder):
    return pickle.loads(pickle.dumps(model))


def through_oldest_protocol(model, folder):
    return pickle.loads(pickle.dumps(model, protocol=2))


def through_copy(model, folder):
    return copy.deepcopy(model)


def through_compressed_file(model, folder):
    joblib.dump(model, folder / "model.joblib", compress=3)
    return joblib.load(folder / "model.joblib")


def through_memory_map(model, folder):
    """As workers of joblib get large arrays: read-only."""
    joblib.dump(model, folder / "model.joblib")
    return joblib.load(folder / "model.joblib", mmap_mode="r")


def through_skops(model, folder):
    """Types that skops does not know are ours alone; nothing else has to be trusted."""
    skops = pytest.importorskip("skops.io")
    content = skops.dumps(model)
    unknown = skops.get_untrusted_types(data=content)
    assert [name for name in unknown if not name.startswith(TRUSTED)] == []
    return skops.loads(content, trusted=unknown)


TRUSTED = ("skcausal.", "torch.")
WAYS = [
    through_pickle,
    through_oldest_protocol,
    through_copy,
    through_compressed_file,
    through_memory_map,
    through_skops,
]


@pytest.mark.parametrize("through", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("estimator", FAMILIES, ids=name_of)
def test_every_answer_is_the_same(estimator, through, fitted_once, data, tmp_path):
    fitted = fitted_once(estimator)
    restored = through(fitted, tmp_path)
    assert restored is not fitted
    assert_same_answers(answers(restored, data), answers(fitted, data))


@pytest.mark.parametrize("estimator", FAMILIES, ids=name_of)
def test_storing_leaves_the_model_as_it_was(estimator, data, tmp_path):
    fitted = fit_on(estimator, data)
    before = answers(fitted, data)
    pickle.dumps(fitted)
    assert_same_answers(answers(fitted, data), before)


@pytest.mark.parametrize("estimator", FAMILIES, ids=name_of)
def test_clone_of_what_was_restored_refits_to_the_same(estimator, fitted_once, data, tmp_path):
    fitted = fitted_once(estimator)
    again = fit_on(clone(through_pickle(fitted, tmp_path)), data)
    assert_same_answers(answers(again, data), answers(fitted, data))
