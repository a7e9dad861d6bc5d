"""Mutual information: estimators, closed forms, known truths, calibration.

``estimator`` is the interface of estimators; ``cch.config.registry`` has them by name.
"""
