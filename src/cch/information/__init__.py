"""Mutual information: estimators, closed forms, known truths, calibration.

``estimator`` is the interface of estimators, ``registry`` has them by name.
"""
