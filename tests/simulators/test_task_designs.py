"""Random experiments for meta-training have the properties that training relies on."""

import numpy as np
import pytest
import torch

from skcausal.simulators._task_designs import _MOST_ROWS, N_QUERIES, draw_design

N_TASKS = 6


@pytest.fixture(scope="module")
def designs():
    """Designs of batches of several sizes."""
    return [
        draw_design(N_TASKS, d, np.random.default_rng([d, seed]))
        for d in (2, 3, 4, 5, 7, 12)
        for seed in range(50)
    ]


def test_shapes_and_types(designs):
    for design in designs:
        n_tasks, n_regimes, d = design.targets.shape
        n_rows = design.kept.shape[-1]
        assert n_tasks == N_TASKS
        assert design.kept.shape == (n_tasks, n_regimes, n_rows)
        assert design.values.shape in {(n_tasks, n_regimes, k, d) for k in (1, n_rows)}
        n_queries = min(N_QUERIES, max(1, d * (d - 1) // 2 - 1))
        assert design.query_targets.shape == (n_tasks, n_queries, d)
        assert design.query_values.shape == (n_tasks, n_queries, d)
        for mask in (design.targets, design.kept, design.query_targets):
            assert mask.dtype == torch.bool
        for values in (design.values, design.query_values):
            assert values.dtype == torch.float32
            assert values.isfinite().all()
        assert n_rows >= 2
        assert n_rows == 2 or n_rows * n_regimes <= _MOST_ROWS


def test_every_regime_has_rows_and_the_first_ones_count(designs):
    for design in designs:
        n_kept = design.kept.sum(dim=-1)
        assert (n_kept >= 1).all()
        positions = torch.arange(design.kept.shape[-1])
        assert torch.equal(design.kept, positions < n_kept[..., None])


def test_queries_set_one_to_three_variables(designs):
    for design in designs:
        sizes = design.query_targets.sum(dim=-1)
        assert (sizes >= 1).all()
        assert (sizes <= 3).all()


def repeats(targets, others):
    """Whether each row of a task (n_tasks, n) is among the other rows of the task."""
    return (targets[:, :, None] == others[:, None]).all(dim=-1).any(dim=-1)


def test_pairs_are_asked_about_that_the_context_hardly_ever_has(designs):
    """Only sets of random size can repeat one; two queries with pairs differ."""
    asked = seen = 0
    for design in designs:
        if design.targets.shape[-1] < 5:
            continue
        pairs = design.query_targets.sum(dim=-1) == 2
        asked += int(pairs.sum())
        seen += int((pairs & repeats(design.query_targets, design.targets)).sum())
        twice = (design.query_targets[:, :, None] == design.query_targets[:, None]).all(dim=-1)
        twice &= pairs[:, :, None] & ~torch.eye(pairs.shape[1], dtype=torch.bool)
        assert not twice.any()
    assert asked > 1000
    assert seen < 0.05 * asked


def test_singles_are_asked_about_where_they_never_were_a_target(designs):
    """Variables that the context leaves out come first."""
    left_out = asked = 0
    for design in designs:
        never = ~design.targets.any(dim=1)
        singles = design.query_targets & (design.query_targets.sum(dim=-1) == 1)[..., None]
        for task in range(N_TASKS):
            n_asked = int(singles[task].any(dim=-1).sum())
            if n_asked and never[task].any() and not never[task].all():
                left_out += 1
                asked += bool((singles[task] & never[task]).any())
    assert left_out > 20
    assert asked == left_out


def test_there_is_every_kind_of_experiment(designs):
    seen = set()
    for design in designs:
        n_targets = design.targets.sum(dim=-1)
        seen.add(design.kind)
        seen.add("observational" if (n_targets == 0).any() else "interventions alone")
        seen.add("combinations" if (n_targets > 1).any() else "singles")
        seen.add("equal numbers" if design.kept.all() else "different numbers")
        seen.add("never a target" if (~design.targets.any(dim=1)).any() else "all are targets")
        if design.kind != "noise":
            vary = design.values.shape[2] > 1
            constant = bool((design.values == 2.0).all())
            seen.add("rows vary" if vary else "one value" if constant else "random values")
            assert not constant or (design.query_values == 2.0).all()
        else:
            assert (design.values > 1).all()
    assert seen == {
        "hard",
        "shift",
        "noise",
        "observational",
        "interventions alone",
        "combinations",
        "singles",
        "equal numbers",
        "different numbers",
        "never a target",
        "all are targets",
        "rows vary",
        "one value",
        "random values",
    }


def test_tasks_of_a_batch_differ():
    design = draw_design(N_TASKS, 8, np.random.default_rng(0))
    assert not torch.equal(design.query_targets[0], design.query_targets[1])


def test_the_generator_alone_determines_the_design():
    state = torch.random.get_rng_state()
    designs = [draw_design(N_TASKS, 6, np.random.default_rng(seed)) for seed in (3, 3, 4)]
    assert torch.equal(torch.random.get_rng_state(), state)
    for name in ("targets", "values", "kept", "query_targets", "query_values"):
        assert torch.equal(getattr(designs[0], name), getattr(designs[1], name))
    assert not torch.equal(designs[0].query_targets, designs[2].query_targets)
