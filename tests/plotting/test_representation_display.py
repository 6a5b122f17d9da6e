import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import same_color, to_rgb
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA

from skcausal.plotting import RepresentationDisplay
from skcausal.plotting._palette import CYCLE
from skcausal.plotting._representation_display import _stratified_sample


class DoublingRepresentation(BaseEstimator):
    """Represents units by twice their covariates."""

    def transform(self, X):
        return 2 * np.asarray(X)


@pytest.fixture
def units():
    """Representation (60, 4), two arms and three environments."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 4)), np.arange(60) % 2, np.arange(60) // 2 % 3


def styles_by_unit(points, embedding):
    """Colour and number of the marker's vertices for each unit, found by its position."""
    offsets, paths = np.asarray(points.get_offsets()), points.get_paths()
    found = []
    for position in embedding:
        (k,) = np.flatnonzero((offsets == position).all(axis=1))
        color = to_rgb(points.get_facecolor()[k])
        found.append((color, paths[k % len(paths)].vertices.shape))
    return found


def assert_tells_apart(styles, groups):
    """Units have the same style exactly if they are of the same group."""
    styles = np.array([hash(style) for style in styles])
    assert np.array_equal(styles[:, None] == styles, groups[:, None] == groups)


def labels_of(legend):
    return legend.get_title().get_text(), [text.get_text() for text in legend.get_texts()]


def test_arms_differ_in_colour_and_marker(units):
    representation, treatment, _ = units
    display = RepresentationDisplay(representation[:, :2], treatment=treatment).plot()
    (points,) = display.points_
    styles = styles_by_unit(points, representation[:, :2])
    for item in (0, 1):
        assert_tells_apart([style[item] for style in styles], treatment)
    (legend,) = display.legends_
    assert labels_of(legend) == ("Arm", ["0", "1"])
    for handle, unit in zip(legend.legend_handles, (0, 1)):
        assert same_color(handle.get_color(), styles[unit][0])
    assert display.ax_.get_legend() is legend


def test_two_panels_show_the_same_positions_by_arm_and_by_environment(units):
    representation, treatment, environment = units
    names = np.array(["north", "south", "west"])[environment]
    display = RepresentationDisplay(
        representation[:, :2], treatment=treatment, environment=names
    ).plot()
    assert display.ax_.shape == (2,)
    by_arm, by_environment = display.points_
    assert [points.axes for points in display.points_] == list(display.ax_)
    assert_tells_apart(styles_by_unit(by_arm, representation[:, :2]), treatment)
    assert_tells_apart(styles_by_unit(by_environment, representation[:, :2]), environment)
    assert [labels_of(legend) for legend in display.legends_] == [
        ("Arm", ["0", "1"]),
        ("Environment", ["north", "south", "west"]),
    ]


def test_a_single_axes_shows_arms_by_colour_and_environments_by_marker(units):
    representation, treatment, environment = units
    _, ax = plt.subplots(layout="constrained")
    display = RepresentationDisplay(
        representation[:, :2], treatment=treatment, environment=environment
    ).plot(ax=ax)
    assert display.ax_ is ax
    styles = styles_by_unit(display.points_[0], representation[:, :2])
    assert_tells_apart([color for color, _ in styles], treatment)
    assert_tells_apart([shape for _, shape in styles], environment)
    display.figure_.canvas.draw()
    first, second = (legend.get_window_extent() for legend in display.legends_)
    assert not first.overlaps(second)
    assert second.y0 >= 0
    assert all(legend.axes is ax for legend in display.legends_)


def test_units_are_drawn_in_an_order_that_favours_no_group():
    treatment = np.repeat([0, 1], 200)
    embedding = np.random.default_rng(0).normal(size=(400, 2))
    (points,) = RepresentationDisplay(embedding, treatment=treatment).plot().points_
    is_first_arm = (points.get_facecolor()[:, :3] == to_rgb(CYCLE[0])).all(axis=1)
    assert is_first_arm.sum() == 200
    assert 60 < is_first_arm[:200].sum() < 140


