"""The criterion by bounds: what decides it, with what error, and what cannot."""

import math

import numpy as np
import pytest
from scipy import stats

from cch.base.errors import CchError
from cch.criterion.closed_form import ClosedForm
from cch.criterion.ground import (
    Claim,
    Side,
    claims,
    decide,
    entropy_side,
    holm_errors,
)


def claim(low, low_error, high, high_error, ground="bound (a)"):
    return Claim(ground, "e, f", Side(low, low_error), Side(high, high_error))


def only(*some, **more):
    return decide({"0": list(some)}, **more)["0"]


def test_a_lower_bound_above_the_upper_one_holds_with_its_margin():
    found = only(claim(3.0, 0.1, 2.0, 0.05))
    z = stats.norm.ppf(0.975)  # one claim: each side at error 0.05 / 2
    assert (found.verdict, found.ground) == ("holds", "bound (a)")
    assert found.lower == pytest.approx(3 - 0.1 * z)
    assert found.upper == pytest.approx(2 + 0.05 * z)
    assert found.margin == pytest.approx(1 - 0.15 * z)
    assert found.confidence == pytest.approx(0.95)


def test_a_side_that_is_known_exactly_needs_no_share_of_the_error():
    found = only(claim(3.0, 0.1, math.log(10), 0.0))
    assert found.lower == pytest.approx(3 - 0.1 * stats.norm.ppf(0.95))
    assert found.upper == math.log(10)


def test_where_no_bound_decides_nothing_is_said_and_never_fails():
    found = only(claim(0.5, 0.1, 2.0, 0.05), claim(0.1, 0.1, 1.0, 0.1, "bound (b)"))
    assert (found.verdict, found.ground) == ("undecided", None)
    assert found.margin < 0
    assert found.by == "bound (b): e, f"  # the nearer of the two
    nothing = decide({"0": []})["0"]
    assert (nothing.verdict, nothing.margin) == ("undecided", None)


def test_the_error_of_a_bound_is_read_off_its_limit():
    side = Side.of_bound(1.8, 0.975, 2.0)
    assert side.error == pytest.approx(0.2 / stats.norm.ppf(0.975))
    assert Side.of_bound(2.2, 0.975, 2.0).error == pytest.approx(side.error)
    assert Side.of_bound(1.8, 0.975, 2.0, 9).error == pytest.approx(0.2 / stats.t.ppf(0.975, 9))
    with pytest.raises(CchError, match="confidence"):
        Side.of_bound(1.8, 1.0, 2.0)


def test_few_rows_make_a_wide_allowance():
    few = Claim("bound (a)", "e, f", Side(3.0, 0.1, 9), Side(2.0, 0.1, 99))
    low, high = few.at(0.05)
    assert (3.0 - low, high - 2.0) == pytest.approx([0.1 * stats.t.ppf(0.975, 9)] * 2)
    assert few.p == pytest.approx(2 * stats.t.sf(5, 9))


def test_the_allowance_of_a_mean_over_runs_does_not_shrink():
    # Runs share rows: their errors may be one and the same.
    mean = Side.over_runs([Side(1.0, 0.1), Side(2.0, 0.3)])
    assert (mean.mean, mean.error) == (pytest.approx(1.5), pytest.approx(0.2))


def test_runs_without_both_bounds_are_left_out():
    given = [Side(3.0, 0.1), None, Side(2.0, 0.1)]
    found = claims({"infonce": given}, {"H(Y)": [Side(1.0), Side(1.0), None]}, {}, {})
    assert [(c.ground, c.by, c.runs, c.below.mean) for c in found] == [
        ("bound (a)", "infonce, H(Y)", 1, 3.0)
    ]


def test_every_lower_bound_meets_every_upper_one():
    one, ce = [Side(1.0, 0.1)], [Side(0.5, 0.1)]
    found = claims({"infonce": one, "nwj": one}, {"H(Y)": ce}, {"infonce": one}, {"classifier": ce})
    assert [(c.ground, c.by) for c in found] == [
        ("bound (a)", "infonce, H(Y)"),
        ("bound (a)", "nwj, H(Y)"),
        ("bound (b)", "infonce, classifier"),
    ]


