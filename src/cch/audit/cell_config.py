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
from cch.tables.queries import KINDS, Query, read_query
from cch.tables.source import Source
from cch.training.plan import level_name

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
    where = f"the record of {place.document['id']}"
    inputs = [item["path"] for item in place.cell["inputs"]]
    kind = place.cell["query"]["kind"]
    if kind not in KINDS:
        raw: dict[str, Any] = {"results": results, "datasets": {}, "studies": {}}
        if kind == "theory":
            raw["theory"] = cut_theory(given["theory"], place)
        elif kind == "decision-error":
            raw["decision_error"] = cut_decisions(given["entry"], place)
        else:
            one = given["entry"] | {"estimators": [place.key.partition("/")[2]]}
            raw["null_gaps"] = {given["name"]: one}
        return load(raw, where), inputs[:1]
    if "config" not in given:
        raise CchError(where, "holds no configuration", "build the table again")
    config, name = load(given["config"], where), place.study
    query = read_query(place.cell["query"], place.cell["id"])
    source = Source(config.model_copy(update={"results": results}), name)
    study = source.study
    files, cases = [source.runs_path(role) for role in query.roles()], []
    studies: dict[str, Study] = {}
    for estimator in query.estimators(study):
        if source.estimates_path(estimator) in query.inputs(source):
            files.append(source.estimates_path(estimator))
        calibration = source.calibration_path(estimator)
        if calibration in inputs:
            cases = [one for one in calibrations(calibration) if _asked_for(one, query)]
            if shared := study.information.shared_with:
                studies[shared] = cut_study(config.studies[shared], query, cases)
                files += [source.paths.runs(shared, role) for role in query.roles()]
            files.append(calibration)
    studies[name] = cut_study(study, query, cases)
    kept = {
        "studies": studies,
        "datasets": {study.dataset: config.datasets[study.dataset]},
    }
    return config.model_copy(update=kept), files


def cut_study(study: Study, query: Query, cases: Sequence[Mapping[str, Any]]) -> Study:
    """A study with only the levels, the treatment, the seeds and the estimators of a query.

    Args:
        study: as it was run.
        query: of the cell.
        cases: stored results of the calibrations that the cell rests on.
    """
    asked, wanted = study.information, query.estimators(study)
    # Without estimates no representation is read, and one seed is the least that is stored.
    runs = asked.runs if wanted else 1
    grid = {
        f"{part}s": [value]
        for part in ("temperature", "weight")
        if (value := getattr(query, part, None)) is not None
    }
    kept = [name for name in asked.estimators if name in wanted] or asked.estimators[:1]
    bounds = [name for name in asked.bounds if name in wanted]
    options = {name: some for name, some in asked.options.items() if name in kept + bounds}
    information = {
        "estimators": kept,
        "bounds": bounds,
        "options": options,
        "runs": runs,
        "calibration": cut_calibration(asked.calibration, query, cases),
    }
    levels = {"levels": _levels(study, query, bool(cases))}
    parts = {"degradation": levels, "distillation": grid, "information": information}
    cut = {part: getattr(study, part).model_copy(update=new) for part, new in parts.items()}
    # Two is the least that a study may have.
    seeds = max(2, runs) if wanted else study.seeds
    return study.model_copy(update=cut | {"seeds": seeds, "together": False})


def _levels(study: Study, query: Query, calibrated: bool) -> list[float]:
    """The levels of degradation that a query needs."""
    every, level = study.degradation.levels, getattr(query, "level", None)
    if query.every_level:
        return every
    # A level that was not run has cells too, of what depends on none.
    levels = [one for one in every if level in (None, level_name(one))] or every[:1]
    if query.at_first_level(study):
        levels = every[:1]
    if calibrated or (query.estimators(study) and study.degradation.kind != "modality"):
        # Calibrations have the sizes of this level, and it is where a teacher of all levels is
        # asked for the label.
        levels = sorted({every[0], *levels})
    return levels


def cut_calibration(
    asked: Calibration | None, query: Query, results: Sequence[Mapping[str, Any]]
) -> Calibration | None:
    """The cases of some stored results, whose samples do not depend on other cases."""
    if asked is None or not results:
        return None
    options = {name: [value] for name, value in getattr(query, "options", {}).items()}
    truths = [one["truth"] for one in results if one["share"] is None and one["truth"]]
    shares = [one["share"] for one in results if one["share"] is not None]
    new = {
        "estimators": None,
        "truths": list(dict.fromkeys(truths)),
        "shares": list(dict.fromkeys(shares)),
        "settings": {results[0]["estimator"]: options} if options else {},
    }
    return asked.model_copy(update=new)


def cut_theory(theory: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """The setting of a cell; what belongs to no one setting, with all of them."""
    key = place.key.partition("/")[0]
    rows: dict[str, dict[str, Any]] = {r["key"]: r for r in place.document["rows"]}
    row = rows.get(key, {}).get("parameters", {})
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


def cut_decisions(entry: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """The entry `decision_error` cut to the world and the estimator of one cell."""
    key = place.key.partition("/")[0]
    row = next(row for row in place.document["rows"] if row["key"] == key)["parameters"]
    cut = {name: [row[name]] for name in ("rows", "columns")}
    cut |= {"ranks": [row["rank"]], "gaps": [row["gap"]]}
    cut["teacher_knows_label"] = [row["teacher_knows_label"]]
    return {**entry, **cut, "estimators": [place.cell["query"]["estimator"]]}


def _asked_for(entry: Mapping[str, Any], query: Query) -> bool:
    """Whether a query reads a calibration result; it reads all cases where it names none.

    Results at varied settings are read only by queries of those settings.
    """
    wanted = {
        "estimator": "estimator",
        "quantity": "quantity",
        "name": "case",
    }
    return entry["options"] == getattr(query, "options", {}) and all(
        entry[part] == getattr(query, field, entry[part]) for part, field in wanted.items()
    )
