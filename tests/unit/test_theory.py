"""The theory against the paper's formulas written out, closed forms, derivatives and simulation.

Simulated means are held to 4 standard errors: with fixed keys a right formula passes or fails once
and for all, and under 1 in 10,000 would fail by chance.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from cch.base.errors import CchError
from cch.config import Theory, load
from cch.data.rng import numpy_generator
from cch.information.gaussian import SyntheticModel
from cch.paper.theory import region
from cch.paper.theory.criterion import correlations, theorem_one
from cch.paper.theory.documents import DOCUMENTS
from cch.paper.theory.figures import DRAW
from cch.paper.theory.model import JointGaussian
from cch.paper.theory.risk import (
    asymptotic_risk,
    break_even,
    effective_label,
    finite_risk,
    help_margin,
    optimal_weight,
    regime,
    risk_slope,
    surrogate_weight,
)
from cch.paper.theory.simulate import _Sampler, simulate
from cch.paper.theory.stage import flips, simulate_all
from cch.tables import render
from cch.tables.figures import save
from cch.workflow.planning import Plan
from support import ROOT


def random_model(q: int, p: int, key: str, common: float = 0.4) -> JointGaussian:
    """A covariance with every correlation and a spread of eigenvalues; q != p shows transposes."""
    size = q + p + 1
    generator = numpy_generator("test-theory", key)
    root = generator.standard_normal((size, 3 * size)) / math.sqrt(3 * size)
    # Common factors, or large random matrices would have next to no correlations.
    root[:, :3] += common * generator.standard_normal((size, 3))
    scale = np.exp(0.4 * generator.standard_normal(size))
    covariance = (root @ root.T) * np.outer(scale, scale)
    return JointGaussian.from_covariance(covariance, q)


def model_of_few_signals(q: int, p: int, key: str) -> JointGaussian:
    """An anisotropic student; teacher features mix what it knows of y, what it does not, noise."""
    generator = numpy_generator("test-theory", key)
    s22 = random_model(q, p, key).s22
    best = generator.standard_normal(p)
    best *= generator.uniform(0.3, 1) / math.sqrt(best @ s22 @ best)
    # Rows are x1, x2, y; columns are x2, the rest of y, noise of x1, all independent of each other.
    mix = np.zeros((q + p + 1, p + 1 + q))
    mix[q:-1, :p], mix[-1, :p], mix[-1, p] = np.eye(p), best, 1
    mix[:q, :p] = np.outer(generator.uniform(0, 3, q), best)
    mix[:q, p], mix[:q, p + 1 :] = generator.uniform(0, 1, q), np.eye(q)
    source = np.eye(p + 1 + q)
    source[:p, :p] = s22
    return JointGaussian.from_covariance(mix @ source @ mix.T, q)


def random_weight(model: JointGaussian, key: str) -> np.ndarray:
    """A teacher weight that is not the best one, as variable as the label at most."""
    weight = model.teacher_weight * numpy_generator("test-theory", key, "w").uniform(0, 2, model.q)
    return weight * min(1, math.sqrt(model.s33 / (weight @ model.s11 @ weight)))


MODEL = random_model(7, 12, "main")
WEIGHT = random_weight(MODEL, "main")


# The paper's formulas, written out


def eq_13(m: JointGaussian, w1: np.ndarray, lam: float, kappa: float) -> float:
    """Eq. 13, second line, with its transposes."""
    s22 = np.linalg.inv(m.s22)
    star = s22 @ m.s23
    shift = s22 @ m.s12.T @ w1 - star
    bracket = (
        (m.s33 - star @ m.s22 @ star)
        + 2 * lam * w1 @ (m.s13 - m.s12 @ star)
        + lam**2 * w1 @ (m.s11 - m.s12 @ s22 @ m.s12.T) @ w1
    )
    return lam**2 / (1 + lam) ** 2 * shift @ m.s22 @ shift + bracket / (kappa - 1) / (1 + lam) ** 2


def eq_25_27(m: JointGaussian, w1: np.ndarray, lam: float, kappa: float) -> float:
    """Eqs. 25 to 27, 29, 30 with gamma squared and E[theta_2' S22 theta_2] taken."""
    s22, p = m.s22, m.p
    tau = regime(m, kappa).tau
    star = np.linalg.solve(s22, m.s23)
    sigma = math.sqrt(m.s33 - star @ s22 @ star)
    inner = sigma**2 + 2 * lam * w1 @ (m.s13 - m.s12 @ star)
    inner += lam**2 * w1 @ (m.s11 - m.s12 @ np.linalg.solve(s22, m.s12.T)) @ w1
    bar = math.sqrt(inner) / (1 + lam)  # Eq. 30
    w_s = sigma / ((1 + lam) * bar) * (star + lam * np.linalg.solve(s22, m.s12.T @ w1))  # Eq. 29
    inverse = np.linalg.inv(s22 + tau * np.eye(p))
    values, vectors = np.linalg.eigh(s22)
    half = vectors * np.sqrt(values) @ vectors.T
    theta = bar / sigma * inverse @ s22
    omega = np.trace(inverse @ inverse @ s22 @ s22) / (kappa * p)
    gamma2 = (sigma**2 + tau**2 * np.sum((half @ inverse @ w_s) ** 2)) / (1 - omega) / kappa
    noise = (bar / sigma) ** 2 * np.trace(half @ inverse @ s22 @ inverse @ half) / p
    rest = np.eye(p) - theta
    d = w_s - star
    return (
        d @ theta.T @ s22 @ theta @ d
        + gamma2 * noise
        + star @ rest.T @ s22 @ rest @ star
        - 2 * star @ rest.T @ s22 @ theta @ d
    )


def eq_28(m: JointGaussian, w1: np.ndarray, lam: float, kappa: float) -> float:
    """Eq. 28 with its transposes; all its matrices are functions of Sigma_22."""
    tau, star = regime(m, kappa).tau, m.student_weight
    sigma = math.sqrt(m.noise)
    label = effective_label(m, w1, lam)
    r = math.sqrt(label.variance) / sigma
    w_s = label.weight / r
    values, vectors = np.linalg.eigh(m.s22)
    d, a, u = vectors.T @ (w_s - star), vectors.T @ star, vectors.T @ w_s
    ridge = values + tau
    omega = np.sum(values**2 / ridge**2) / (kappa * m.p)
    spread = sigma**2 + tau**2 * np.sum(values * (u / ridge) ** 2)
    return (
        r**2 * np.sum(values**3 / ridge**2 * d**2)
        + r**2 * omega * spread / (1 - omega)
        - 2 * r * np.sum(a * values**2 / ridge**2 * (ridge - r * values) * d)
        + np.sum((ridge - r * values) ** 2 / ridge**2 * values * a**2)
    )


@pytest.mark.parametrize("kappa", [1.1, 2, 100])
@pytest.mark.parametrize("lam", [0, 0.3, 4])
def test_the_risk_above_one_is_eq_13(kappa, lam):
    expected = eq_13(MODEL, WEIGHT, lam, kappa)
    assert asymptotic_risk(MODEL, WEIGHT, lam, kappa) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kappa", [0.2, 0.5, 0.95])
@pytest.mark.parametrize("lam", [0, 0.3, 4])
def test_the_risk_below_one_is_eqs_25_to_30(kappa, lam):
    risk = asymptotic_risk(MODEL, WEIGHT, lam, kappa)
    assert risk == pytest.approx(eq_25_27(MODEL, WEIGHT, lam, kappa), rel=1e-9)
    assert risk == pytest.approx(eq_28(MODEL, WEIGHT, lam, kappa), rel=1e-9)


@pytest.mark.parametrize("kappa", [0.01, 0.5, 0.999])
def test_tau_solves_its_equation(kappa):
    state = regime(MODEL, kappa)
    resolvent = np.linalg.inv(MODEL.s22 + state.tau * np.eye(MODEL.p))
    assert np.trace(resolvent @ MODEL.s22) / MODEL.p == pytest.approx(kappa, rel=1e-12)
    assert 0 < state.omega < 1


def test_tau_and_omega_of_an_isotropic_student():
    model = JointGaussian.standardised(9, 0.5, 0.9, 0.4)
    state = regime(model, 0.4)
    assert state.tau == pytest.approx(1 / 0.4 - 1, rel=1e-12)
    assert state.omega == pytest.approx(0.4, rel=1e-12)
    assert regime(model, 2.5).inflation == pytest.approx(1 / 1.5, rel=1e-12)


def test_the_effective_label_is_the_regression_of_eq_9():
    lam = 0.7
    mix = np.zeros((2, MODEL.q + MODEL.p + 1))
    mix[0, : MODEL.q], mix[0, -1] = lam * WEIGHT / (1 + lam), 1 / (1 + lam)
    covariance = MODEL.covariance()
    with_x2 = (mix @ covariance)[0, MODEL.q : -1]
    weight = np.linalg.solve(MODEL.s22, with_x2)
    label = effective_label(MODEL, WEIGHT, lam)
    np.testing.assert_allclose(label.weight, weight, rtol=1e-9)
    variance = (mix @ covariance @ mix.T)[0, 0] - weight @ with_x2
    assert label.variance == pytest.approx(variance, rel=1e-9)


def test_the_finite_factor_differs_from_the_limit_as_stated():
    n, p = 50, MODEL.p
    at_zero = [finite_risk(MODEL, WEIGHT, 0, n), asymptotic_risk(MODEL, WEIGHT, 0, n / p)]
    assert at_zero[0] / at_zero[1] == pytest.approx(1 + 1 / (n - p - 1), rel=1e-9)


# Slopes and optima


@pytest.mark.parametrize("kappa", [0.3, 0.8, 1.2, 3])
def test_the_slope_is_the_derivative_at_no_distillation(kappa):
    step = 1e-4
    # Three points one-sided, as lambda is not negative: the error is of the order of step^2.
    r = [asymptotic_risk(MODEL, WEIGHT, k * step, kappa) for k in range(3)]
    numeric = (-3 * r[0] + 4 * r[1] - r[2]) / (2 * step)
    assert risk_slope(MODEL, WEIGHT, kappa) == pytest.approx(numeric, rel=1e-5)


def test_eq_17_is_the_derivative_of_eq_13():
    for number in range(20):
        model = random_model(4, 6, f"slope-{number}")
        weight = random_weight(model, f"slope-{number}")
        step = 1e-4
        r = [eq_13(model, weight, k * step, 3.0) for k in range(3)]
        numeric = (-3 * r[0] + 4 * r[1] - r[2]) / (2 * step)
        margin = help_margin(model, weight)
        assert 2 / (3.0 - 1) * margin == pytest.approx(numeric, rel=1e-4, abs=1e-7)
        assert theorem_one(model, weight).helps == (numeric < 0)


@pytest.mark.parametrize("kappa", [0.4, 0.9, 1.5, 20])
@pytest.mark.parametrize("lam", [0.05, 1, 5])
def test_the_optimal_weight_is_stationary_and_least(kappa, lam):
    best = optimal_weight(MODEL, lam, kappa)

    def risk(weight: np.ndarray) -> float:
        return asymptotic_risk(MODEL, weight, lam, kappa)

    step = 1e-3 * np.linalg.norm(best)
    # The risk is quadratic in w1, so central differences are its gradient but for rounding.
    gradient = [
        (risk(best + step * e) - risk(best - step * e)) / (2 * step) for e in np.eye(MODEL.q)
    ]
    away = [
        (risk(WEIGHT + step * e) - risk(WEIGHT - step * e)) / (2 * step) for e in np.eye(MODEL.q)
    ]
    assert np.linalg.norm(gradient) < 1e-8 * np.linalg.norm(away)
    assert risk(best) < min(risk(WEIGHT), risk(np.zeros(MODEL.q)), risk(MODEL.teacher_weight))


def test_the_optimal_weight_solves_eq_14_with_its_transposes():
    lam, kappa = 0.4, 2.5
    star = MODEL.student_weight
    explained = MODEL.s12 @ np.linalg.inv(MODEL.s22) @ MODEL.s12.T
    matrix = lam * (explained + (MODEL.s11 - explained) / (kappa - 1))
    right = lam * MODEL.s12 @ star - (MODEL.s13 - MODEL.s12 @ star) / (kappa - 1)
    best = optimal_weight(MODEL, lam, kappa)
    np.testing.assert_allclose(matrix @ best, right, atol=1e-9 * np.abs(right).max())


def without_direct_path() -> JointGaussian:
    """x1 and y independent given x2: Sigma_13 = Sigma_12 Sigma_22^-1 Sigma_23."""
    s13 = MODEL.s12 @ MODEL.student_weight
    return JointGaussian(MODEL.s11, MODEL.s12, s13, MODEL.s22, MODEL.s23, MODEL.s33)


@pytest.mark.parametrize("kappa", [1.3, 2, 7])
def test_eq_15_is_eq_14_without_a_direct_path_for_every_lambda(kappa):
    model = without_direct_path()
    expected = surrogate_weight(model, kappa)
    for lam in (0.1, 1, 6):
        np.testing.assert_allclose(optimal_weight(model, lam, kappa), expected, rtol=1e-7)


def test_theorem_2_needs_a_teacher_that_knows_something():
    zero = np.zeros(MODEL.q)
    model = JointGaussian(
        MODEL.s11, 0 * MODEL.s12, zero, MODEL.s22, MODEL.s23, MODEL.s33
    )  # fmt: skip
    np.testing.assert_array_equal(optimal_weight(model, 1.0, 3.0), zero)


def test_distillation_helps_up_to_break_even_and_no_further():
    model = JointGaussian.standardised(20, 0.1, 0.9, 0.4)
    weight = model.teacher_weight
    for kappa in (0.5, 4, 10, 100):
        edge = break_even(model, weight, kappa)
        start = asymptotic_risk(model, weight, 0, kappa)
        if math.isinf(edge):
            assert asymptotic_risk(model, weight, 1e4, kappa) < start
            continue
        assert asymptotic_risk(model, weight, edge, kappa) == pytest.approx(start, rel=1e-10)
        assert asymptotic_risk(model, weight, 0.9 * edge, kappa) < start
        assert asymptotic_risk(model, weight, 1.1 * edge, kappa) > start
    hurts = JointGaussian.standardised(20, 0.48, 0.9, 0.8)
    assert break_even(hurts, hurts.teacher_weight, 3) == 0


# Simulation


def eq_4(rows: np.ndarray, y: np.ndarray, t: np.ndarray, lam: float) -> np.ndarray:
    """Minimise Eq. 4 itself, both of its sums; of least norm where they leave a choice."""
    design = np.concatenate([rows, math.sqrt(lam) * rows])
    return np.linalg.lstsq(design, np.concatenate([y, math.sqrt(lam) * t]), rcond=1e-10)[0]


@pytest.mark.parametrize("n", [8, 40])
def test_the_simulated_student_minimises_eq_4(n):
    risks = simulate(MODEL, WEIGHT, [0, 0.5, 2], n, 2, ("eq4",))
    rows, targets = _Sampler(MODEL, WEIGHT, n, ("eq4",)).draw(range(2))
    for number in range(2):
        y, t = targets[number].T
        for place, lam in enumerate((0, 0.5, 2)):
            error = eq_4(rows[number], y, t, lam) - MODEL.student_weight
            assert error @ MODEL.s22 @ error == pytest.approx(risks[number, place], rel=1e-8)


def test_the_sampler_draws_from_the_model():
    rows, targets = _Sampler(MODEL, WEIGHT, 20_000, ("law",)).draw(range(1))
    drawn = np.concatenate([rows[0], targets[0]], axis=1)
    mix = np.zeros((MODEL.p + 2, MODEL.q + MODEL.p + 1))
    mix[: MODEL.p, MODEL.q : -1] = np.eye(MODEL.p)
    mix[-2, -1], mix[-1, : MODEL.q] = 1, WEIGHT
    expected = mix @ MODEL.covariance() @ mix.T
    spread = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    # A sample correlation of n rows has a standard deviation of at most 1 / sqrt(n), a variance
    # of sqrt(2 / n); 5 of the latter over 100 entries.
    assert np.abs((drawn.T @ drawn / 20_000 - expected) / spread).max() < 5 * math.sqrt(2 / 20_000)


LAMBDAS = [0, 0.1, 0.5, 2]


@pytest.mark.slow
def test_eq_13_against_simulation_in_an_anisotropic_model():
    model = random_model(30, 100, "above")
    weight = random_weight(model, "above")
    for n in (140, 300):
        risks = simulate(model, weight, LAMBDAS, n, 150, ("above",))
        error = risks.std(0, ddof=1) / math.sqrt(len(risks))
        for place, lam in enumerate(LAMBDAS):
            exact = finite_risk(model, weight, lam, n)
            limit = asymptotic_risk(model, weight, lam, n / 100)
            assert abs(risks[:, place].mean() - exact) < 4 * error[place]
            # The limit is off by the factor 1 + 1 / (n - p - 1) on the variance alone.
            finite_size = limit / (n - 101)
            assert abs(risks[:, place].mean() - limit) < 4 * error[place] + finite_size


@pytest.mark.slow
def test_eqs_25_to_30_against_simulation_in_an_anisotropic_model():
    model = random_model(30, 200, "below")
    weight = random_weight(model, "below")
    assert model.spectrum[-1] > 20 * model.spectrum[0]
    for n in (60, 140):
        risks = simulate(model, weight, LAMBDAS, n, 100, ("below",))
        error = risks.std(0, ddof=1) / math.sqrt(len(risks))
        for place, lam in enumerate(LAMBDAS):
            limit = asymptotic_risk(model, weight, lam, n / 200)
            # Nothing exact is known here; isotropic models are off by about 1 / |p - n|.
            assert abs(risks[:, place].mean() - limit) < 4 * error[place] + 2 * limit / (200 - n)


@pytest.mark.slow
@pytest.mark.parametrize("n", [40, 70])
def test_the_exact_isotropic_risk_below_one_against_simulation(n):
    model = JointGaussian.standardised(100, 0.5, 0.9, 0.4)
    weight = model.teacher_weight
    risks = simulate(model, weight, LAMBDAS, n, 300, ("isotropic",))
    error = risks.std(0, ddof=1) / math.sqrt(len(risks))
    exact = [finite_risk(model, weight, lam, n) for lam in LAMBDAS]
    assert (np.abs(risks.mean(0) - exact) < 4 * error).all()
    limit = [asymptotic_risk(model, weight, lam, n / 100) for lam in LAMBDAS]
    np.testing.assert_allclose(exact, limit, rtol=1.5 / (100 - n))


def test_more_replications_leave_the_earlier_ones_as_they_are(monkeypatch):
    few = simulate(MODEL, WEIGHT, [0, 1], 20, 3, ("same",))
    monkeypatch.setattr("cch.paper.theory.simulate.BLOCK_BYTES", 1)
    many = simulate(MODEL, WEIGHT, [1, 0], 20, 9, ("same",))
    np.testing.assert_array_equal(few, many[:3, ::-1])
    assert not np.array_equal(few, simulate(MODEL, WEIGHT, [0, 1], 20, 3, ("other",)))


# Theorem 1


def test_theorem_1_is_true_on_random_covariances():
    kinds = {"holds": 0, "fails": 0, "helps without it": 0, "hurts": 0}
    for number in range(400):
        # From next to no correlations to such that one coordinate tells all others.
        model = random_model(2, 3, f"theorem-{number}", common=0.2 + number / 80)
        weight = random_weight(model, f"theorem-{number}")
        found = theorem_one(model, weight)
        assert found.bounded
        kinds["holds" if found.holds else "fails"] += 1
        kinds["helps without it"] += found.helps and not found.holds
        kinds["hurts"] += not found.helps
        if found.holds:
            assert found.helps
            for kappa in (1.1, 2, 30):
                small = 1e-4 * abs(found.margin) / model.s33
                start = asymptotic_risk(model, weight, 0, kappa)
                assert asymptotic_risk(model, weight, small, kappa) < start
    assert min(kinds.values()) > 10, kinds


def test_theorem_1_needs_no_alignment_and_holds_for_negative_correlations():
    negative = 0
    for number in range(400):
        model = random_model(2, 3, f"sign-{number}")
        weight = -random_weight(model, f"sign-{number}")
        found = theorem_one(model, weight)
        if found.criterion and found.bounded:
            assert found.helps
            negative += correlations(model, weight)[0] < 0
    assert negative > 50


@pytest.mark.slow
def test_the_criterion_is_not_necessary_and_its_failure_may_hurt():
    # (rho_ts, rho_ty, rho_sy): criterion fails and helps; criterion fails and hurts; holds.
    cases = {(0.3, 0.9, 0.5): (False, True), (0.5, 0.9, 0.8): (False, False)}
    cases[(0.8, 0.9, 0.6)] = (True, True)
    for (shared, teacher, student), expected in cases.items():
        model = JointGaussian.standardised(100, shared, teacher, student)
        found = theorem_one(model, model.teacher_weight)
        assert (found.holds, found.helps) == expected
        risks = simulate(model, model.teacher_weight, [0, 0.02], 200, 100, ("theorem",))
        change = risks[:, 1] - risks[:, 0]
        error = change.std(ddof=1) / math.sqrt(len(change))
        assert abs(change.mean()) > 4 * error
        assert (change.mean() < 0) == found.helps


@pytest.mark.slow
def test_the_criterion_finds_by_simulation_what_theorem_1_promises():
    held = 0
    for number in range(20):
        model = model_of_few_signals(4, 100, f"mc-{number}")
        weight = random_weight(model, f"mc-{number}")
        found = theorem_one(model, weight)
        if not found.holds:
            continue
        held += 1
        risks = simulate(model, weight, [0, 0.02], 150, 40, ("promise",))
        change = risks[:, 1] - risks[:, 0]
        assert change.mean() + 2 * change.std(ddof=1) / math.sqrt(len(change)) < 0
    assert held > 10


def test_correlations_of_the_standardised_model_are_its_parameters():
    model = JointGaussian.standardised(30, 0.5, 0.9, 0.4)
    assert correlations(model, model.teacher_weight) == pytest.approx((0.5, 0.4, 0.9))
    found = theorem_one(model, model.teacher_weight)
    assert found.teacher_student == pytest.approx(-0.5 * math.log(1 - 0.25))
    assert found.student_label == pytest.approx(-0.5 * math.log(1 - 0.16))
    silent = theorem_one(model, np.zeros(30))
    assert (silent.teacher_student, silent.helps) == (0, True)


def test_eq_21_is_eq_17_divided_through():
    for number in range(20):
        model = random_model(3, 4, f"eq21-{number}")
        weight = random_weight(model, f"eq21-{number}")
        ts, sy, ty = correlations(model, weight)
        ratio = math.sqrt(model.s33 / (weight @ model.s11 @ weight))
        assert (ts > ty / sy - (1 - sy**2) / sy * ratio) == (help_margin(model, weight) < 0)


# Appendix B


@pytest.mark.parametrize("sigma_12", [0.0, 0.3, 0.7])
def test_appendix_b_has_its_closed_forms(sigma_12):
    law = SyntheticModel(40, sigma_12)
    model = JointGaussian.appendix_b(law)
    assert model.noise == pytest.approx(law.student_risk(), rel=1e-9)
    np.testing.assert_allclose(model.student_weight, model.student_weight[0], rtol=1e-8)
    found = theorem_one(model, model.teacher_weight)
    assert found.teacher_student == pytest.approx(law.linear_teacher_student_nats(), rel=1e-9)
    assert found.student_label == pytest.approx(law.student_label_nats(), rel=1e-9)
    assert found.bounded
    assert found.aligned


def test_in_appendix_b_criterion_and_eq_17_nearly_coincide():
    found = flips(100, 0.9, 0.4)
    assert 0 < found["helps"] < found["criterion"] < 0.7
    for name, sigma_12 in found.items():
        for side in (-1e-3, 1e-3):
            model = JointGaussian.appendix_b(SyntheticModel(100, sigma_12 + side))
            verdict = theorem_one(model, model.teacher_weight)
            assert (verdict.helps if name == "helps" else verdict.criterion) == (side > 0)
    assert flips(10, 0.3, 0.2)["helps"] is None


# The region


@pytest.mark.parametrize("teacher_label", [0.3, 0.7, 0.97])
@pytest.mark.parametrize("best", [True, False])
def test_areas_are_nested_and_the_possible_one_is_half_an_ellipse(teacher_label, best):
    found = region.areas(teacher_label, region.teacher_ratio(teacher_label, best=best))
    ellipse = math.pi * math.sqrt(1 - teacher_label**2) / 2
    assert found.possible == pytest.approx(ellipse, rel=1e-5)
    assert found.criterion <= found.residual + 1e-12
    assert found.residual <= found.helps <= found.possible
    assert 0 < found.found < 1


def test_shares_by_counting_random_points():
    generator = numpy_generator("test-theory", "region")
    x, z = generator.uniform(0, 1, 200_000), generator.uniform(-1, 1, 200_000)
    c, ratio = 0.9, 1 / 0.9
    possible = c**2 + x**2 + z**2 - 2 * c * x * z <= 1
    helps = possible & (z * x > c - (1 - x**2) * ratio)
    criterion = possible & (np.abs(z) > x)
    assert not (criterion & ~helps).any()
    found = region.areas(c, ratio)
    # About 60,000 points help: a share has a standard error of at most 0.0021.
    assert criterion.sum() / helps.sum() == pytest.approx(found.found, abs=0.008)
    assert helps.sum() / possible.sum() == pytest.approx(found.helps / found.possible, abs=0.006)


def test_edges_agree_with_theorem_one():
    generator = numpy_generator("test-theory", "edges")
    tried = 0
    while tried < 100:
        c, x, z = generator.uniform(0.05, 0.99, 3) * (1, 1, generator.choice([-1, 1]))
        edge = region.edges(c, region.teacher_ratio(c, best=True), np.array([x]))
        if not edge.low[0] < z < edge.high[0]:
            continue
        tried += 1
        model = JointGaussian.standardised(3, z, c, x)
        found = theorem_one(model, model.teacher_weight)
        assert found.helps == (z > edge.helps[0])
        assert found.criterion == (abs(z) > x)


# What is refused


def test_invalid_covariances_are_one_clear_line():
    good = MODEL.covariance()
    for change, words in (
        (lambda s: s[:, :-1], "square"),
        (lambda s: np.where(np.eye(len(s)) > 0, np.nan, s), "NaN"),
        (lambda s: s + np.triu(np.ones_like(s), 1), "not symmetric"),
        (lambda s: s - 2 * np.eye(len(s)) * np.diag(s).max(), "eigenvalue"),
    ):
        with pytest.raises(CchError, match=words):
            JointGaussian.from_covariance(change(good.copy()), MODEL.q)
    with pytest.raises(CchError, match="block s12: has shape"):
        JointGaussian(MODEL.s11, MODEL.s12.T, MODEL.s13, MODEL.s22, MODEL.s23, MODEL.s33)
    with pytest.raises(CchError, match="share 19 coordinates"):
        JointGaussian.from_covariance(good, 19)
    with pytest.raises(CchError, match="singular"):
        JointGaussian(np.eye(1), np.zeros((1, 2)), np.zeros(1), np.ones((2, 2)), np.zeros(2), 1)
    # Eq. 7 as printed.
    p, one = 100, np.ones(100)
    with pytest.raises(CchError, match="eigenvalue"):
        JointGaussian(np.eye(p), 0.5 * np.eye(p), 0.9 * one, np.eye(p), 0.4 * one, 1)
    with pytest.raises(CchError, match="eigenvalue"):
        JointGaussian.standardised(10, 0.77, 0.9, 0.4)
    JointGaussian.standardised(10, 0.759, 0.9, 0.4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: asymptotic_risk(MODEL, WEIGHT, 0.1, 1.0), "kappa: is 1"),
        (lambda: asymptotic_risk(MODEL, WEIGHT, 0.1, -2), "kappa: must be a positive"),
        (lambda: asymptotic_risk(MODEL, WEIGHT, -0.1, 2), "lambda: must be 0 or more"),
        (lambda: asymptotic_risk(MODEL, WEIGHT, math.nan, 2), "lambda: must be 0 or more"),
        (lambda: asymptotic_risk(MODEL, WEIGHT[1:], 0.1, 2), "teacher weight: has shape"),
        (lambda: asymptotic_risk(MODEL, WEIGHT * np.nan, 0.1, 2), "teacher weight: contains"),
        (lambda: finite_risk(MODEL, WEIGHT, 0.1, MODEL.p + 1), "n: is 13 for p = 12"),
        (lambda: finite_risk(MODEL, WEIGHT, 0.1, 5), "no multiple of I"),
        (lambda: optimal_weight(MODEL, 0, 2), "lambda: is 0"),
        (lambda: surrogate_weight(MODEL, 2), "dependent given x2"),
        (lambda: surrogate_weight(MODEL, 0.5), "Eq. 15 needs kappa > 1"),
        (lambda: simulate(MODEL, WEIGHT, [0], 0, 3, ("x",)), "simulation: needs rows"),
        (lambda: region.areas(1.0, 1.0), r"rho\(t, y\): must lie between"),
        (lambda: region.areas(0.5, 0.9), "needs at least 1"),
    ],
)
def test_impossible_arguments_are_one_clear_line(call, words):
    with pytest.raises(CchError, match=words):
        call()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kappas": [2, 1.02]}, "kappas: 1.02 gives n = 102"),
        ({"sigma_12": [0.9]}, "no correlation matrix; take it nearer to 0.36"),
        ({"lambdas": [0.1, 0.1]}, "lambdas: list every value once"),
        ({"lambdas": [-1]}, "greater than or equal to 0"),
        (
            {"kappa": [2]},
            "theory.kappa: there is no such key; did you mean 'kappas'\\? expected one of",
        ),
    ],
)
def test_a_wrong_theory_section_is_one_clear_line(paper_config, change, words):
    with pytest.raises(CchError, match=words):
        load(paper_config | {"theory": change})