def test_legends_stand_beside_the_axes_in_the_figure(units):
    representation, treatment, environment = units
    display = RepresentationDisplay(
        representation[:, :2], treatment=treatment, environment=environment
    ).plot()
    display.figure_.canvas.draw()
    left, right = (ax.get_window_extent() for ax in display.ax_)
    first, second = (legend.get_window_extent() for legend in display.legends_)
    assert left.x1 - 1 <= first.x0
    assert first.x1 <= right.x0
    assert right.x1 - 1 <= second.x0
    assert second.x1 <= display.figure_.bbox.x1 + 1


def test_principal_components_and_their_shares(units):
    representation, treatment, _ = units
    display = RepresentationDisplay.from_predictions(
        representation, treatment=treatment, method="pca"
    )
    pca = PCA(n_components=2).fit(representation)
    assert np.allclose(np.abs(display.embedding), np.abs(pca.transform(representation)))
    first, second = pca.explained_variance_ratio_
    assert display.ax_.get_xlabel() == f"Component 1 ({first:.0%} of variance)"
    assert display.ax_.get_ylabel() == f"Component 2 ({second:.0%} of variance)"


def test_tsne_keeps_clusters_together_and_is_deterministic():
    rng = np.random.default_rng(0)
    treatment = np.repeat([0, 1], 30)
    representation = 1e6 + rng.normal(size=(60, 3)) + 100 * treatment[:, None]
    first, second = (
        RepresentationDisplay.from_predictions(representation, treatment=treatment)
        for _ in range(2)
    )
    assert np.array_equal(first.embedding, second.embedding)
    assert first.ax_.get_xlabel() == "t-SNE 1"
    distances = np.linalg.norm(first.embedding[:, None] - first.embedding, axis=2)
    np.fill_diagonal(distances, np.inf)
    assert np.array_equal(treatment[distances.argmin(axis=1)], treatment)


@pytest.mark.parametrize("n_units", [4, 7])
def test_few_units_can_be_embedded(n_units):
    representation = np.random.default_rng(0).normal(size=(n_units, 3))
    display = RepresentationDisplay.from_predictions(
        representation, treatment=np.arange(n_units) % 2
    )
    assert display.embedding.shape == (n_units, 2)
    assert np.isfinite(display.embedding).all()


def test_subsample_keeps_units_with_their_groups(units):
    noise, treatment, environment = units
    position = 100 * treatment + 10 * environment  # tells the group of a unit
    display = RepresentationDisplay.from_predictions(
        np.column_stack([position + noise[:, 0], noise[:, 1]]),
        treatment=treatment,
        environment=environment,
        method="pca",
        max_units=24,
    )
    assert len(display.embedding) == 24
    pairs, counts = np.unique(
        np.stack([display.treatment, display.environment]), axis=1, return_counts=True
    )
    assert pairs.shape == (2, 6)
    assert np.array_equal(counts, [4] * 6)
    expected = 100 * display.treatment + 10 * display.environment
    first = display.embedding[:, 0]
    first = first * np.sign(first @ (expected - expected.mean()))
    assert np.ptp(first - expected) < 8


def test_sample_is_stratified():
    strata = np.random.default_rng(1).permutation(np.repeat([0, 1, 2], [500, 99, 1]))
    units = _stratified_sample(strata, 60, np.random.RandomState(0))
    assert len(np.unique(units)) == 60
    assert np.array_equal(units, np.sort(units))
    counts = np.bincount(strata[units])
    assert counts[2] == 1
    assert abs(counts[0] - 50) <= 1
    assert abs(counts[1] - 10) <= 1
    other = _stratified_sample(strata, 60, np.random.RandomState(1))
    assert not np.array_equal(units, other)
    assert np.array_equal(_stratified_sample(strata, 600, np.random.RandomState(0)), range(600))


