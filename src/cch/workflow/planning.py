"""Files, targets and specifications of jobs for one configuration; used by the rules.

Nothing in this module runs or imports Snakemake; it answers what a rule needs to know about a
dataset, a study or a layout, so that a rule holds no logic of its own.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cch import CHECKOUT
from cch.base.errors import CchError, nearest
from cch.base.files import digest, sha256_file
from cch.config import Config, DecisionError, Study, load
from cch.config.paths import Paths
from cch.config.specs import (
    DecisionSpec,
    DecisionTableSpec,
    NullGapsSpec,
    NullTableSpec,
    PrepareSpec,
    Step,
    TheorySpec,
    as_json,
    calibrate_spec,
    estimate_spec,
    named_code,
    select_spec,
    study_roles,
    train_spec,
)
from cch.criterion.closed_form import student_label_nats
from cch.data.datasets.registry import check_reader, required_sources
from cch.data.sources.fetch import Fetched
from cch.data.sources.manual import available, manual_steps, missing_by_hand, raw_path
from cch.data.sources.table import SourceTable, load_table, with_local
from cch.paper.theory import THEORY_FIGURES
from cch.records.code import code_digest
from cch.tables.claims import Claims, load_claims, titled
from cch.tables.layout import Layout, layout_inputs
from cch.tables.layouts import all_layouts
from cch.tables.spec import table_spec

# Modalities whose selected features each role reads, as fields of `Study`.
READS = {
    "teacher": ("teacher",),
    "baseline": ("student",),
    "student": ("student",),
    "fusion": ("teacher", "student", "second_teacher"),
    "second-teacher": ("second_teacher",),
    "two-teachers": ("teacher", "second_teacher", "student"),
}

OTHER_TARGETS = {
    "all": "every study whose raw files can be fetched, the theory, comparison, ledger, report",
    "theory": "the paper's formulas beside simulation; needs no data",
    "comparison": "every cell beside the paper's, on one page",
    "ledger": "checks of the paper's printed numbers, each beside our value",
    "report": "the site over the run",
    "audit": "every file, cell and printed number of the finished run, checked again",
    "export": "the finished run as a Workflow Run RO-Crate",
    "fetch": "only download",
}
"""Targets that are not studies, tables or figures, with descriptions."""

THEORY_TITLES = {
    "theory-risk": "Theory. Risk of the student, formulas and simulation",
    "theory-region": "Theory. Where distillation helps and where the criterion says so",
}
"""Figures of the theory, with titles."""

DECISION = "decision-error"
DECISION_TITLE = "Decision error. How often an estimator gives a known gap the wrong sign"


def over_everything(targets: Sequence[str]) -> bool:
    """Whether targets, as for Snakemake, are or include one over all studies."""
    return not targets or not OTHER_TARGETS.keys().isdisjoint(targets)


def selection_name(study: Study, modality: str) -> str:
    """Return the name of a study's selection; equal selections on one dataset share a file."""
    spec = select_spec(study, modality).model_dump(mode="json", exclude={"dataset", "modality"})
    return f"{modality}-{digest(spec)[:8]}"


# Snakemake evaluates the parameters of all pending jobs after every job, so results are cached. A
# plan does not change.
cached = functools.cache


@dataclass(frozen=True)
class Bundle:
    """Tables and figures that depend on the same jobs and are made in one job.

    Attributes:
        name: of the first of them.
        layouts: their names.
    """

    name: str
    layouts: list[str]