def test_no_study_may_take_the_name_of_the_theory(paper_config):
    paper_config["studies"]["theory-risk"] = paper_config["studies"]["synthetic"]
    with pytest.raises(CchError, match="theory-risk: is also the name of the theory"):
        Plan(paper_config, ROOT)


# Documents


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    path = tmp_path_factory.mktemp("theory") / "simulation.json"
    spec = Theory(
        dimension=12, kappas=[0.5, 2], lambdas=[0, 0.3], teacher_label=[0.9], replications=6
    )
    simulate_all(spec, path)
    return spec, path


@pytest.mark.parametrize("name", list(DOCUMENTS))
def test_documents_render_and_their_cells_are_means_of_their_members(simulated, name):
    document = DOCUMENTS[name](*simulated)
    for text in (render.to_markdown(document), render.to_csv(document), render.to_latex(document)):
        assert "Largest λ" in text or "helping region" in text or r"\lambda" in text
    means = [cell for cell in document.cells.values() if cell.n]
    assert means
    for cell in means:
        values = [member.value for member in cell.members]
        assert cell.n == len(values) == 6
        assert cell.value == pytest.approx(np.mean(values), rel=1e-12)
        assert cell.se == pytest.approx(np.std(values, ddof=1) / math.sqrt(6), rel=1e-12)
    assert all(cell.inputs[0].path == str(simulated[1]) for cell in means)


