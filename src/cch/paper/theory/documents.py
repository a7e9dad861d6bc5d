"""The target ``theory``, second half: its tables, in the format of all others (``cch.tables``).

They are views of the simulation's file and compute nothing but means and standard errors.
``theory`` has a row for each setting, ``theory-region`` one for each simulated point.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cch.base.files import sha256_file
from cch.config import Theory
from cch.paper.theory.stage import PAPER_KAPPA, POINT_KAPPA, POINT_LAMBDA, read_simulation
from cch.tables.documents import (
    FORMAT,
    Cell,
    Column,
    Document,
    InputFile,
    Member,
    Note,
    Row,
    generated_cell,
)


class _Cells:
    """Makes cells that rest on one simulation file."""

    def __init__(self, document: str, path: str | Path) -> None:
        self.document, self.path = document, str(path)
        self.inputs = (InputFile(path=self.path, sha256=sha256_file(path)),)

    def closed(self, key: str, value: float | None, of: str, text: str | None = None) -> Cell:
        """A number in closed form; one without a value says why in ``text``."""
        identity, query = f"{self.document}/{key}", {"kind": "theory", "cell": key}
        return generated_cell(identity, query, value, of, text=text, inputs=self.inputs)

    def mean(self, key: str, values: Sequence[float], of: str, setting: str) -> Cell:
        """A mean over replications with its standard error."""
        members = tuple(
            Member(
                kind="replication",
                id=f"{setting}/{number}",
                file=self.path,
                seed=number,
                value=value,
            )
            for number, value in enumerate(values)
        )
        return generated_cell(
            f"{self.document}/{key}",
            {"kind": "theory", "cell": key},
            float(np.mean(values)),
            of,
            se=float(np.std(values, ddof=1) / math.sqrt(len(values))),
            members=members,
            inputs=self.inputs,
        )


def risk_document(spec: Theory, path: str | Path) -> Document:
    """Return the table ``theory``: asymptotic, exact and simulated risk of every setting.

    Raises:
        CchError: the simulation is missing or of another format.
    """
    make, content = _Cells("theory", path), read_simulation(path)
    rows: list[Row] = []
    cells: list[Cell] = []
    for setting in content["settings"]:
        key = f"s{setting['sigma_12']:g}-k{setting['kappa']:g}-l{setting['lambda']:g}"
        label = (
            f"σ12 = {setting['sigma_12']:g}, κ = {setting['kappa']:g} (n = {setting['n']}), "
            f"λ = {setting['lambda']:g}"
        )
        given = {name: setting[name] for name in ("sigma_12", "kappa", "lambda", "criterion")}
        rows.append(Row(key=key, label=label, parameters=given))
        cells += _risk_cells(make, key, setting)
    return _document(
        *("theory", "Theory", "Excess risk of the distilled student, in the limit and simulated"),
        "Excess risk (Eq. 5) of the student of Eq. 4 with the best linear teacher. Section 4.1's "
        f"model with label correlations divided by √p: p = {spec.dimension}, "
        f"σ13 = {spec.sigma_13:g}, σ23 = {spec.sigma_23:g}, n = κp. Asymptotic: Eq. 13 for κ > 1, "
        "Eqs. 25 to 30 for κ < 1. Exact: expected at this n and p. The criterion "
        f"{_criterion_words(content['settings'])}.",
        row_label="Setting",
        columns=[
            *(
                ("asymptotic", "Asymptotic"),
                ("exact", "Exact at n, p"),
                ("monte-carlo", "Simulated"),
            ),
            *(("difference", "Simulated minus asymptotic"), ("change", "Simulated minus λ = 0")),
            ("change-asymptotic", "Asymptotic minus λ = 0"),
        ],
        rows=rows,
        cells=cells,
        notes=list(_threshold_notes(make, content["thresholds"])),
    )


def _criterion_words(settings: Sequence[dict[str, Any]]) -> str:
    said = {s["sigma_12"]: "holds" if s["criterion"] else "fails" for s in settings}
    return ", ".join(f"{verdict} at σ12 = {value:g}" for value, verdict in said.items())


def _risk_cells(make: _Cells, key: str, setting: dict[str, Any]) -> Iterator[Cell]:
    values, asymptotic = setting["values"], setting["asymptotic"]
    equation = "Eq. 13" if setting["kappa"] > 1 else "Eqs. 25 to 30"
    yield make.closed(f"{key}/asymptotic", asymptotic, f"{equation} at n / p")
    exact = "expected excess risk of least squares at this n and p, closed form"
    yield make.closed(f"{key}/exact", setting["finite"], exact)
    mean = "mean over replications of the excess risk of the fitted student"
    yield make.mean(f"{key}/monte-carlo", values, mean, key)
    apart = [value - asymptotic for value in values]
    yield make.mean(f"{key}/difference", apart, f"{mean}, less {equation}", key)
    if setting["lambda"] == 0:
        return
    paired = f"{mean}, less that of λ = 0 in the same replication"
    yield make.mean(f"{key}/change", setting["changes"], paired, key)
    change = f"{equation} at this λ less at λ = 0"
    yield make.closed(f"{key}/change-asymptotic", setting["change"], change)


def _threshold_notes(make: _Cells, thresholds: Sequence[dict[str, Any]]) -> Iterator[Note]:
    for entry in thresholds:
        s, k, value = entry["sigma_12"], entry["kappa"], entry["break_even"]
        key = f"notes/break-even-s{s:g}-k{k:g}"
        where = " (Section 4.1's n and p)" if k == PAPER_KAPPA else ""
        cell = make.closed(
            key,
            value,
            "root in λ of Eq. 13 less its value at λ = 0",
            "all λ" if value is None else None,
        )
        yield Note(label=f"Largest λ that helps at σ12 = {s:g}, κ = {k:g}{where}", cell=cell)


def region_document(spec: Theory, path: str | Path) -> Document:
    """Return the table ``theory-region``: Eq. 17 beside simulation, point by point, and the shares.

    Raises:
        CchError: the simulation is missing or of another format.
    """
    make, content = _Cells("theory-region", path), read_simulation(path)
    rows: list[Row] = []
    cells: list[Cell] = []
    slope = 2 * POINT_LAMBDA / (POINT_KAPPA - 1) / (1 + POINT_LAMBDA) ** 2
    for point in content["points"]:
        c, x, z = (point[k] for k in ("teacher_label", "student_label", "teacher_student"))
        key = f"c{c:g}-{point['number']}"
        label = f"ρ(t,y) = {c:g}, ρ(s,y) = {x:g}, ρ(t,s) = {z:g}"
        given = ("teacher_label", "student_label", "teacher_student", "criterion")
        parameters = {name: point[name] for name in given}
        rows.append(Row(key=key, label=label, parameters=parameters))
        cells.append(make.closed(f"{key}/margin", point["margin"], "Eq. 17, left side"))
        scaled = [change / slope for change in point["changes"]]
        text = (
            f"mean over replications of the change of excess risk from λ = 0 to {POINT_LAMBDA:g} "
            f"at κ = {POINT_KAPPA:g}, by what a unit of Eq. 17's left side makes of it"
        )
        cells.append(make.mean(f"{key}/monte-carlo", scaled, text, key))
        criterion = "holds" if point["criterion"] else "fails"
        cells.append(make.closed(f"{key}/criterion", None, "I(t; s) > I(s; y)", criterion))
    return _document(
        *("theory-region", "Region", "Where distillation helps and where the criterion says so"),
        "t = w1'x1 of the best linear teacher, s = w*'x2, y the label. Distillation helps for "
        "small λ where Eq. 17's left side is below 0; the criterion is I(t; s) > I(s; y). "
        f"Simulated at p = {spec.dimension}, κ = {POINT_KAPPA:g}, λ = {POINT_LAMBDA:g}.",
        row_label="Point",
        columns=[
            *(("margin", "Eq. 17, left side"), ("monte-carlo", "Simulated")),
            ("criterion", "Criterion"),
        ],
        rows=rows,
        cells=cells,
        notes=[
            *_area_notes(make, content["areas"]),
            *_flip_notes(make, spec, content["flips"]),
        ],
    )


def area_key(teacher_label: float | None, best: bool, what: str) -> str:
    """Key of a note of ``theory-region``: a share at one rho(t, y), or over all of them."""
    place = "all" if teacher_label is None else f"c{teacher_label:g}"
    return f"notes/{what}-{place}-{'best' if best else 'bound'}"


def _area_notes(make: _Cells, entries: Sequence[dict[str, Any]]) -> Iterator[Note]:
    for entry in entries:
        c, best = entry["teacher_label"], entry["best"]
        where = "over all ρ(t,y)" if c is None else f"at ρ(t,y) = {c:g}"
        teacher = "best teacher" if best else "teacher as variable as y"
        of = "areas in ρ(s,y) from 0 to 1 and ρ(t,s), midpoint rule"
        of += ", averaged over ρ(t,y) from 0 to 1" if c is None else ""
        for what, words in (
            ("found", "share of the helping region where the criterion holds"),
            ("helps", "share of all possible correlations where distillation helps"),
        ):
            cell = make.closed(area_key(c, best, what), entry[what], of)
            yield Note(label=f"{teacher}, {where}: {words}", cell=cell)


def _flip_notes(make: _Cells, spec: Theory, found: dict[str, float | None]) -> Iterator[Note]:
    model = f"Appendix B's sampler at p = {spec.dimension}, best teacher"
    for what, words in (
        ("helps", "distillation helps for small λ"),
        ("criterion", "the criterion holds"),
    ):
        cell = make.closed(f"notes/flip-{what}", found[what], "root in σ12, closed forms")
        yield Note(label=f"{model}: σ12 above which {words}", cell=cell)


def _document(
    name: str,
    number: str,
    title: str,
    caption: str,
    *,
    row_label: str,
    columns: Sequence[tuple[str, str]],
    rows: Sequence[Row],
    cells: Sequence[Cell],
    notes: Sequence[Note],
) -> Document:
    return Document(
        format=FORMAT,
        id=name,
        kind="table",
        number=number,
        title=title,
        caption=caption,
        study=None,
        row_label=row_label,
        deviations=(),
        columns=tuple(
            Column(key=key, label=label, unit=None, style=None) for key, label in columns
        ),
        rows=tuple(rows),
        panels=(),
        cells={cell.key: cell for cell in cells},
        notes=tuple(notes),
    )


DOCUMENTS = {"theory": risk_document, "theory-region": region_document}
"""What makes each table of the target ``theory``."""
