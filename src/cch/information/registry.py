"""The estimators by name: importing this module registers all of them."""

from cch.information import ksg, latent, latentmi_library, mine  # noqa: F401
from cch.information.estimator import estimators, get_estimator

__all__ = ["estimators", "get_estimator"]