def test_from_estimator_shows_what_transform_gives(units):
    X, treatment, environment = units
    _, axes = plt.subplots(1, 2)
    display = RepresentationDisplay.from_estimator(
        DoublingRepresentation(),
        X,
        treatment=treatment,
        environment=environment,
        method="pca",
        ax=axes,
        s=7,
    )
    expected = RepresentationDisplay.from_predictions(2 * X, treatment=treatment, method="pca")
    assert np.allclose(display.embedding, expected.embedding)
    assert list(display.ax_) == list(axes)
    assert display.figure_ is axes[0].figure
    assert display.points_[1].get_sizes() == [7]


def test_display_can_be_drawn_again(units):
    representation, treatment, environment = units
    display = RepresentationDisplay(
        representation[:, :2], treatment=treatment, environment=environment
    ).plot()
    _, ax = plt.subplots()
    assert display.plot(ax=ax, marker="x", edgecolors=None) is display
    assert display.ax_ is ax
    assert len(display.points_) == 1
    assert len(display.points_[0].get_paths()) == 1  # the marker that was asked for
    assert len(display.legends_) == 2


def test_more_groups_than_colours_differ_by_marker():
    treatment = np.arange(42)
    embedding = np.random.default_rng(0).normal(size=(42, 2))
    display = RepresentationDisplay(embedding, treatment=treatment).plot()
    (legend,) = display.legends_
    styles = {(handle.get_color(), handle.get_marker()) for handle in legend.legend_handles}
    assert len(styles) == 42
    display.figure_.canvas.draw()
    assert legend.get_window_extent().x1 <= display.figure_.bbox.x1 + 1
    assert legend.get_window_extent().y0 >= 0


def test_more_groups_than_can_be_told_apart_are_refused():
    embedding = np.random.default_rng(0).normal(size=(43, 2))
    with pytest.raises(ValueError, match="Arm has 43 levels, but only 42"):
        RepresentationDisplay(embedding, treatment=np.arange(43)).plot()
    _, ax = plt.subplots()
    display = RepresentationDisplay(
        embedding, treatment=np.arange(43) % 2, environment=np.arange(43) % 8
    )
    with pytest.raises(ValueError, match=r"got 2 and 8\. Pass two Axes"):
        display.plot(ax=ax)
    assert len(display.plot().legends_) == 2


def test_estimators_without_representation_are_refused(units):
    X, treatment, _ = units
    with pytest.raises(TypeError, match="BaseEstimator has none"):
        RepresentationDisplay.from_estimator(BaseEstimator(), X, treatment=treatment)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "umap"}, 'method must be "tsne" or "pca"'),
        ({"treatment": [0, 1]}, r"treatment must hold one label"),
        ({"treatment": np.append(np.zeros(59), np.nan)}, "treatment is missing .* in 1 of 60 rows"),
        ({"environment": np.zeros((60, 2))}, r"environment must hold one label"),
        ({"representation": np.zeros((60, 1))}, "at least two columns"),
        ({"representation": np.ones((60, 3))}, "the same for all units"),
        ({"representation": np.full((60, 3), np.nan)}, "representation contains NaN"),
        ({"representation": np.eye(3), "treatment": [0, 1, 1]}, "minimum of 4 is required"),
        ({"max_units": 3}, "max_units must be at least 4"),
        ({"environment": np.arange(60) % 20, "max_units": 15}, "for each of the 20 groups"),
        ({"ax": [None] * 3}, "ax must be one Axes; got 3"),
    ],
)
def test_invalid_input_is_refused_with_a_sentence(units, change, message):
    representation, treatment, _ = units
    arguments = {"representation": representation, "treatment": treatment, "method": "pca"} | change
    with pytest.raises(ValueError, match=message):
        RepresentationDisplay.from_predictions(**arguments)


def test_embeddings_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"embedding must have shape \(5, 2\); got \(5, 3\)"):
        RepresentationDisplay(np.zeros((5, 3)), treatment=np.zeros(5))
