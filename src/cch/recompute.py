"""One number again: what a cell rests on is retrained and estimated anew, and compared.

The configuration is that of the records: each job's record holds all of it that the job's numbers
rest on. Runs are trained by ``cch.training.stage`` in a scratch folder, for the levels and the
treatment of the cell alone: a run's numbers do not depend on what is trained beside it. Nothing in
the results is written to.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from cch.audit.derive import RULES, Derived, NotDerivable, Place
from cch.audit.facts import Facts, same
from cch.audit.report import Audit
from cch.config import Calibration, Compute, Information, Study, Theory
from cch.errors import CchError
from cch.explain import find_cell, specification, working_folder
from cch.files import sha256_file, write_json
from cch.paths import ROLES
from cch.record import environment, read_record, record_path
from cch.restore import restoring
from cch.stage import limit_threads
from cch.training.plan import level_name
from cch.training.store import RunsFile

ABSOLUTE = {"accuracy", "weighted_f1", "macro_f1", "auc"}
TOLERANCE = 0.02
"""Elsewhere than where a run was made, its fractions may differ by this much, and its errors and
cross-entropies by this part: rounding in another order grows step by step."""

INFORMATION_TOLERANCE = 0.05
"""Elsewhere, an estimate may differ by this many nats, or this part of it where that is more."""

DONE = {"run": "{} trained", "count": "counted again", "replication": "{} simulated"}

ANSWERED_FROM = {
    "setting": "records",
    "count": "the dataset",
    "cases": "the dataset",
    "outputs": "the dataset",
}


@dataclass(frozen=True)
class Compared:
    """One run, estimate or count: as stored, and again.

    Attributes:
        kind: run, estimate, calibration sample, replication or count.
        id: of the run or estimate.
        what: role, quantity or the like, with level and seed.
        stored: its numbers in the results.
        again: the same numbers, made anew.
        identical: whether they are equal bit for bit, stored arrays included.
        close: whether they are within the tolerance.
    """

    kind: str
    id: str
    what: str
    stored: Any
    again: Any
    identical: bool
    close: bool


@dataclass
class Recomputed:
    """The outcome for one cell.

    Attributes:
        cell: its id.
        value: as stored.
        again: from what was made anew.
        parts: every run and estimate that was made anew.
        elsewhere: what differs from where and by what the results were made; where this is empty,
            only identical numbers pass.
    """

    cell: str
    value: float | str | None
    again: float | str | None
    parts: list[Compared] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    @property
    def identical(self) -> bool:
        """Whether the cell and all that it rests on came out bit for bit."""
        return all(part.identical for part in self.parts) and same(self.value, self.again)

    @property
    def passed(self) -> bool:
        """Whether it is identical, or elsewhere within the tolerance."""
        near = _close(self.value, self.again) and all(part.close for part in self.parts)
        return self.identical or (bool(self.elsewhere) and near)

    def counts(self) -> list[str]:
        """How many of each kind were made anew, and how many are identical."""
        lines = []
        for kind in dict.fromkeys(part.kind for part in self.parts):
            mine = [part for part in self.parts if part.kind == kind]
            equal = sum(part.identical for part in mine)
            what = DONE.get(kind, "{} made").format(kind if len(mine) == 1 else f"{kind}s")
            lines.append(f"{len(mine)} {what}, {equal} identical")
        return lines

    def lines(self) -> list[str]:
        """What to tell a person."""
        said = [*self.counts()]
        for part in self.parts:
            if not part.identical:
                far = "within the tolerance" if part.close else "NOT within the tolerance"
                said.append(f"{part.what}: {part.again} where {part.stored} is stored, {far}")
        said += [f"elsewhere: {difference}" for difference in self.elsewhere]
        if self.identical:
            said.append(f"{self.cell} = {self.value!r}, the same again")
        else:
            verdict = "within the tolerance" if self.passed else "NOT REPRODUCED"
            said.append(f"{self.cell} = {self.value!r}, again {self.again!r}: {verdict}")
        return said

    def to_json(self) -> dict[str, Any]:
        """The outcome as plain data."""
        facts = {"identical": self.identical, "passed": self.passed, "counts": self.counts()}
        limits = {"tolerance": TOLERANCE, "information_tolerance": INFORMATION_TOLERANCE}
        return {"format": "cch-recomputed-1", **asdict(self), **facts, **limits}


def recompute(name: str, results: str | Path, scratch: str | Path | None = None) -> Recomputed:
    """Make a cell's runs and estimates anew and compare them with the stored ones.

    Args:
        name: ``table/row/column``.
        results: the folder of the run.
        scratch: where the new files go; left out, a temporary folder that is removed.

    Raises:
        CchError: there is no such cell, it was not run, its kind cannot be recomputed, a record on
            the way is missing, or the dataset file is not the one that the runs were trained on.
    """
    path, document, cell = find_cell(name, results)
    if cell["value"] is None and cell["n"] == 0:
        flags = "; ".join(cell["flags"])
        raise CchError(name, f"has no value ({flags})", "there is nothing to compute again")
    kind = cell["query"]["kind"]
    if kind not in _MAKE:
        known = ", ".join(_MAKE)
        raise CchError(name, f"cells of kind {kind!r} cannot be recomputed", f"these can: {known}")
    where = record_path(path)
    if where is None:
        raise CchError(path, "has no record", "build it again")
    recorded = next(known for known in read_record(where)["outputs"] if known.endswith(path.name))
    base = working_folder(path, recorded)
    key = cell["id"].partition("/")[2]
    with tempfile.TemporaryDirectory(prefix="cch-recompute-") as temporary:
        folder = Path(scratch) if scratch else Path(temporary)
        bench = Bench(base, Path(recorded).parents[1].as_posix(), folder)
        place = Place(document, key, cell)
        _MAKE[kind](bench, place)
        answered = bench.folder if kind not in ANSWERED_FROM else base
        again = _value(bench, place, answered)
        if kind in ANSWERED_FROM:
            equal = cell["value"] == again
            what = f"{key}, from {ANSWERED_FROM[kind]}"
            bench.parts.append(Compared("count", key, what, cell["value"], again, equal, equal))
    return Recomputed(cell["id"], cell["value"], again, bench.parts, list(bench.elsewhere))


def _value(bench: Bench, place: Place, folder: Path) -> float | str | None:
    """What the query comes to over the files of a folder."""
    return _derived(bench, place, folder).value


def _derived(bench: Bench, place: Place, folder: Path) -> Derived:
    facts = Facts(_Files(bench, folder), Audit(folder))  # type: ignore[arg-type]
    query = place.cell["query"]
    try:
        return RULES[query["kind"]](query, place, facts)
    except NotDerivable as error:
        raise CchError(place.cell["id"], str(error)) from None


@dataclass
class _Files:
    """What the audit's derivations ask of a tree, over the files of one folder."""

    bench: Bench
    folder: Path

    @property
    def name(self) -> str:
        return self.bench.name

    @property
    def made(self) -> dict[str, Any]:
        records = {self.label(path): record_path(path) for path in self._root.rglob("*")}
        return {name: _Loaded(path) for name, path in records.items()}

    @property
    def records(self) -> dict[Path, Any]:
        return {path: _Loaded(path) for path in self._root.rglob("*.record.json")}

    @property
    def _root(self) -> Path:
        return self.place(self.name)

    def place(self, name: str) -> Path:
        return self.folder / name if self.folder == self.bench.base else below(self.folder, name)

    def label(self, path: Path) -> str:
        return f"{self.name}/{path.relative_to(self._root).as_posix()}"

    def json(self, name: str) -> Any:
        return json.loads(self.place(name).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class _Loaded:
    path: Path | None

    @property
    def content(self) -> dict[str, Any]:
        return read_record(self.path) if self.path else {}


def below(folder: Path, name: str) -> Path:
    """A recorded path inside ``folder``, where it is absolute too."""
    return folder / Path(name).relative_to(Path(name).anchor)


class Bench:
    """Where a cell's parts are made anew: the stored results beside a scratch folder.

    Args:
        base: the folder that recorded paths are relative to.
        name: of the results, as recorded.
        folder: the scratch folder; files have the same names below it.
    """

    def __init__(self, base: Path, name: str, folder: Path) -> None:
        self.base, self.name, self.folder = base, name, folder
        self.parts: list[Compared] = []
        self.elsewhere: dict[str, None] = {}

    def path(self, *parts: str) -> str:
        """A path below the results, as recorded."""
        return "/".join((self.name, *parts))

    def new(self, name: str) -> Path:
        """Where a recorded path lies in the scratch folder."""
        return below(self.folder, name)

    def record(self, name: str) -> dict[str, Any]:
        """The record of a stored file; what differs here from there is noted.

        Raises:
            CchError: there is none.
        """
        where = record_path(self.base / name)
        if where is None:
            raise CchError(name, "has no record", self.again(name))
        record = read_record(where)
        self._note(name, record)
        return record

    def _note(self, name: str, record: dict[str, Any]) -> None:
        then, now = record["environment"], environment()
        for key in ("digest", "python", "platform", "processor"):
            if key in then and key in now and then[key] != now[key]:
                called = "environment" if key == "digest" else key
                told = (str(then[key])[:60], str(now[key])[:60])
                self.elsewhere[f"{called} {told[1]}, made in {told[0]}"] = None
        if record.get("device", "cpu") != "cpu":
            self.elsewhere[f"device, made on {record['device']}"] = None
        code = _code_now(record["code"].get("script", ""))
        if code and code != record["code"]["digest"]:
            made = record["code"]["digest"][:12]
            self.elsewhere[f"{record['code']['script']} is {code[:12]}, made by {made}"] = None

    def again(self, name: str) -> str:
        """The command that makes a stored file again."""
        return f"make it again: {restoring(self.base, self.name, [name])}"

    @contextmanager
    def stored(self, name: str) -> Iterator[RunsFile]:
        """Open stored runs.

        Raises:
            CchError: they are missing or cannot be read; the line has the command that mends it.
        """
        try:
            file = RunsFile(self.base / name)
        except CchError as error:
            there = "delete it and " if (self.base / name).exists() else ""
            raise CchError(name, error.what, there + self.again(name)) from None
        with file:
            yield file

    def note(self, kind: str, identity: str, what: str, stored: Any, again: Any) -> None:
        """Note one comparison of two numbers."""
        close = _close(stored, again)
        self.parts.append(Compared(kind, identity, what, stored, again, stored == again, close))

    def made(self, study: str, role: str) -> str:
        """Path of the runs of a role that were made anew."""
        return str(self.new(self.path("runs", study, f"{role}.h5")))

    # Runs

    def study(self, study: str, role: str) -> tuple[Study, dict[str, Any]]:
        """A study as the job of a role was given it, and that job's record."""
        record = self.record(self.path("runs", study, f"{role}.h5"))
        given = specification(record)
        # What a role's numbers do not rest on is not in its record, and is made up here.
        made_up: dict[str, Any] = {
            "title": study,
            "teacher": given.get("student"),
            "student": given.get("teacher"),
            "distillation": {"weights": [0.0]},
            "information": {"estimators": ["ksg"], "runs": 1},
            "degradation": {"kind": "noise", "levels": [0.0], "symbol": "-"},
            "network": {"hidden": [1]},
            "training": {"optimizer": "sgd", "learning_rate": 1, "batch_size": 1, "epochs": 1},
        }
        content = {**made_up, **given}
        for part in ("information", "degradation"):
            content[part] = {**made_up[part], **content[part]}
        return Study.model_validate(content), record

    def train(self, study: str, role: str, cut: Mapping[str, Any]) -> None:
        """Train the runs of a role, cut down to what a cell needs, and compare them.

        Args:
            study: the study.
            role: teacher, baseline or student; students need their teachers trained before.
            cut: ``seeds``, ``runs`` (with representations), ``levels`` (names), ``temperature``,
                ``weight``, ``arms`` (of fusions); a part that is left out, or None, is not cut.
        """
        from cch.paired import PairedDataset
        from cch.training.stage import Laboratory, train_role

        spec, record = self.study(study, role)
        out = self.path("runs", study, f"{role}.h5")
        data = self.path("datasets", f"{spec.dataset}.h5")
        self._as_recorded(data, record)
        chosen = {}
        for modality in (spec.teacher, spec.student) if spec.selection else ():
            folder = self.path("features", spec.dataset, f"{modality}-")
            for name in (name for name in record["inputs"] if name.startswith(folder)):
                self._as_recorded(name, record)
                chosen[modality] = self.base / name
        device = "cpu" if record.get("device", "cpu") == "cpu" else "auto"
        with threads_of(record), PairedDataset(self.base / data) as dataset:
            lab = Laboratory(
                study, _cut(spec, cut), dataset, Compute(device=device), features=chosen
            )
            teacher = self.made(study, "teacher") if role == "student" else None
            train_role(lab, role, self.new(out), teacher=teacher, arms=cut.get("arms"))
        with self.stored(out) as stored, RunsFile(self.new(out)) as again:
            for part in _compare_runs(stored, again):
                self.parts.append(part)

    def _as_recorded(self, name: str, record: dict[str, Any]) -> None:
        if not (self.base / name).is_file():
            raise CchError(name, "is missing", self.again(name))
        if record["inputs"].get(name) != sha256_file(self.base / name):
            raise CchError(name, "is not the file that the runs were trained on", "audit the run")

    # Estimates

    def estimate(
        self, study: str, estimator: str, quantity: str, runs: int, levels: set[str]
    ) -> None:
        """Estimate a quantity on the new representations and compare with the stored estimates.

        Args:
            study: the study.
            estimator: its name.
            quantity: teacher-student, student-label or teacher-label.
            runs: how many seeds have representations.
            levels: where it is estimated, should there be representations at others too.
        """
        from cch.information.stage import estimate

        out = self.path("information", study, f"{estimator}.{quantity}.json")
        record = self.record(out)
        given = specification(record)
        spec = Information(
            estimators=[estimator],
            runs=runs,
            rows=given["rows"],
            limit=given["limit"],
            options={estimator: given["options"]},
        )
        paths = {role: _only(self.made(study, role), levels) for role in ROLES[quantity]}
        device = "cpu" if record.get("device", "cpu") == "cpu" else _auto()
        with threads_of(record):
            estimate(study, spec, estimator, quantity, paths, self.new(out), device=device)
        stored = {e["id"]: e for e in _estimates(self.base / out)}
        for entry in _estimates(self.new(out)):
            what = f"{quantity} by {estimator}, level {entry['level']}, seed {entry['seed']}"
            known = stored.get(entry["id"], {}).get("value")
            self.note("estimate", entry["id"], what, known, entry["value"])

    def calibrate(self, study: str, query: Mapping[str, Any], runs: Mapping[str, str]) -> None:
        """Calibrate an estimator again: one case, or all where the query names none.

        Args:
            study: the study.
            query: the estimator, and quantity, case and options where one case is meant.
            runs: paths of the new runs by role, whose sizes and spectrum the cases have.
        """
        from cch.information import get_estimator
        from cch.information.calibration_stage import pair_cases, usable_pair
        from cch.information.stage import with_resources

        out = self.path("calibration", study, f"{query['estimator']}.json")
        record = self.record(out)
        given = specification(record)
        asked = Calibration.model_validate(given["calibration"] | {"settings": {}})
        estimator = with_resources(
            get_estimator(query["estimator"], given["options"] | query.get("options", {})),
            "cpu" if record.get("device", "cpu") == "cpu" else _auto(),
            Compute().memory_gb,
        )
        stored = json.loads((self.base / out).read_text(encoding="utf-8"))["results"]
        entries = []
        for quantity in ROLES:
            wanted = [e for e in stored if _meant(e, query) and e["quantity"] == quantity]
            if not wanted:
                continue
            pair = usable_pair(quantity, runs)
            x, y = pair.x[: given["limit"]], pair.y[: given["limit"]]
            # The samples of a case are keyed by the case: those of others need not be drawn.
            shares = [e["share"] for e in wanted if e["share"] is not None]
            truths = [e["truth"] for e in wanted if e["share"] is None and e["truth"]]
            cut = asked.model_copy(update={"shares": shares, "truths": truths})
            key = (study, quantity)
            with threads_of(record):
                found = pair_cases(estimator, x, y, cut, key=key, quantity=quantity)
            again = {result.case.name: result.values for result in found}
            for entry in wanted:
                entries.append(entry | {"values": again[entry["name"]]})
                self._note_samples(entry, quantity, again[entry["name"]])
        write_json(self.new(out), {"results": entries})

    def _note_samples(self, entry: dict[str, Any], quantity: str, values: list[float]) -> None:
        for repeat, (stored, value) in enumerate(zip(entry["values"], values, strict=False)):
            what = f"{quantity}, {entry['name']}, sample {repeat}"
            self.note("calibration sample", entry["id"], what, stored, value)
        if len(entry["values"]) != len(values):
            counts = len(entry["values"]), len(values)
            self.note("calibration sample", entry["id"], f"{quantity}, {entry['name']}", *counts)


def _only(path: str, levels: set[str]) -> str:
    """A runs file with representations at these levels alone: itself, or a copy cut down to them.

    A baseline's are at no level of the teacher, and stay.
    """
    with RunsFile(path) as file:
        held = set(file.levels("representation"))
        others = held - levels if file.header["role"] == "teacher" else set()
    if not others:
        return path
    import h5py

    copy = f"{path}.cut"
    shutil.copy(path, copy)
    with h5py.File(copy, "r+") as file:
        for level in others:
            del file[f"representation/{level}"]
    return copy


def _estimates(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["estimates"]


def _meant(entry: Mapping[str, Any], query: Mapping[str, Any]) -> bool:
    """Whether a calibration result is one that a query asks for; of all cases where it names none.

    Results at varied settings are meant only by those settings.
    """
    return (
        entry["quantity"] == query.get("quantity", entry["quantity"])
        and entry["name"] == query.get("case", entry["name"])
        and entry["options"] == query.get("options", {})
    )


@contextmanager
def threads_of(record: Mapping[str, Any]) -> Iterator[None]:
    """Compute with as many threads as a job had: others add the same numbers up in another order.

    Snakemake tells jobs by the environment, which libraries read when they are loaded.
    """
    # SciPy's linear algebra is a library of its own, and can be held once it is there.
    import scipy.linalg  # noqa: F401

    threads = record.get("threads", 1)
    limit_threads(threads)
    with threadpool_limits(limits=threads):
        yield


def _auto() -> str:
    from cch.device import pick_device

    return pick_device("auto")


def _code_now(script: str) -> str | None:
    """Digest of a workflow script of this checkout; None where it is not there."""
    from cch.code import ROOT, code_digest

    path = ROOT.parents[1] / "workflow" / "scripts" / script
    return code_digest(path) if script and path.is_file() else None


def _cut(study: Study, cut: Mapping[str, Any]) -> Study:
    """A study with only the seeds, levels and treatment of a cell."""
    levels = study.degradation.levels
    if cut.get("levels"):
        levels = [level for level in levels if level_name(level) in cut["levels"]]
    grid = {
        f"{part}s": [cut[part]] for part in ("temperature", "weight") if cut.get(part) is not None
    }
    runs = cut.get("runs", 1)
    return study.model_copy(
        update={
            "seeds": cut.get("seeds") or study.seeds,
            "degradation": study.degradation.model_copy(update={"levels": levels}),
            "distillation": study.distillation.model_copy(update=grid),
            "information": study.information.model_copy(update={"runs": runs}),
        }
    )


def _compare_runs(stored: RunsFile, again: RunsFile) -> Iterator[Compared]:
    """Compare runs by their identity: metrics, outputs and representations."""
    places = {run["id"]: number for number, run in enumerate(stored.runs)}
    logits, known_logits = again.array("logits"), stored.array("logits")
    for number, run in enumerate(again.runs):
        level = "" if run["level"] is None else f", level {run['level']}"
        what = f"{run['role']}{level}, seed {run['seed']}"
        if run["id"] not in places:
            yield Compared("run", run["id"], what, "no such run", run["metrics"], False, False)
            continue
        place = places[run["id"]]
        known = stored.runs[place]
        equal = known["metrics"] == run["metrics"] and known["diverged"] == run["diverged"]
        equal = equal and np.array_equal(logits[number], known_logits[place], equal_nan=True)
        equal = equal and _same_representations(stored, again, run)
        close = _close(known["metrics"], run["metrics"])
        yield Compared("run", run["id"], what, known["metrics"], run["metrics"], equal, close)


def _same_representations(stored: RunsFile, again: RunsFile, run: dict[str, Any]) -> bool:
    """Whether the representations of a run, those that were made anew, are as stored."""
    for level in again.levels("representation"):
        if run["level"] not in (None, level):
            continue
        name, seed = f"representation/{level}", run["seed"]
        ours, theirs = again.array(name), stored.array(name)
        if seed < min(len(ours), len(theirs)) and not np.array_equal(
            ours[seed], theirs[seed], equal_nan=True
        ):
            return False
    return True


def _close(stored: Any, again: Any) -> bool:
    """Whether numbers are within the tolerance: metrics of a run, or one estimate."""
    if isinstance(stored, dict) and isinstance(again, dict):
        return stored.keys() == again.keys() and all(
            _near(stored[name], again[name], absolute=TOLERANCE)
            if name in ABSOLUTE
            else _near(stored[name], again[name], relative=TOLERANCE)
            for name in stored
        )
    return _near(stored, again, INFORMATION_TOLERANCE, INFORMATION_TOLERANCE)


def _near(stored: Any, again: Any, relative: float = 0.0, absolute: float = 0.0) -> bool:
    if not all(isinstance(value, float | int) for value in (stored, again)):
        return stored == again
    return abs(stored - again) <= max(relative * abs(stored), absolute)


# What each kind of cell rests on


def _query_runs(bench: Bench, place: Place, roles: tuple[str, ...]) -> None:
    """Train the roles of a query, for its level and treatment."""
    query = place.cell["query"]
    level = query.get("level")
    cut = {
        "levels": None if level is None else [level],
        "temperature": query.get("temperature"),
        "weight": query.get("weight"),
    }
    for role in roles:
        bench.train(place.study, role, cut)


def _metric(bench: Bench, place: Place) -> None:
    role = place.cell["query"]["role"]
    _query_runs(bench, place, ("teacher", "student") if role == "student" else (role,))


def _difference(bench: Bench, place: Place) -> None:
    _query_runs(bench, place, ("teacher", "baseline", "student"))


def _fusion(bench: Bench, place: Place) -> None:
    """The fusions of the arms that a cell names."""
    query = place.cell["query"]
    arms = [query[name] for name in ("arm", "minus") if name in query]
    bench.train(place.study, "fusion", {"arms": arms})


def _estimated(
    bench: Bench, place: Place, quantities: tuple[str, ...], also: str | None = None
) -> None:
    """Train what quantities are estimated on, for the runs that have estimates, and estimate.

    Args:
        bench: where.
        place: the cell.
        quantities: which.
        also: another level that one teacher's representations are wanted at.
    """
    query, study = place.cell["query"], place.study
    entries = [
        entry
        for quantity in quantities
        for entry in _estimates(
            bench.base / bench.path("information", study, f"{query['estimator']}.{quantity}.json")
        )
        if query["level"] is None or entry["level"] in (None, query["level"])
    ]
    seeds = 1 + max(entry["seed"] for entry in entries)
    levels = {entry["level"] for entry in entries} - {None}
    cut = {"seeds": seeds, "runs": seeds, "levels": levels | ({also} if also else set())}
    for role in dict.fromkeys(role for quantity in quantities for role in ROLES[quantity]):
        bench.train(study, role, cut)
    for quantity in quantities:
        bench.estimate(study, query["estimator"], quantity, seeds, levels)


def _information(bench: Bench, place: Place) -> None:
    _estimated(bench, place, (place.cell["query"]["quantity"],))


def _gap(bench: Bench, place: Place) -> None:
    _estimated(bench, place, ("teacher-student", "student-label"))


def _criterion(bench: Bench, place: Place) -> None:
    """The gap, and the calibration at the study's first level, which need not be the cell's."""
    query, study = place.cell["query"], place.study
    name = bench.path("calibration", study, f"{query['estimator']}.json")
    if name not in [item["path"] for item in place.cell["inputs"]]:
        _gap(bench, place)
        return
    spec, _ = bench.study(study, "teacher")
    first = level_name(min(spec.degradation.levels))
    own = spec.degradation.kind == "modality" and query["level"] != first
    _estimated(bench, place, ("teacher-student", "student-label"), None if own else first)
    runs = {role: bench.made(study, role) for role in ("teacher", "baseline")}
    if own:  # every level has a teacher of its own
        other = Bench(bench.base, bench.name, bench.folder / "calibration")
        other.train(study, "teacher", {"seeds": 1, "levels": {first}})
        bench.parts += other.parts
        runs["teacher"] = other.made(study, "teacher")
    bench.calibrate(study, {"estimator": query["estimator"]}, runs)


def _calibration(bench: Bench, place: Place) -> None:
    """One case; the pair whose sizes and spectrum it has is of the first level."""
    query, study = place.cell["query"], place.study
    name = bench.path("calibration", study, f"{query['estimator']}.json")
    results = json.loads((bench.base / name).read_text(encoding="utf-8"))["results"]
    wanted = [e for e in results if e["quantity"] == query["quantity"]]
    used = {run for entry in wanted for run in entry["runs"]}
    levels = {entry["level"] for entry in wanted} - {None}
    runs = {}
    for role in ROLES[query["quantity"]]:
        with bench.stored(bench.path("runs", study, f"{role}.h5")) as file:
            seeds = 1 + max(run["seed"] for run in file.runs if run["id"] in used)
        bench.train(study, role, {"seeds": seeds, "runs": seeds, "levels": levels})
        runs[role] = bench.made(study, role)
    bench.calibrate(study, query, runs)


def _counted(bench: Bench, place: Place) -> None:
    """Nothing is made: the stored dataset is counted, or the records are read, again."""
    for item in place.cell["inputs"]:
        bench.record(item["path"])


def _null(bench: Bench, place: Place) -> None:
    """Estimate the null of LIHC again, all of its samples."""
    from cch.information.lihc import write_null

    if not place.cell["inputs"]:
        return
    out = place.cell["inputs"][0]["path"]
    record = bench.record(out)
    device = "cpu" if record.get("device", "cpu") == "cpu" else _auto()
    bench.new(out).parent.mkdir(parents=True, exist_ok=True)
    with threads_of(record):
        write_null(Path(out).stem, bench.new(out), device)
    stored, again = (
        json.loads(path.read_text(encoding="utf-8"))["values"]
        for path in (bench.base / out, bench.new(out))
    )
    for quantity in ("teacher-student", "student-label"):
        for number, pair in enumerate(zip(stored[quantity], again[quantity], strict=False)):
            bench.note("estimate", f"sample {number}", f"{quantity}, sample {number}", *pair)


def _theory(bench: Bench, place: Place) -> None:
    """Simulate the setting of a cell again; what belongs to no one setting, with all of them."""
    from cch.theory.stage import simulate_all

    out = place.cell["inputs"][0]["path"]
    record = bench.record(out)
    given = Theory.model_validate(specification(record))
    row = next((r for r in place.document["rows"] if r["key"] == place.key.partition("/")[0]), {})
    cut = {
        many: [row[one]]
        for one, many in (
            ("sigma_12", "sigma_12"),
            ("kappa", "kappas"),
            ("lambda", "lambdas"),
            ("teacher_label", "teacher_label"),
        )
        if one in row
    }
    if cut:  # a cell of one table needs nothing of the other
        cut = {"sigma_12": given.sigma_12[:1], "kappas": given.kappas[:1]} | cut
        cut = {"lambdas": given.lambdas[:1], "teacher_label": given.teacher_label[:1]} | cut
    bench.new(out).parent.mkdir(parents=True, exist_ok=True)
    with threads_of(record):
        simulate_all(given.model_copy(update=cut), bench.new(out))
    again = _derived(bench, place, bench.folder)
    pairs = zip(place.cell["members"], again.members or [], strict=False)
    for member, (identity, _, value) in pairs:
        bench.note("replication", identity, identity, member["value"], value)


_MAKE: dict[str, Callable[[Bench, Place], None]] = {
    "metric": _metric,
    "difference": _difference,
    "effect": _difference,
    "fusion": _fusion,
    "fusion-difference": _fusion,
    "fusion-effect": _fusion,
    "information": _information,
    "gap": _gap,
    "criterion": _criterion,
    "calibration": _calibration,
    "setting": _counted,
    "count": _counted,
    "cases": _counted,
    "outputs": _counted,
    "lihc-null": _null,
    "theory": _theory,
}
