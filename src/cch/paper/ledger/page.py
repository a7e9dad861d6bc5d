"""Generate ``docs/ledger.md``, the checks and their findings, from the transcription."""

from __future__ import annotations

from cch.paper.ledger.build import build_ledger
from cch.paper.ledger.render import flag_sections
from cch.tables.claims import Claims

HEAD = """# Checks of the paper's numbers

Written by `cch docs --write` from `paper/claims.yaml`; a test compares it with the checks.

`paper/claims.yaml` holds every numeric cell of Tables 1 to 21, the numbers of captions, and
settings as the text states them. `paper/verify TEXT` compares all of them with the paper's text,
number by number in the order of printing, and ends with exit status 1 and a list of differences if
there are any. The text itself is not in this repository.

`cch ledger` prints the counts per table and every flag; `--table table06` keeps one table,
`--json` prints all. It needs no results. With results (`snakemake ledger`, part of `all`)
`results/ledger.json` and `results/ledger.md` also compare our number with each printed one. Their
fields: `src/cch/paper/ledger/build.py`.

The checks read the printed numbers alone. A **contradiction** is a set of printed statements that
cannot all be right, or an impossible number. A **caution** contradicts nothing, but the number
supports less than it seems to. A contradiction gives the cells that it questions the verdict "the
paper disagrees with itself"; other cells in its arithmetic keep theirs.

Where results have a number of ours, the verdict of a cell is that of `results/comparison.md` (two
95 % intervals, `src/cch/tables/compare.py`), or "not comparable" where our number comes from
stand-in data or from settings other than the paper's.

Two facts do not come from the paper: the class counts of MNIST's test set (for Fano's bound), and
that a test share of 10 % is rounded up, as by scikit-learn. CMU-MOSEI's class counts are not
printed, so Fano's bound is not checked there. BRCA's fusion has five classes and 13 to 36 errors,
too many confusion matrices to list.

## Bounds and their direction

- **Fano** bounds I(H; Y) from below by the accuracy of any classifier of H. A printed accuracy can
  therefore contradict a printed I(H; Y) that is too small.
- **Hellman and Raviv** (1970) bound the error of the *best* classifier of H from above: at most
  H(Y | H) / 2 in bits. A head with a larger error contradicts nothing. It shows that the head is
  far from the best classifier, that I(H; Y) is too high or in bits, or that it was estimated on
  other rows than the accuracy. H(Y) is at most ln K, which is enough here, so CMU-MOSEI is checked.
  Weighted F1 is no accuracy, and the fused networks are not those whose information is printed, so
  Tables 5 to 8 and 20 are not checked.
- **Data processing.** A noisier input of the teacher has no more information on the student's input
  than a cleaner one, and a stronger blur none more than a weaker one. An estimate of I(T; S) that
  rises with the noise is off by at least the rise, unless the frozen teacher keeps of the noisier
  input what it discards from the cleaner one. A rise within rounding or two printed errors is not
  reported.
- **Order.** The paper suggests that a larger gap goes with a larger gain (Section 4.3). A pair of
  rows is reversed where the larger gap has the smaller gain, both beyond rounding and two combined
  printed errors. Between tables only gains in one metric are compared, and only where any mix of
  nats and bits gives the gaps the same order. Tables 5 to 8 and 20 print no errors; there the order
  is that of the printed numbers, and a reversal may be noise.

## In short

- **Units.** Four printed I(H; Y) exceed H(Y) in nats and none does in bits. So KIPAN's and LIHC's
  numbers can only be bits; BRCA's may be either. Table 1, by the same estimator, says nats.
- **Too little information on images.** Three numbers I(H; Y) on MNIST and MNIST-M are smaller
  than the printed accuracies allow in nats, and more so in bits. Estimates that low are biased,
  and the gap with them.
- **Sign of the gap.** With I(S; Y) at Fano's bound, Table 13's two positive gaps are negative,
  beside printed gains of 0.0146 and 0.0087.
- **Too much information on text.** The text teacher of CMU-MOSEI has an error of 0.281. At its
  printed I(H; Y) the best classifier has an error of at most 0.162 if the unit is nats, and 0.266
  if it is bits, which agrees with it within the printed errors.
- **Rising information.** I(T; S) rises by 0.0180 from 60 % to 80 % noise on KIPAN and by 0.0037
  from 40 % to 60 % on LIHC.
- **Order of gains.** The larger gap has the smaller gain in 9 of 100 pairs within tables (3 of them
  by Table 4's swapped columns) and in 31 of 166 pairs between tables. Of KIPAN's and LIHC's 25
  pairs it is 10, of CMU-MOSEI's and BRCA's 10 pairs 6.
- **Swapped columns.** Table 4's student without KD changes with the teacher's noise, its student
  with KD does not. With the two headings exchanged Tables 3 and 4 agree, and no pair of
  Table 4 is reversed.
- **One quantity, two values.** I(teacher; student) on BRCA is 0.5005 in Table 5 and 0.5057 in
  Table 20. I(teacher; label) of the MNIST teacher is 2.0485 in Figure 2 and 1.9095 in Table 13,
  although that teacher never sees the student's data.
- **Single runs.** Table 8's figures are four single runs on one test set of 77 patients (7 KICH,
  49 KIRC, 21 KIRP): each has exactly one possible confusion matrix. In accuracy both of its
  conclusions depend on one patient. Table 20's accuracies are counts of 83 patients.
- **Against the claim.** On BRCA with the mRNA teacher Fusion+KD has the lower AUC.
- **Near zero.** At γ = 2.5 a gap of -0.0032 stands beside losses of 0.12 to 0.18. Two of LIHC's
  five gaps are within the smallest noise that the paper prints. Two of its F1 are below that of a
  constant prediction.
- **Settings.** Test size of the synthetic data, split of CMU-MOSEI, cohorts of Table 17, dataset
  of Table 21, outputs of the network for cancer data, what Theorem 1 compares, and Eq. 7, which
  is no covariance matrix at p = 100.

## Every flag
"""


def page(claims: Claims) -> str:
    """Return the page for a transcription."""
    return "\n\n".join([HEAD.rstrip("\n"), *flag_sections(build_ledger(claims))]) + "\n"