def test_holm_by_hand():
    # Sorted: 0.001, 0.02, 0.03, 0.2 against 0.05/4, 0.05/3; 0.02 is not accepted, nor any after it.
    p = [0.03, 0.001, 0.2, 0.02]
    given = [claim(stats.norm.isf(one), 1.0, 0.0, 0.0) for one in p]
    assert [one.p for one in given] == pytest.approx(p)
    found = holm_errors(given, 0.05)
    assert found == pytest.approx([0.05 / 3, 0.05 / 4, 0.05 / 3, 0.05 / 3])


def test_claims_too_sure_for_a_float_are_still_in_order():
    given = [claim(5.0 + 50 * step, 0.1, 0.0, 0.0) for step in (0, 2, 1)]
    assert [one.p for one in given] == [0.0] * 3
    assert holm_errors(given, 0.05) == pytest.approx([0.05, 0.05 / 3, 0.05 / 2])


def test_holm_covers_grounds_and_levels_and_the_margin_agrees_with_it():
    # p = 2 (1 - Phi(2.2)) = 0.028: enough alone, not among four claims.
    weak = claim(1.0 + 0.1 * 2.2, 0.05, 1.0, 0.05)
    assert only(weak).verdict == "holds"
    found = decide({level: [weak, claim(0.0, 0.1, 1.0, 0.1)] for level in ("0", "1")})
    assert {one.verdict for one in found.values()} == {"undecided"}
    assert all(one.margin < 0 for one in found.values())
    # Decided claims beside it cost nothing: the last one is tested at the whole error.
    strong = claim(5.0, 0.1, 1.0, 0.1)
    found = decide({"0": [weak], "1": [strong], "2": [strong]})
    assert {one.verdict for one in found.values()} == {"holds"}
    assert found["0"].confidence == pytest.approx(0.95)
    assert found["1"].confidence > 0.98


def test_only_a_closed_form_fails():
    closed = {"0": ClosedForm(1.0, 1.5), "1": ClosedForm(2.0, 1.5), "2": ClosedForm(math.inf, 1.5)}
    found = decide({level: [] for level in closed}, closed)
    assert [one.verdict for one in found.values()] == ["fails", "holds", "holds"]
    assert {one.ground for one in found.values()} == {"closed form of inputs"}
    assert found["0"].margin == pytest.approx(-0.5)
    assert found["2"].margin is None and "infinite" in found["2"].flags[1]
    # A bound is about the representations and comes first.
    both = decide({"1": [claim(3.0, 0.1, 1.5, 0.0)]}, closed)["1"]
    assert both.ground == "bound (a)"


def test_the_entropy_of_few_rows_is_not_taken_for_the_truth():
    balanced = entropy_side(np.arange(100) % 10)
    assert balanced == Side(math.log(10), 0.0)
    # 90 and 10 of 100: the plug-in entropy falls short by 1 / 2n on average.
    side = entropy_side(np.repeat([3, 7], [90, 10]))
    plug_in = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert side.mean == pytest.approx(plug_in + 1 / 200)
    assert side.error == pytest.approx(0.3 * math.log(9) / 10)


def test_the_upper_limit_of_the_entropy_covers_it():
    shares = np.array([0.7, 0.2, 0.1])
    truth, draws = -(shares * np.log(shares)).sum(), np.random.default_rng(0)
    sides = [entropy_side(draws.choice(3, 100, p=shares)) for _ in range(500)]
    covered = np.mean([side.mean + 1.645 * side.error >= truth for side in sides])
    assert 0.93 <= covered <= 0.99


def test_bounds_that_share_their_error_are_never_wrong_too_often():
    """At the edge (gap 0), ten runs with one error in common: at most 5 % false "holds"."""
    draws, false = np.random.default_rng(1), 0
    for _ in range(2000):
        common = draws.normal(0, 0.1)
        runs = [Side(1.0 + common, 0.1)] * 10
        (one,) = claims({"e": runs}, {"H(Y)": [Side(1.0)] * 10}, {}, {})
        false += only(one).verdict == "holds"
    assert 0.03 <= false / 2000 <= 0.06


def test_a_confidence_that_cannot_be_is_refused():
    with pytest.raises(CchError, match="expected between"):
        decide({}, confidence=1.0)
