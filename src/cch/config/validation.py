"""A merged configuration to a ``Config``, or one line that names the wrong key."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from cch.base.errors import CchError, did_you_mean
from cch.config.model import (
    DATASETS,
    Calibration,
    Compute,
    Config,
    DecisionError,
    Degradation,
    Distillation,
    Fusion,
    Information,
    Model,
    Network,
    NullGaps,
    Selection,
    Split,
    Study,
    Theory,
    Training,
)
from cch.config.registry import load_plugins


def load(raw: dict[str, Any], where: str = "configuration") -> Config:
    """Validate a merged configuration.

    A dataset, a study or an estimator's options that are null are removed, which is how an overlay
    drops what the files below it have. Plugins are loaded first: the rest may name what they add.

    Raises:
        CchError: one line naming the first wrong key and what was expected there.
    """
    plugins = raw.get("plugins") or []
    if isinstance(plugins, list):
        load_plugins(map(str, plugins))
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise CchError(where, _first_problem(error, raw)) from None


def _first_problem(error: ValidationError, raw: dict[str, Any]) -> str:
    problems = error.errors()
    # A misspelled key leaves the right one missing; the word that was written says more.
    first = min(problems, key=lambda problem: problem["type"] == "missing")
    where = first["loc"]
    key = ".".join(str(part) for part in where)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "there is no such key" + (_belongs(where) or _expected_keys(where, raw))
    elif first["type"] == "missing":
        message = "this key is required"
    elif first["type"] != "unknown_name" and not isinstance(first["input"], dict | list):
        message += f", not {first['input']!r}"
    return f"{key}: {message}{more}" if key else f"{message}{more}"


def _belongs(location: tuple[Any, ...]) -> str:
    """Return ``; it belongs under ...`` for a known key at the wrong level, or an empty string."""
    parts: dict[str, type[Model]] = {
        "information": Information,
        "information.calibration": Calibration,
        "training": Training,
        "network": Network,
        "distillation": Distillation,
        "degradation": Degradation,
        "split": Split,
    }
    study = str(location[1]) if location[0] == "studies" and len(location) > 2 else "NAME"
    key = str(location[-1])
    if key in Study.model_fields and location[0] != "datasets":
        return f"; it belongs under studies.{study}"
    places = [part for part, model in parts.items() if key in model.model_fields]
    if location[0] == "datasets" or not places:
        return ""
    return f"; it belongs under {' or '.join(f'studies.{study}.{part}' for part in places)}"


def _expected_keys(location: tuple[Any, ...], raw: dict[str, Any]) -> str:
    """Return ``; expected one of ...``, the nearest first, where the wrong key was written.

    ``location`` is (key), (section, key), (studies, name, key), (studies, name, part, key),
    (studies, name, information, calibration, key), (datasets, name, key) or (null_gaps, name, key).
    """
    owner: type[Model] = Config
    if location[0] == "compute":
        owner = Compute
    elif location[0] == "theory":
        owner = Theory
    elif location[0] == "decision_error":
        owner = DecisionError
    elif location[0] == "null_gaps":
        owner = NullGaps
    elif location[0] == "datasets":
        owner = DATASETS[raw["datasets"][location[1]]["kind"]]
    elif location[:1] == ("studies",) and location[2:4] == ("information", "calibration"):
        owner = Calibration if len(location) > 4 else Information
    elif location[0] == "studies":
        parts: dict[str, type[Model]] = {
            "network": Network,
            "training": Training,
            "distillation": Distillation,
            "degradation": Degradation,
            "information": Information,
            "split": Split,
            "selection": Selection,
            "fusion": Fusion,
        }
        owner = parts.get(str(location[2]) if len(location) > 3 else "", Study)
    known = list(owner.model_fields)
    return f"; {did_you_mean(str(location[-1]), known)}expected one of {', '.join(known)}"