class Plan:
    """What the rules need to know about one configuration.

    Args:
        raw: the merged configuration, as Snakemake has it.
        root: the folder with paper/ and workflow/.
    """

    def __init__(self, raw: dict[str, Any], root: str | Path = CHECKOUT) -> None:
        self.root = Path(root)
        self.config: Config = load(raw)
        self.paths = Paths.of(self.config)
        self.mirror = self.config.mirror or os.environ.get("CCH_MIRROR") or None
        self.table: SourceTable = with_local(
            load_table(self.root / self.config.sources), self.config
        )
        self.layouts: dict[str, Layout] = all_layouts(
            self.config, self.root / "paper" / "tables.yaml"
        )
        self.claims: Claims = load_claims(self.root / "paper" / "claims.yaml")
        names = {name: layout.number for name, layout in self.layouts.items()}
        names |= dict.fromkeys(self.theory_targets(), "the theory")
        names |= dict.fromkeys(self.null_targets(), "null gaps")
        names |= dict.fromkeys(self.decision_targets(), "the decision error")
        names |= dict.fromkeys(OTHER_TARGETS, "another target")
        for name, number in names.items():
            groups = (group for s in self.config.studies.values() for group in s.group)
            if name in {*self.config.studies, *groups}:
                raise CchError(f"studies.{name}", f"is also the name of {number}", "choose another")
        for name, dataset in self.config.datasets.items():
            for source in required_sources(name, dataset):
                if source not in self.table.sources:
                    known = ", ".join(self.table.sources)
                    raise CchError(
                        f"datasets.{name}", f"there is no source {source!r}; there are {known}"
                    )
                check_reader(source, self.table.source(source).reader)

    # Files

    def raw_files(self, dataset: str) -> dict[str, dict[str, str]]:
        """Raw files of a dataset: path by source and role."""
        return {
            source: {
                entry.role: self.paths.raw(source, entry.name)
                for entry in self.table.source(source).files
            }
            for source in required_sources(dataset, self.config.datasets[dataset])
        }

    def origin(self, source: str, file: str) -> list[str]:
        """Return the user file that a raw file is copied from, in a list; none for fetched files.

        Raises:
            CchError: it is not there; Snakemake would take the copy of an earlier run for it.
        """
        path = self.table.file(source, file).path
        if path is not None and not Path(path).is_file():
            raise CchError(path, f"there is no such file for {source}/{file} to be a copy of")
        return [] if path is None else [path]

    def raw_list(self, dataset: str) -> list[str]:
        """Raw files of a dataset, as a list."""
        return [path for files in self.raw_files(dataset).values() for path in files.values()]

    def raw_records(self, dataset: str) -> list[str]:
        """Records of a dataset's raw files."""
        return [f"{path}.record.json" for path in self.raw_list(dataset)]

    @cached
    def records(self, name: str) -> list[str]:
        """The records of a layout's outputs."""
        kind, made = self.layouts[name].kind, []
        if kind != "samples":
            made.append(self.paths.table(name, "record.json"))
        if kind != "table":
            made.append(self.paths.figure(name, "record.json"))
        return made

    @cached
    def layout_files(self, name: str) -> list[str]:
        """The outputs of a layout: table, figure, or the figure with the numbers behind it."""
        kind = self.layouts[name].kind
        files = []
        if kind != "samples":
            files += [self.paths.table(name, suffix) for suffix in ("json", "csv", "md", "tex")]
        if kind != "table":
            files += [self.paths.figure(name, suffix) for suffix in ("pdf", "png")]
        return files

    @cached
    def layout_inputs(self, name: str) -> list[str]:
        """The runs, estimates and datasets that a layout reads."""
        if self.layouts[name].kind == "samples":
            study = self.config.studies[self.layouts[name].study]
            return [self.paths.dataset(study.dataset)]
        return layout_inputs(self.layouts[name], self.config)

    @cached
    def bundles(self) -> list[Bundle]:
        """Group tables and figures by the jobs that they depend on, directly or indirectly."""
        by_jobs: dict[frozenset[str], list[str]] = {}
        for name in self.layouts:
            by_jobs.setdefault(self._upstream_jobs(self.layout_inputs(name)), []).append(name)
        return [Bundle(names[0], names) for names in by_jobs.values()]

    def _upstream_jobs(self, files: Iterable[str]) -> frozenset[str]:
        """Return the jobs that make files, and all jobs before them, by their first outputs."""
        found, waiting = set(), list(files)
        while waiting:
            path = waiting.pop()
            job, inputs = self._producers.get(path, (path, []))
            if job not in found:
                found.add(job)
                waiting += inputs
        return frozenset(found)

    @functools.cached_property
    def _producers(self) -> dict[str, tuple[str, list[str]]]:
        """The job that makes each file of runs, estimates and calibrations, with its inputs."""
        made = {}
        for name, study in self.config.studies.items():
            steps = self.steps(name)
            as_one_job = (steps[0].output, self.study_inputs(name))
            for step in steps:
                as_own_job = (step.output, list(step.inputs.values()))
                made[step.output] = as_one_job if study.together else as_own_job
        return made

    @cached
    def steps(self, study: str) -> list[Step]:
        """Return all training, estimation and calibration of a study, in order of dependence."""
        spec, paths, seen = self.config.studies[study], self.paths, self.representations(study)
        steps = [
            Step(
                stage="train",
                spec=self.train_spec(study, role),
                inputs=self.training_inputs(study, role),
                output=paths.runs(study, role),
            )
            for role in study_roles(spec)
        ]
        for name in [*spec.information.estimators, *spec.bounds]:
            given, out = self.estimate_spec(study, name), paths.information(study, name)
            steps.append(Step(stage="estimate", spec=given, inputs=seen, output=out))
        for name in spec.information.calibrated if not spec.information.shared_with else []:
            given, out = self.calibrate_spec(study, name), paths.calibration(study, name)
            steps.append(Step(stage="calibrate", spec=given, inputs=seen, output=out))
        return steps

    def together(self) -> list[str]:
        """Studies that are made by one job each (`together`)."""
        return [name for name, study in self.config.studies.items() if study.together]

    def priority(self, study: str) -> int:
        """Rank of a study's job: larger networks take longer, so they start first."""
        sizes = {name: sum(one.network.hidden) for name, one in self.config.studies.items()}
        return sorted(set(sizes.values())).index(sizes[study]) + 1

    @cached
    def study_inputs(self, study: str) -> list[str]:
        """Input files of the single job of a study with `together`."""
        steps = self.steps(study)
        made = {step.output for step in steps}
        return sorted({path for step in steps for path in step.inputs.values()} - made)

    def documents(self, studies: Iterable[str]) -> list[str]:
        """JSON documents of the paper's tables and figures that need no other studies."""
        wanted = set(studies)
        return [
            self.paths.table(name)
            for name, layout in self.layouts.items()
            if layout.kind != "samples" and wanted.issuperset(layout.studies) and not layout.own
        ]

    def theory_targets(self) -> dict[str, list[str]]:
        """The target ``theory`` and its parts, with their files."""
        tables = dict.fromkeys(THEORY_FIGURES.values())
        files = {
            name: [self.paths.table(name, suffix) for suffix in ("json", "csv", "md", "tex")]
            for name in tables
        }
        for name in THEORY_FIGURES:
            files.setdefault(name, []).extend(
                self.paths.figure(name, suffix) for suffix in ("pdf", "png")
            )
        files["theory"] = [path for part in files.values() for path in part]
        return files

    def theory_records(self) -> list[str]:
        """The records of the tables and figures of the target ``theory``."""
        tables = [self.paths.table(name, "record.json") for name in THEORY_FIGURES.values()]
        return tables + [self.paths.figure(name, "record.json") for name in THEORY_FIGURES]

    def null_files(self, entry: str) -> list[str]:
        """The table and figure of an entry of `null_gaps`."""
        name = f"null-{entry}"
        tables = [self.paths.table(name, s) for s in ("json", "csv", "md", "tex")]
        return tables + [self.paths.figure(name, s) for s in ("pdf", "png")]

    def null_records(self, entry: str) -> list[str]:
        """Records of the table and figure of an entry of `null_gaps`."""
        name = f"null-{entry}"
        return [self.paths.table(name, "record.json"), self.paths.figure(name, "record.json")]

    def null_targets(self) -> dict[str, list[str]]:
        """The targets ``null-<entry>``, with their files."""
        return {f"null-{entry}": self.null_files(entry) for entry in self.config.null_gaps}

    def decision_targets(self) -> dict[str, list[str]]:
        """The target ``decision-error`` with its files; empty if it is not configured."""
        if self.config.decision_error is None:
            return {}
        tables = [self.paths.table(DECISION, s) for s in ("json", "csv", "md", "tex")]
        return {DECISION: tables + [self.paths.figure(DECISION, s) for s in ("pdf", "png")]}

    def decision_records(self) -> list[str]:
        """Records of the table and figure of decision errors."""
        return [
            self.paths.table(DECISION, "record.json"),
            self.paths.figure(DECISION, "record.json"),
        ]

    @property
    def comparison(self) -> str:
        """The page with every cell beside the paper's value."""
        return f"{self.paths.results}/comparison.md"

    @property
    def ledger(self) -> list[str]:
        """The ledger, as JSON and as a page."""
        return [f"{self.paths.results}/ledger.{suffix}" for suffix in ("json", "md")]

    # Targets

    def targets(self) -> dict[str, list[str]]:
        """Names of targets on the command line, with their files."""
        named: dict[str, list[str]] = {name: [] for name in self.config.studies}
        for name, layout in self.layouts.items():
            # A table over an entry's pairs belongs to their groups, not to its first pair.
            over_pairs = layout.own and len(layout.studies) > 1
            groups = self.config.studies[layout.study].group
            for target in dict.fromkeys([*([] if over_pairs else [layout.study]), *groups]):
                files = named.setdefault(target, [])
                if not set(layout.studies).intersection(self.skipped(target)):
                    files.extend(self.layout_files(name))
        for name in self.layouts:
            named[name] = self.layout_files(name)
        return named | self.null_targets() | self.theory_targets() | self.decision_targets()

    def fetchable(self) -> list[str]:
        """All raw files of available studies, for the target that only downloads."""
        datasets = {self.config.studies[name].dataset for name in self.available()}
        return sorted({path for name in datasets for path in self.raw_list(name)})

    def available(self) -> list[str]:
        """Studies whose raw files can be fetched or are there."""
        return [name for name in self.config.studies if not self.unavailable(name)]

    @cached
    def unavailable(self, study: str) -> str:
        """Reason for excluding a study from ``all``, or ''."""
        name = self.config.studies[study].dataset
        for source in required_sources(name, self.config.datasets[name]):
            ready, reason = available(source, self.table, self.paths.resources, self.mirror)
            if not ready:
                return reason
        return ""

    def members(self, target: str) -> list[str]:
        """Studies of a target: a study itself, those of a group, those of a table or a figure."""
        return [
            name
            for name, study in self.config.studies.items()
            if target in (name, *study.group)
            or (target in self.layouts and name in self.layouts[target].studies)
        ]

    @cached
    def skipped(self, target: str) -> list[str]:
        """Unavailable studies that a group skips, as ``all`` does.

        Empty for a study, an entry with ``pairs``, a table or a figure, and for a group of which
        no study is available.
        """
        studies = self.config.studies
        if target in {*studies, *self.layouts, *(study.entry for study in studies.values())}:
            return []
        members = self.members(target)
        absent = [name for name in members if self.unavailable(name)]
        return absent if len(absent) < len(members) else []

    def by_hand(self, target: str) -> list[str]:
        """Instructions for files that need a manual download: for each, a line and the steps."""
        users: dict[str, list[str]] = {}
        for name in self.members(target):
            dataset = self.config.studies[name].dataset
            for source in required_sources(dataset, self.config.datasets[dataset]):
                users.setdefault(source, []).append(name)
        said = []
        for source, studies in users.items():
            resources = self.paths.resources
            for entry in missing_by_hand(source, self.table, resources, self.mirror):
                path = raw_path(resources, source, entry.name)
                what = f"{target} needs a file that has to be placed by hand"
                if self.skipped(target):
                    # An entry with `pairs` has one dataset, so all its pairs are skipped.
                    entries = dict.fromkeys(self.config.studies[n].entry or n for n in studies)
                    what = f"{target} skips {', '.join(entries)}, which needs a file placed by hand"
                said.append(f"{what}: {path}")
                said.append(manual_steps(source, entry.name, table=self.table, destination=path))
        return said

    def everything(self) -> list[str]:
        """Files of the target ``all``: the theory, layouts over available studies, pages."""
        ready = set(self.available())
        files = [
            path
            for name, layout in self.layouts.items()
            if ready.issuperset(layout.studies)
            for path in self.layout_files(name)
        ]
        files += [*self.theory_targets()["theory"], *self.ledger]
        files += self.decision_targets().get(DECISION, [])
        return [*files, self.comparison] if ready else files

    @property
    def report(self) -> str:
        """The first page of the report, over everything."""
        return f"{self.paths.results}/report/index.html"

    @property
    def crate(self) -> str:
        """The finished run as a Workflow Run RO-Crate."""
        return f"{self.paths.results}/crate.zip"

    def report_digest(self) -> str:
        """Digest of the report's settings: order of tables, excluded studies, pages, templates."""
        folder = self.root / "src" / "cch" / "report" / "templates"
        templates = {path.name: sha256_file(path) for path in sorted(folder.glob("*.*"))}
        about = {"order": list(self.layouts), "excluded": self.excluded(), "pages": self.pages()}
        return digest(about | {"templates": templates})

    def excluded(self) -> dict[str, str]:
        """Excluded studies, with reasons."""
        return {n: why for n in self.config.studies if (why := self.unavailable(n))}

    def left_out(self, targets: Sequence[str]) -> dict[str, str]:
        """Unavailable studies that targets leave out, with reasons; no target is ``all``."""
        if over_everything(targets):
            return self.excluded()
        skipped = {name for one in targets for name in self.skipped(one)}
        built = {n for one in targets for n in self.members(one) if n not in self.skipped(one)}
        return {n: why for n, why in self.excluded().items() if n in skipped - built}

    def pages(self) -> dict[str, str]:
        """Pages of the documentation that the report includes, by heading."""
        path = self.root / "docs" / "assumptions.md"
        return {"Assumptions": path.read_text(encoding="utf-8")} if path.is_file() else {}

    def titles(self) -> dict[str, dict[str, str]]:
        """Titles of all targets, grouped: studies, tables, figures, others."""
        tables, figures = {}, {}
        for name, layout in self.layouts.items():
            title = titled(layout, self.config)
            where = tables if layout.kind == "table" else figures
            where[name] = title if layout.own else f"{layout.number}. {title}"
        return {
            "studies": self._study_titles(),
            "tables": tables,
            "figures": figures
            | THEORY_TITLES
            | self._null_titles()
            | dict.fromkeys(self.decision_targets(), DECISION_TITLE),
            "others": OTHER_TARGETS,
        }

    def _null_titles(self) -> dict[str, str]:
        """Titles of the targets ``null-<entry>``."""
        return {
            f"null-{name}": f"{entry.title} null. Gaps of independent samples at its sizes"
            for name, entry in self.config.null_gaps.items()
        }

    def _study_titles(self) -> dict[str, str]:
        """Titles of studies; a group lists its members."""
        found = {name: study.title for name, study in self.config.studies.items()}
        groups: dict[str, list[str]] = {}
        for name, study in self.config.studies.items():
            for group in study.group:
                # A group of pairs lists their entries, and an entry its pairs.
                listed = name if study.entry in (None, group) else study.entry
                if group != name:
                    groups.setdefault(group, []).append(listed)
        for group, names in groups.items():
            title = f"{found[group]}; with " if group in found else ""
            found[group] = f"{title}{', '.join(dict.fromkeys(names))}"
        return found

    def names(self) -> list[str]:
        """Names of all targets."""
        return [name for names in self.titles().values() for name in names]

    def check_target(self, target: str) -> None:
        """Refuse an unknown target that does not look like a file.

        Raises:
            CchError: one line with the nearest names, and the command that lists all.
        """
        known = self.names()
        if target in known or "/" in target or "." in target:
            return
        raise CchError(
            f"target {target!r}", "is neither a study, a table nor a figure of this configuration",
            nearest(target, known, "cch targets [--configfile FILE]"),
        )  # fmt: skip

    # Specifications of jobs: all that determines their outputs, other than input files

    @cached
    def prepare_spec(self, name: str) -> str:
        """Specification of a dataset."""
        files = self.raw_files(name)
        return as_json(
            PrepareSpec(
                name=name,
                dataset=self.config.datasets[name].without_words(),
                readers={source: self.table.source(source).reader for source in files},
                files=[(source, role) for source, paths in files.items() for role in paths],
            )
        )

    def ledger_digest(self) -> str:
        """Digest of the claims that the ledger is made from."""
        return digest(self.claims.model_dump(mode="json"))

    @cached
    def train_spec(self, study: str, role: str) -> str:
        """Specification of the runs of a role."""
        return as_json(train_spec(study, self.config.studies[study], role))

    @cached
    def select_spec(self, dataset: str, selection: str) -> str:
        """Specification of a selection of features."""
        study, modality = self.selections[dataset, selection]
        return as_json(select_spec(self.config.studies[study], modality))

    @cached
    def estimate_spec(self, study: str, estimator: str) -> str:
        """Specification of the estimates by one estimator."""
        return as_json(estimate_spec(study, self.config.studies[study].information, estimator))

    @cached
    def calibrate_spec(self, study: str, estimator: str) -> str:
        """Specification of the calibration of one estimator."""
        spec = self.config.studies[study]
        ceiling = student_label_nats(spec, self.config.datasets[spec.dataset])
        return as_json(calibrate_spec(study, spec.information, estimator, ceiling))

    @cached
    def study_spec(self, study: str) -> list[str]:
        """What determines all runs and estimates of a study, step by step."""
        return [as_json(step) for step in self.steps(study)]

    def simulate_spec(self) -> str:
        """Specification of the simulations of the theory."""
        return as_json(self.config.theory)

    def theory_spec(self) -> str:
        """Specification of the tables and figures of the theory."""
        return as_json(TheorySpec(theory=self.config.theory, results=self.paths.results))

    @cached
    def null_spec(self, entry: str, estimator: str) -> str:
        """Specification of one estimator's null gaps."""
        asked = self.config.null_gaps[entry]
        return as_json(
            NullGapsSpec(
                name=entry,
                estimator=estimator,
                class_counts=asked.class_counts,
                columns=asked.columns,
                repeats=asked.repeats,
            )
        )

    @cached
    def null_table_spec(self, entry: str) -> str:
        """Specification of the table and figure of null gaps."""
        asked = self.config.null_gaps[entry]
        return as_json(
            NullTableSpec(
                name=entry,
                entry=asked.model_copy(update={"estimators": self.null_estimators(entry)}),
                gaps=self.claims.column(asked.table, asked.column),
                results=self.paths.results,
            )
        )

    @cached
    def decision_spec(self, estimator: str) -> str:
        """Specification of one estimator's estimates in worlds of known gap."""
        asked = self._decision_error.model_dump(exclude={"estimators"})
        return as_json(DecisionSpec(estimator=estimator, **asked))

    def decision_table_spec(self) -> str:
        """Specification of the table and figure of decision errors."""
        return as_json(DecisionTableSpec(entry=self._decision_error, results=self.paths.results))

    @property
    def _decision_error(self) -> DecisionError:
        if self.config.decision_error is None:
            raise CchError("decision_error", "is not in this configuration")
        return self.config.decision_error

    @cached
    def table_spec(self, name: str) -> str:
        """Specification of a table or figure."""
        layout = self.layouts[name]
        stand_ins = self.stand_ins(layout.studies)
        return as_json(table_spec(name, layout, self.config, self.claims, stand_ins))

    # Inputs of jobs

    @functools.cached_property
    def selections(self) -> dict[tuple[str, str], tuple[str, str]]:
        """One study and modality for each selection, by dataset and name of the selection."""
        return {
            (study.dataset, selection_name(study, modality)): (name, modality)
            for name, study in self.config.studies.items()
            if study.selection
            for modality in (study.teacher, study.student, study.second_teacher)
            if modality is not None
        }

    @cached
    def training_inputs(self, study: str, role: str) -> dict[str, str]:
        """Input files of training, by name in the rule."""
        spec = self.config.studies[study]
        files = {"dataset": self.paths.dataset(spec.dataset)}
        if role in ("student", "two-teachers"):
            files["teacher"] = self.paths.runs(study, "teacher")
        if role == "two-teachers":
            files["second_teacher"] = self.paths.runs(study, "second-teacher")
        if spec.selection:
            for modality in (getattr(spec, part) for part in READS[role]):
                if modality is not None:
                    name = selection_name(spec, modality)
                    files[modality] = self.paths.features(spec.dataset, name)
        return files

    def representations(self, study: str) -> dict[str, str]:
        """Runs that information is estimated from, by role."""
        return {role: self.paths.runs(study, role) for role in ("teacher", "baseline")}

    def null_estimators(self, entry: str) -> list[str]:
        """Estimators of an entry of `null_gaps`: its own, or those of all studies."""
        own = self.config.null_gaps[entry].estimators
        used = [e for study in self.config.studies.values() for e in study.information.estimators]
        return list(dict.fromkeys(used if own is None else own))

    def null_inputs(self, entry: str) -> list[str]:
        """The estimates that an entry of `null_gaps` shows, by estimator."""
        return [
            self.paths.calibration(f"null-{entry}", name) for name in self.null_estimators(entry)
        ]

    def decision_inputs(self) -> list[str]:
        """Files of estimates, one for each estimator of the table of decision errors."""
        asked = self.config.decision_error
        names = asked.estimators if asked else []
        return [self.paths.calibration(DECISION, name) for name in names]

    def stand_ins(self, studies: Sequence[str]) -> list[str]:
        """Notices about stand-in data of some studies."""
        names = [self.config.studies[study].dataset for study in studies]
        needed = [s for name in names for s in required_sources(name, self.config.datasets[name])]
        said = [self.table.source(source).stand_in for source in needed]
        return list(dict.fromkeys(text for text in said if text))

    def code(self, script: str, spec: Any = None) -> str:
        """Return the digest of the code behind a job, by its script and its specification."""
        return self._digest(script, tuple(named_code(Path(script).stem, spec)))

    @cached
    def _digest(self, script: str, named: tuple[str, ...]) -> str:
        return code_digest(self.root / "workflow" / "scripts" / script, named)

    # Fetching

    @property
    def lockfile(self) -> str:
        """The lockfile of digests that were pinned on first use."""
        return f"{self.paths.resources}/sources.lock"

    def raw_facts(self, source: str, file: str, fetched: Fetched) -> dict[str, Any]:
        """Provenance of a raw file, for its record."""
        entry, about = self.table.file(source, file), self.table.source(source)
        facts = {
            "source": source,
            "file": file,
            "address": fetched.address,
            "published_addresses": list(entry.addresses or ()),
            "sha256": fetched.sha256,
            "bytes": fetched.bytes,
            "retrieved": fetched.retrieved,
            "pinned_on_first_use": fetched.pinned,
            **({"release": fetched.release} if fetched.release else {}),
            "licence": about.licence,
            "citation": about.citation,
        }
        if entry.kind == "generated":
            facts["generator"] = {"kind": entry.generator, "seed": entry.seed}
        return facts | ({"stand_in": about.stand_in} if about.stand_in else {})
