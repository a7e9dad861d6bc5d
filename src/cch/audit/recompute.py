"""Recompute one cell and compare it with the stored value.

The record of a table holds its configuration. It is cut down to what the cell rests on, and the
ordinary rules make those files again from the stored datasets and selections, in a scratch folder.
A run's numbers do not depend on what is trained beside it, nor an estimate's on what is estimated
beside it, so what is made again has the identity of what is stored. The results are only read.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cch import CHECKOUT, LIBRARY
from cch.audit import derive_criterion, derive_generated, derive_teachers
from cch.audit.cell_config import cell_config
from cch.audit.derive import RULES, Derived, NotDerivable, Place
from cch.audit.explain import find_cell, working_folder
from cch.audit.facts import Facts, same
from cch.audit.report import Audit
from cch.audit.rerun_command import restoring
from cch.audit.tree import Tree
from cch.base.errors import CchError
from cch.base.files import sha256_file, write_json
from cch.config import Config
from cch.config.specs import SPECS
from cch.records.code import code_now
from cch.records.record import environment, read_record, record_path, specification
from cch.tables.queries import KINDS
from cch.training.store import RunsFile
from cch.workflow.planning import Plan

assert derive_criterion and derive_generated and derive_teachers  # imported for what they register

ABSOLUTE = {"accuracy", "weighted_f1", "macro_f1", "auc"}
TOLERANCE = 0.02
"""Elsewhere than where a run was made, its fractions may differ by this much, and its errors and
cross-entropies by this part: rounding in another order grows step by step."""

INFORMATION_TOLERANCE = 0.05
"""Elsewhere, an estimate may differ by this many nats, or this part of it where that is more."""

ALLOWED = (
    "train",
    "estimate",
    "calibrate",
    "estimate_null",
    "estimate_decision",
    "simulate_theory",
)
"""Rules that may run; all other inputs are the stored files."""

CONFIGURATION = "configuration.json"

DONE = {"run": "{} trained", "count": "counted again", "replication": "{} simulated"}

GENERATED = ("null-gaps", "decision-error", "theory")
"""Kinds of cell that are of no study; all others are registered queries."""


@dataclass(frozen=True)
class Compared:
    """One run, estimate or count: as stored, and again.

    Attributes:
        kind: run, estimate, calibration sample, replication or count.
        id: of the run or estimate.
        what: role, quantity or the like, with level and seed.
        stored: its numbers in the results.
        again: the same numbers, made again.
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

    @classmethod
    def of(cls, kind: str, identity: str, what: str, stored: Any, again: Any) -> Compared:
        """The comparison of two single numbers."""
        return cls(kind, identity, what, stored, again, stored == again, _close(stored, again))


@dataclass
class Recomputed:
    """The outcome for one cell.

    Attributes:
        cell: its id.
        value: as stored.
        again: from what was made again.
        parts: every run and estimate that was made again.
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
        """How many of each kind were made again, and how many are identical."""
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
    """Make a cell's runs and estimates again and compare them with the stored ones.

    Args:
        name: ``table/row/column``.
        results: the folder of the run.
        scratch: a new or empty folder for the new files; left out, a temporary folder that is
            removed.

    Raises:
        CchError: there is no such cell, it was not run, its kind cannot be recomputed, ``scratch``
            holds files or cannot be written, a record or file on the way is missing, the dataset
            file is not the one that the runs were trained on, or a job fails.
    """
    path, document, cell = find_cell(name, results)
    if cell.value is None and cell.n == 0:
        flags = "; ".join(cell.flags)
        raise CchError(name, f"has no value ({flags})", "there is nothing to compute again")
    kind = cell.query["kind"]
    if kind not in (*KINDS, *GENERATED):
        known = ", ".join((*KINDS, *GENERATED))
        raise CchError(name, f"cells of kind {kind!r} cannot be recomputed", f"these can: {known}")
    where = record_path(path)
    if where is None:
        raise CchError(path, "has no record", "build it again")
    record = read_record(where)
    recorded = next(known for known in record["outputs"] if known.endswith(path.name))
    place = Place(document.to_json(), cell.key, cell.to_json())
    base, stored = working_folder(path, recorded), Path(recorded).parents[1].as_posix()
    if scratch is not None:
        _make_empty(Path(scratch))
    with tempfile.TemporaryDirectory(prefix="cch-recompute-") as temporary:
        folder = Path(scratch or temporary).absolute()
        one = CellRecomputation(place, specification(record), base, stored, folder)
        again = one.answered_again() if cell.kind == "setting" else one.made_again()
    return Recomputed(cell.id, cell.value, again, one.parts, list(one.elsewhere))


def _make_empty(folder: Path) -> None:
    """Make a folder that holds nothing; the rules would replace files of the same names."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise CchError(folder, "is not empty", "name a new folder for the new files")
    except OSError as error:
        raise CchError(folder, f"cannot be written ({error.strerror})") from None


