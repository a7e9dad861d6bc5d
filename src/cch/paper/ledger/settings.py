"""Checks of settings: contradictory statements, an impossible covariance, missing settings."""

from __future__ import annotations

from cch.paper.ledger.checks import Findings, Flag, check
from cch.paper.ledger.printed import Paper, number
from cch.tables.claims import Statement


@check("stated", "A setting that is stated at several places is the same at all of them")
def stated(paper: Paper) -> Findings:
    """Compare the statements of text, captions and tables about one setting."""
    for name, statements in paper.claims.stated.items():
        said = [(statement, _value(paper, statement)) for statement in statements]
        if len(said) < 2:
            continue
        if len({_plain(value) for _, value in said}) == 1:
            yield None
            continue
        cells = tuple(s.cell for s, _ in said if s.cell and s.doubted)
        yield Flag(
            "stated",
            "contradiction",
            f"{name.replace('-', ' ')}: {' and '.join(s.where for s, _ in said)} differ",
            "; ".join(f"{statement.where}: {value}" for statement, value in said),
            cells=cells,
            beside=tuple(s.cell for s, _ in said if s.cell and not s.doubted),
            tables=("fig02",) if name.startswith("image") and not cells else (),
        )


def _value(paper: Paper, statement: Statement) -> str:
    if statement.value is not None:
        return statement.value
    text = paper[statement.cell or ""].claim.text
    return text if statement.part is None else text.split("/")[statement.part].strip()


def _plain(value: str) -> str:
    squeezed = value.replace(",", "").strip().lower()
    try:
        return repr(float(squeezed))
    except ValueError:
        return value.strip().lower()


@check("covariance", "Eq. 7 is a covariance matrix at the stated p and correlations")
def covariance(paper: Paper) -> Findings:
    """Compute the Schur complement of Y in Eq. 7, which must not be negative.

    With p coordinates of each modality equally correlated with Y, it is 1 - p (s13² + s23² -
    2 s12 s13 s23) / (1 - s12²).
    """
    names = ("features", "sigma-13", "sigma-23", "sigma-12-most")
    values = [paper.claims.stated.get(f"synthetic-{name}") for name in names]
    if not all(values):
        return
    p, s13, s23, most = (float(_value(paper, said[0])) for said in values if said)
    shares = {s12: (s13**2 + s23**2 - 2 * s12 * s13 * s23) / (1 - s12**2) for s12 in (0.0, most)}
    if all(p * share <= 1 for share in shares.values()):
        yield None
        return
    shown = "; ".join(
        f"σ12 = {s12:g}: 1 - {p:g} x {share:.4f} = {1 - p * share:.1f}, not negative up to "
        f"p = {int(1 / share)}"
        for s12, share in shares.items()
    )
    yield Flag(
        "covariance",
        "contradiction",
        f"Eq. 7 is no covariance matrix at p = {p:g}",
        f"1 - p (σ13² + σ23² - 2 σ12 σ13 σ23) / (1 - σ12²) must not be negative; {shown}. The "
        "sampler of Appendix B is a different model, and valid",
        tables=("table09",),
    )


# Settings that training needs by row of the table; ONLY names the optimiser that needs one.
NEEDED = {
    "batch-size": "batch size",
    "momentum": "momentum (SGD)",
    "weight-decay": "weight decay (AdamW)",
}
ONLY = {"momentum": "sgd", "weight-decay": "adamw"}


@check("unstated", "A table of training settings is complete")
def unstated(paper: Paper) -> Findings:
    """Find training settings that such a table does not state."""
    for name, table in paper.claims.tables.items():
        if "optimizer" not in table.rows:
            continue
        optimiser = (table.rows["optimizer"][0] or "").lower()
        missing = [
            words
            for row, words in NEEDED.items()
            if row not in table.rows and ONLY.get(row, optimiser) == optimiser
        ]
        if not missing:
            yield None
            continue
        yield Flag(
            "unstated",
            "caution",
            f"{number(name)} does not state all training settings",
            f"missing: {', '.join(missing)}; its rows: {', '.join(table.rows)}",
            tables=(name,),
        )
    alphas = [c.digits for c in paper.cells.values() if c.column == "alpha"]
    if alphas and "fig05" not in paper.claims.tables:
        yield Flag(
            "unstated",
            "caution",
            "Figure 5 does not state the α of its samples",
            f"Appendix C: α = 0.2 for Table 1 and Figure 2, α = {', '.join(alphas)} for Table 13",
            tables=("table13",),
        )
