"""``docs/ledger.md``: what the checks are and what they found, generated from the transcription."""

from __future__ import annotations

from cch.paper.ledger.build import build_ledger
from cch.paper.ledger.render import flag_sections
from cch.tables.claims import Claims

HEAD = """# What is odd about the paper's numbers

Written by `cch docs --write` from `paper/claims.yaml`; a test holds it to the checks.

`paper/claims.yaml` holds every numeric cell of Tables 1 to 21, the numbers of captions, and
settings as the text states them. `paper/verify TEXT` compares all of them with the paper's text,
number by number in the order of printing, and ends with exit status 1 and a list where one
differs. The text itself is not in this repository.

`cch ledger` prints the counts per table and every flag; `--table table06` keeps one table,
`--json` prints all. It needs no results. With them (`snakemake ledger`, part of `all`)
`results/ledger.json` and `results/ledger.md` also say what ours is to each number. Their fields:
`src/cch/paper/ledger/build.py`.

The checks read the printed numbers alone. A **contradiction** is two printed things that cannot
both be right, or a number that is impossible as headed. A **caution** contradicts nothing, but
less can be read from the number than it seems. A contradiction marks the cells that it is about
with the verdict "the paper disagrees with itself"; the numbers beside them in the arithmetic are
not marked.

Where results have a number of ours, the verdict of a cell is that of `results/comparison.md` (two
95 % intervals, `src/cch/tables/compare.py`), or "not comparable" where stand-in data or a setting
other than the paper's reaches it.

What the checks take from elsewhere: the class counts of MNIST's test set (for Fano's bound; the
paper prints none), and that a test share of 10 % is rounded up, as scikit-learn does. CMU-MOSEI's
class mix is not printed, so no bound from an accuracy is checked there. BRCA's fusion has five
classes and 13 to 36 errors, too many confusion matrices to list.

## In short

- **Units.** Four printed I(H; Y) exceed H(Y) in nats and none does in bits. So KIPAN's and LIHC's
  numbers can only be bits; BRCA's may be either. Table 1, by the same estimator, says nats.
- **Too little information on images.** Three numbers I(H; Y) on MNIST and MNIST-M are smaller
  than the printed accuracies allow in nats, and more so in bits. Estimates that low are biased,
  and the gap with them.
- **Swapped columns.** Table 4's student without KD changes with the teacher's noise, its student
  with KD does not. With the two headings exchanged Tables 3 and 4 agree.
- **One quantity, two values.** I(teacher; student) on BRCA is 0.5005 in Table 5 and 0.5057 in
  Table 20. I(teacher; label) of the MNIST teacher is 2.0485 in Figure 2 and 1.9095 in Table 13,
  although that teacher never sees the student's data.
- **Single runs.** Table 8's figures are four single runs on one test set of 77 patients (7 KICH,
  49 KIRC, 21 KIRP): each admits one confusion matrix. In accuracy both of its conclusions rest on
  one patient. Table 20's accuracies are counts of 83 patients.
- **Against the claim.** On BRCA with the mRNA teacher Fusion+KD has the lower AUC.
- **Near zero.** At γ = 2.5 a gap of -0.0032 stands beside losses of 0.12 to 0.18; two of LIHC's
  five gaps are within the smallest noise that the paper prints; two of its F1 are below a
  constant answer's.
- **Settings.** Test size of the synthetic data, split of CMU-MOSEI, cohorts of Table 17, dataset
  of Table 21, outputs of the network for cancer data, what Theorem 1 compares, and Eq. 7, which
  is no covariance at p = 100.

## Every flag
"""


def page(claims: Claims) -> str:
    """The page as it must be for this transcription."""
    return "\n\n".join([HEAD.rstrip("\n"), *flag_sections(build_ledger(claims))]) + "\n"
