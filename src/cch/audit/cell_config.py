"""The configuration of one cell: that of its table, cut down to what the cell rests on.

A run's numbers do not depend on what is trained beside it, nor an estimate's on what is estimated
beside it, so what the cut configuration makes has the identities of the table's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cch.audit.derive import Place
from cch.base.errors import CchError
from cch.config import Calibration, Config, Study, load
from cch.config.paths import Paths
from cch.training.plan import level_name

FUSION, TRAINED, ESTIMATED = (
    ("fusion",),
    ("teacher", "baseline", "student"),
    ("teacher", "baseline"),
)
ROLES = {
    "metric": TRAINED,
    "difference": TRAINED,
    "effect": TRAINED,
    "fusion": FUSION,
    "fusion-difference": FUSION,
    "fusion-effect": FUSION,
    "information": ESTIMATED,
    "gap": ESTIMATED,
    "criterion": ESTIMATED,
    "calibration": ESTIMATED,
}
"""Roles whose runs a kind of cell rests on, each after those that it is trained from."""

Results = Callable[[str], Sequence[Mapping[str, Any]]]
"""The stored results of a file of calibrations."""


def cell_config(
    place: Place, given: Mapping[str, Any], results: str, calibrations: Results
) -> tuple[Config, list[str]]:
    """Return the configuration of a cell and the files that its query reads.

    Args:
        place: the cell in its table.
        given: the specification of the table.
        results: the folder of the run, as recorded.
        calibrations: reads stored calibrations.

    Returns:
        The configuration, and the files by recorded path, each after those that it is made from.

    Raises:
        CchError: the record of the table holds no configuration, or none of this version.
    """
    query, where = place.cell["query"], f"the record of {place.document['id']}"
    inputs = [item["path"] for item in place.cell["inputs"]]
    if query["kind"] not in ROLES:
        raw: dict[str, Any] = {"results": results, "datasets": {}, "studies": {}}
        if query["kind"] == "theory":
            raw["theory"] = cut_theory(given["theory"], place)
        else:
            one = given["entry"] | {"estimators": [place.key.partition("/")[2]]}
            raw["null_gaps"] = {given["name"]: one}
        return load(raw, where), inputs[:1]
    if "config" not in given:
        raise CchError(where, "holds no configuration", "build the table again")
    config, paths = load(given["config"], where), Paths(results, "")
    name = place.study
    study = config.studies[name]
    roles = ROLES[query["kind"]]
    if query["kind"] == "metric":
        roles = ("teacher", "student") if query["role"] == "student" else (query["role"],)
    files, cases = [paths.runs(name, role) for role in roles], []
    if "estimator" in query:
        if query["kind"] != "calibration":
            files.append(paths.information(name, query["estimator"]))
        calibration = paths.calibration(name, query["estimator"])
        if calibration in inputs:
            files.append(calibration)
            cases = [one for one in calibrations(calibration) if _meant(one, query)]
    kept = {
        "studies": {name: cut_study(study, query, cases)},
        "datasets": {study.dataset: config.datasets[study.dataset]},
    }
    return config.model_copy(update=kept), files


def cut_study(study: Study, query: Mapping[str, Any], cases: Sequence[Mapping[str, Any]]) -> Study:
    """A study with only the levels, the treatment, the seeds and the estimator of a query.

    Args:
        study: as it was run.
        query: of the cell.
        cases: stored results of the calibrations that the cell rests on.
    """
    asked, estimated = study.information, "estimator" in query
    # Without estimates no representation is read, and one seed is the least that is stored.
    runs = asked.runs if estimated else 1
    every, level = study.degradation.levels, query.get("level")
    # A level that was not run has cells too, of what depends on none.
    levels = [one for one in every if level in (None, level_name(one))] or every[:1]
    apart = study.degradation.kind == "modality"
    at_first = ("student-label",) if apart else ("student-label", "teacher-label")
    if query["kind"] == "calibration" or (level is None and query.get("quantity") in at_first):
        levels = every[:1]
    if cases or (estimated and not apart):
        # Calibrations have the sizes of this level, and it is where a teacher of all levels is
        # asked for the label.
        levels = sorted({every[0], *levels})
    grid = {
        f"{part}s": [query[part]]
        for part in ("temperature", "weight")
        if query.get(part) is not None
    }
    estimator = query["estimator"] if estimated else asked.estimators[0]
    information = {
        "estimators": [estimator],
        "options": {name: some for name, some in asked.options.items() if name == estimator},
        "runs": runs,
        "calibration": cut_calibration(asked.calibration, query, cases),
    }
    parts = {"degradation": {"levels": levels}, "distillation": grid, "information": information}
    cut = {part: getattr(study, part).model_copy(update=new) for part, new in parts.items()}
    # Two is the least that a study may have.
    seeds = max(2, runs) if estimated else study.seeds
    return study.model_copy(update=cut | {"seeds": seeds, "together": False})


def cut_calibration(
    asked: Calibration | None, query: Mapping[str, Any], results: Sequence[Mapping[str, Any]]
) -> Calibration | None:
    """The cases of some stored results, whose samples do not depend on other cases."""
    if asked is None or not results:
        return None
    options = {name: [value] for name, value in query.get("options", {}).items()}
    truths = [one["truth"] for one in results if one["share"] is None and one["truth"]]
    shares = [one["share"] for one in results if one["share"] is not None]
    new = {
        "estimators": None,
        "truths": list(dict.fromkeys(truths)),
        "shares": list(dict.fromkeys(shares)),
        "settings": {query["estimator"]: options} if options else {},
    }
    return asked.model_copy(update=new)


def cut_theory(theory: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """The setting of a cell; what belongs to no one setting, with all of them."""
    row = next((r for r in place.document["rows"] if r["key"] == place.key.partition("/")[0]), {})
    lists = {
        "sigma_12": "sigma_12",
        "kappa": "kappas",
        "lambda": "lambdas",
        "teacher_label": "teacher_label",
    }
    cut = {lists[key]: [row[key]] for key in lists if key in row}
    # A cell of one table needs nothing of the other.
    others = {name: theory[name][:1] for name in lists.values()} if cut else {}
    return {**theory, **others, **cut}


def _meant(entry: Mapping[str, Any], query: Mapping[str, Any]) -> bool:
    """Whether a calibration result is one that a query asks for; of all cases where it names none.

    Results at varied settings are meant only by those settings.
    """
    return (
        entry["estimator"] == query["estimator"]
        and entry["quantity"] == query.get("quantity", entry["quantity"])
        and entry["name"] == query.get("case", entry["name"])
        and entry["options"] == query.get("options", {})
    )
