"""The paper's theory: linear distillation between jointly Gaussian modalities (Section 3, A).

``model``: the joint Gaussian of Eq. 3. ``risk``: asymptotic and finite risk, their slope at no
distillation, the optimal teacher weight. ``criterion``: Theorem 1. ``region``: how much of the
region where distillation helps Theorem 1 finds. ``simulate``: Eq. 4's estimator at finite n, p.

Where a formula of the paper is wrong or incomplete, the function that implements it says so.
"""

THEORY_FIGURES = {"theory-risk": "theory", "theory-region": "theory-region"}
"""Figures with the table that each is drawn from."""