def test_changes_are_paired_and_differences_are_to_the_limit(simulated):
    cells = DOCUMENTS["theory"](*simulated).cells
    at = {lam: cells[f"s0.7-k2-l{lam}/monte-carlo"].value for lam in ("0", "0.3")}
    assert cells["s0.7-k2-l0.3/change"].value == pytest.approx(at["0.3"] - at["0"])
    model = JointGaussian.standardised(12, 0.7, 0.9, 0.4)
    limit = asymptotic_risk(model, model.teacher_weight, 0.3, 2)
    assert cells["s0.7-k2-l0.3/asymptotic"].value == pytest.approx(limit)
    assert cells["s0.7-k2-l0.3/difference"].value == pytest.approx(at["0.3"] - limit)


@pytest.mark.parametrize("name", list(DRAW))
def test_figures_are_drawn_from_documents_that_json_can_hold(simulated, tmp_path, name):
    document = DOCUMENTS["theory" if name == "theory-risk" else name](*simulated)
    for number in (1, 2):
        save(DRAW[name](document), tmp_path / f"{number}.pdf", tmp_path / f"{number}.png")
    assert (tmp_path / "1.pdf").read_bytes() == (tmp_path / "2.pdf").read_bytes()
    assert (tmp_path / "1.png").stat().st_size > 10_000


def test_curves_between_cells_have_the_exact_form():
    from cch.paper.theory.figures import _lambda_curve, _risk_curve

    model = JointGaussian.standardised(20, 0.7, 0.9, 0.4)

    def risk(lam: float, kappa: float) -> float:
        return asymptotic_risk(model, model.teacher_weight, lam, kappa)

    for kappas in ([0.2, 0.5, 0.8], [1.25, 2, 10]):
        points = np.array([(k, risk(0.3, k), 0) for k in kappas])
        x, y = _risk_curve(points)
        assert len(x) == 200
        np.testing.assert_allclose(y, [risk(0.3, k) for k in x], rtol=1e-9)
    points = np.array([(lam, risk(lam, 2) - risk(0, 2), 0) for lam in (0.1, 0.3, 1)])
    x, y = _lambda_curve(points, risk(0, 2))
    np.testing.assert_allclose(y, [risk(lam, 2) - risk(0, 2) for lam in x], atol=1e-10)
    # Too few points to know the curve are joined by lines.
    assert len(_risk_curve(points[:1])[0]) == 1