@dataclass
class CellRecomputation:
    """A cell, the stored files, and the scratch folder in which they are made again.

    Attributes:
        place: the cell in its table.
        given: the specification of the table.
        base: the folder that recorded paths are relative to.
        results: the folder of the run, as recorded.
        folder: the scratch folder; files have the same names below it.
        parts: comparisons so far.
        elsewhere: differences of environment, device and code so far.
    """

    place: Place
    given: dict[str, Any]
    base: Path
    results: str
    folder: Path
    parts: list[Compared] = field(default_factory=list)
    elsewhere: dict[str, None] = field(default_factory=dict)

    def answered_again(self) -> float | str | None:
        """Answer the query from stored files again, and compare."""
        cell, key = self.place.cell, self.place.key
        for item in cell["inputs"]:
            self._record(item["path"])
        again = self._derived(self.base / self.results, self.place).value
        what = f"{key}, from {'the dataset' if cell['inputs'] else 'records'}"
        self.parts.append(Compared.of("count", key, what, cell["value"], again))
        return again

    def made_again(self) -> float | str | None:
        """Make again what the cell rests on, compare, and answer the query over the new files."""
        cell = self.place.cell
        if not cell["inputs"]:  # a printed number, which rests on nothing
            return self._derived(self.base / self.results, self.place).value
        config, files = cell_config(self.place, self.given, self.results, self._entries)
        self._run(config, files)
        for name in files:
            self.parts += self._compare(name)
        inputs = [item | {"path": below(item["path"])} for item in cell["inputs"]]
        place = replace(self.place, cell=cell | {"inputs": inputs})
        again = self._derived(self.folder / below(self.results), place)
        if cell["query"]["kind"] == "theory":
            for member, found in zip(cell["members"], again.members or [], strict=False):
                key, _, value = found
                self.parts.append(Compared.of("replication", key, key, member["value"], value))
        return again.value

    def _derived(self, results: Path, place: Place) -> Derived:
        try:
            report = Audit(results)
            return RULES[place.cell["query"]["kind"]](
                place.cell["query"], place, Facts(Tree(results, report), report)
            )
        except NotDerivable as error:
            raise CchError(place.cell["id"], str(error)) from None

    def _run(self, config: Config, files: list[str]) -> None:
        """Run the rules for some files, each with the threads and the device of its stored job."""
        records = {name: self._record(name) for name in files}
        for name in files:
            self._entries(name)
            (self.folder / below(name)).unlink(missing_ok=True)
        cut = config.model_dump(mode="json")
        cut |= {"results": below(self.results), "resources": below(config.resources)}
        self._link(Plan(cut, CHECKOUT), records)

        def means(name: str) -> tuple[int, str]:
            device = records[name].get("device", "cpu")
            return records[name].get("threads", 1), "cpu" if device == "cpu" else "auto"

        for (threads, device), names in itertools.groupby(files, means):
            cut["compute"] |= {"threads": threads, "device": device}
            write_json(self.folder / CONFIGURATION, cut)
            self._snakemake(threads, [below(name) for name in names])

    def _link(self, cut: Plan, records: Mapping[str, dict[str, Any]]) -> None:
        """Put the stored dataset and selections where the rules look for them."""
        for study, role in itertools.product(cut.config.studies, SPECS):
            stored = Plan(self.given["config"] | {"results": self.results}, CHECKOUT)
            record = records.get(stored.paths.runs(study, role))
            if record is None:
                continue
            # The name of a selection depends on the number of seeds, which may be cut.
            names = stored.training_inputs(study, role)
            for key, target in cut.training_inputs(study, role).items():
                if key not in ("teacher", "second_teacher"):
                    self._as_recorded(names[key], record)
                    link = self.folder / target
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.unlink(missing_ok=True)
                    link.symlink_to((self.base / names[key]).resolve())

    def _as_recorded(self, name: str, record: Mapping[str, Any]) -> None:
        if not (self.base / name).is_file():
            raise CchError(name, "is missing", self._again(name))
        if record["inputs"].get(name) != sha256_file(self.base / name):
            raise CchError(name, "is not the file that the runs were trained on", "audit the run")

    def _snakemake(self, threads: int, targets: list[str]) -> None:
        command = [
            *(sys.executable, "-m", "snakemake", *targets, "--cores", str(threads)),
            *("--snakefile", str(CHECKOUT / "Snakefile"), "--directory", str(self.folder)),
            *("--replace-workflow-config", "--configfile", str(self.folder / CONFIGURATION)),
            *("--allowed-rules", *ALLOWED, "--quiet", "all"),
        ]
        environ = {key: value for key, value in os.environ.items() if key != "SNAKEMAKE_PROFILE"}
        environ["PYTHONPATH"] = str(LIBRARY)
        reason = "Snakemake failed"
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environ
        ) as running:
            for line in running.stderr or ():
                print(line, end="", file=sys.stderr)
                if line.startswith("cch: "):
                    reason = line.removeprefix("cch: ").strip()
        if running.returncode != 0:
            raise CchError(self.place.cell["id"], "could not be computed again", reason)

    # Stored files

    def _record(self, name: str) -> dict[str, Any]:
        """The record of a stored file; what differs here from there is noted."""
        where = record_path(self.base / name)
        if where is None:
            raise CchError(name, "has no record", self._again(name))
        record = read_record(where)
        then, now = record["environment"], environment()
        for key in ("digest", "python", "platform", "processor"):
            if key in then and key in now and then[key] != now[key]:
                called = "environment" if key == "digest" else key
                told = (str(then[key])[:60], str(now[key])[:60])
                self.elsewhere[f"{called} {told[1]}, made in {told[0]}"] = None
        if record.get("device", "cpu") != "cpu":
            self.elsewhere[f"device, made on {record['device']}"] = None
        script, made = record["code"].get("script", ""), record["code"]["digest"]
        path = CHECKOUT / "workflow" / "scripts" / script
        if (code := code_now(path, record["code"])) not in (None, made):
            self.elsewhere[f"{script} is {code[:12]}, made by {made[:12]}"] = None
        return record

    def _again(self, name: str) -> str:
        return f"make it again: {restoring(self.base, self.results, [name])}"

    def _entries(self, name: str) -> list[dict[str, Any]]:
        """The runs, estimates or calibration results in a stored file.

        Raises:
            CchError: it cannot be read; the line has the command that makes it again.
        """
        try:
            return entries_of(self.base / name)
        except (OSError, ValueError, CchError) as error:
            what = error.what if isinstance(error, CchError) else f"cannot be read ({error})"
            there = "delete it and " if (self.base / name).exists() else ""
            raise CchError(name, what, there + self._again(name)) from None

    def _compare(self, name: str) -> Iterator[Compared]:
        """Compare a new file with the stored one, entry by entry, by identity."""
        old, new = self.base / name, self.folder / below(name)
        if name.endswith(".h5"):
            with RunsFile(old) as stored, RunsFile(new) as again:
                yield from compare_runs(stored, again)
            return
        known = {entry["id"]: entry for entry in entries_of(old)}
        for entry in entries_of(new):
            stored = known.get(entry["id"], {})
            if "values" not in entry:
                at = f"level {entry['level']}, seed {entry['seed']}"
                what = f"{entry['quantity']} by {entry['estimator']}, {at}"
                yield Compared.of(
                    "estimate", entry["id"], what, stored.get("value"), entry["value"]
                )
                continue
            what = f"{entry['quantity']}, {entry['name']}"
            pairs = itertools.zip_longest(stored.get("values", []), entry["values"])
            for number, pair in enumerate(pairs):
                said = f"{what}, sample {number}"
                yield Compared.of("calibration sample", entry["id"], said, *pair)


def below(name: str) -> str:
    """A recorded path as the scratch folder has it: relative, where it is absolute too."""
    return Path(name).relative_to(Path(name).anchor).as_posix()


def entries_of(path: Path) -> list[dict[str, Any]]:
    """The runs, estimates or calibration results in a file; none of a simulation of the theory."""
    if path.suffix == ".h5":
        with RunsFile(path) as file:
            return file.runs
    content = json.loads(path.read_text(encoding="utf-8"))
    if "values" not in content:
        return content.get("estimates", content.get("results", []))
    about = {"estimator": content["estimator"], "level": None}
    return [
        about | {"id": f"{quantity}/{seed}", "quantity": quantity, "seed": seed, "value": value}
        for quantity, values in content["values"].items()
        if quantity != "gap"
        for seed, value in enumerate(values)
    ]


def compare_runs(stored: RunsFile, again: RunsFile) -> Iterator[Compared]:
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
    """Whether the representations of a run, those that were made again, are as stored."""
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
