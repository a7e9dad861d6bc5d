"""The target ``theory``, first half: one file with every replication and closed form."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq

from cch.base.errors import CchError
from cch.base.files import write_json
from cch.config import Theory
from cch.config.work import Work
from cch.information.gaussian import SyntheticModel
from cch.paper.theory import region
from cch.paper.theory.criterion import theorem_one
from cch.paper.theory.model import JointGaussian
from cch.paper.theory.risk import asymptotic_risk, break_even, finite_risk, help_margin
from cch.paper.theory.simulate import operations, simulate

FORMAT = "cch-theory-1"
PAPER_KAPPA = 100.0
"""Section 4.1: n = 10,000 and p = 100."""

POINTS = [(x, f) for x in (0.2, 0.4, 0.6, 0.8, 0.95) for f in (-0.9, -0.5, 0.0, 0.5, 0.9)]
"""Points of the region that are simulated: rho(s, y), and rho(t, s) as a part of what is possible,
from -1 (lowest) to 1 (highest)."""

POINT_KAPPA, POINT_LAMBDA = 2.0, 0.02
"""Where: the sign of the change is that of Eq. 17 for any kappa > 1 and small lambda."""

logger = logging.getLogger(__name__)


def simulate_all(spec: Theory, path: str | Path) -> None:
    """Simulate every setting and point, and write them with their closed forms to ``path``.

    The generator of a replication is keyed by ("theory", seed, n, p, replication): all models and
    lambda of one n and p share their random numbers.
    """
    content = {
        "format": FORMAT,
        "settings": list(_settings(spec)),
        "thresholds": list(_thresholds(spec)),
        "points": list(_points(spec)),
        "areas": list(_areas(spec)),
        "flips": flips(spec.dimension, spec.sigma_13, spec.sigma_23),
    }
    write_json(path, content)


def simulation_work(spec: Theory) -> Work:
    """Return what the simulations of every setting and point take."""
    settings = list(spec.kappas) * len(spec.sigma_12)
    settings += [POINT_KAPPA] * len(POINTS) * len(spec.teacher_label)
    rows = [round(kappa * spec.dimension) for kappa in settings]
    return Work(sum(operations(n, spec.dimension, spec.replications) for n in rows))


def _settings(spec: Theory) -> Iterator[dict[str, Any]]:
    total, done = len(spec.sigma_12) * len(spec.kappas), 0
    for sigma_12 in spec.sigma_12:
        model = _model(spec, sigma_12)
        weight = model.teacher_weight
        verdict = theorem_one(model, weight)
        for kappa in spec.kappas:
            n = round(kappa * spec.dimension)
            # No distillation goes along: changes are differences to it, replication by replication.
            risks = _simulated(spec, model, [0.0, *spec.lambdas], n)
            for place, lam in enumerate(spec.lambdas, start=1):
                asymptotic = [
                    asymptotic_risk(model, weight, x, n / spec.dimension) for x in (lam, 0.0)
                ]
                yield {
                    "sigma_12": sigma_12,
                    "kappa": kappa,
                    "n": n,
                    "lambda": lam,
                    "criterion": verdict.criterion,
                    "asymptotic": asymptotic[0],
                    "change": asymptotic[0] - asymptotic[1],
                    "finite": finite_risk(model, weight, lam, n),
                    "values": risks[:, place].tolist(),
                    "changes": (risks[:, place] - risks[:, 0]).tolist(),
                }
            done += 1
            logger.info("theory: %d/%d settings of n and sigma_12 simulated", done, total)


def _thresholds(spec: Theory) -> Iterator[dict[str, Any]]:
    for sigma_12 in spec.sigma_12:
        model = _model(spec, sigma_12)
        for kappa in [*(k for k in spec.kappas if k > 1), PAPER_KAPPA]:
            value = break_even(model, model.teacher_weight, kappa)
            finite = value if math.isfinite(value) else None
            yield {"sigma_12": sigma_12, "kappa": kappa, "break_even": finite}


def _points(spec: Theory) -> Iterator[dict[str, Any]]:
    n = round(POINT_KAPPA * spec.dimension)
    for teacher_label in spec.teacher_label:
        edge = region.edges(teacher_label, 1.0, np.array([x for x, _ in POINTS]))
        middle, half = (edge.high + edge.low) / 2, (edge.high - edge.low) / 2
        for number, (student_label, part) in enumerate(POINTS):
            shared = round(float(middle[number] + part * half[number]), 4)
            model = JointGaussian.standardised(spec.dimension, shared, teacher_label, student_label)
            risks = _simulated(spec, model, [0.0, POINT_LAMBDA], n)
            verdict = theorem_one(model, model.teacher_weight)
            yield {
                "teacher_label": teacher_label,
                "student_label": student_label,
                "teacher_student": shared,
                "number": number,
                "criterion": verdict.criterion,
                "margin": help_margin(model, model.teacher_weight),
                "changes": (risks[:, 1] - risks[:, 0]).tolist(),
            }
        logger.info("theory: %d points at rho(t, y) = %g simulated", len(POINTS), teacher_label)


def _areas(spec: Theory) -> Iterator[dict[str, Any]]:
    for best in (True, False):
        for value in [*spec.teacher_label, None]:
            if value is None:
                found = region.overall(best=best)
            else:
                found = region.areas(value, region.teacher_ratio(value, best=best))
            yield {
                "teacher_label": value,
                "best": best,
                "found": found.found,
                "helps": found.helps / found.possible,
            }


def flips(features: int, sigma_13: float, sigma_23: float) -> dict[str, float | None]:
    """Return the sigma_12 >= 0 above which, in Appendix B's model, Eq. 17 and the criterion hold.

    None where one does not change in the possible range of sigma_12. With p = 100 the teacher all
    but knows the label, and for rho(t, y) = 1 the criterion is Eq. 17: the two are near.
    """
    high = sigma_13 * sigma_23 + math.sqrt((1 - sigma_13**2) * (1 - sigma_23**2))

    def margin(sigma_12: float) -> float:
        model = JointGaussian.appendix_b(SyntheticModel(features, sigma_12, sigma_13, sigma_23))
        return help_margin(model, model.teacher_weight)

    def deficit(sigma_12: float) -> float:
        model = SyntheticModel(features, sigma_12, sigma_13, sigma_23)
        return model.student_label_nats() - model.linear_teacher_student_nats()

    found: dict[str, float | None] = {}
    for name, value in (("helps", margin), ("criterion", deficit)):
        ends = (0.0, high - 1e-6)
        changes = ends[0] < ends[1] and value(ends[0]) > 0 > value(ends[1])
        found[name] = float(brentq(value, *ends, xtol=1e-10)) if changes else None
    return found


def _model(spec: Theory, sigma_12: float) -> JointGaussian:
    return JointGaussian.standardised(spec.dimension, sigma_12, spec.sigma_13, spec.sigma_23)


def _simulated(spec: Theory, model: JointGaussian, lambdas: list[float], n: int) -> np.ndarray:
    key = ("theory", spec.seed)
    return simulate(model, model.teacher_weight, lambdas, n, spec.replications, key)


def read_simulation(path: str | Path) -> dict[str, Any]:
    """Read what ``simulate_all`` wrote.

    Raises:
        CchError: it is missing or of another format.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CchError(path, f"cannot be read ({error})", "build it again") from None
    if content.get("format") != FORMAT:
        raise CchError(path, f"is no simulation of format {FORMAT!r}", "build it again")
    return content
