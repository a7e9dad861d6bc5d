"""The selection stage: choose features of one modality of a dataset, for every seed.

Each seed has its own split and so its own choice; if the dataset fixes the split there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cch.base.errors import CchError
from cch.base.files import sha256_file
from cch.base.progress import Progress
from cch.config.specs import SelectSpec
from cch.data.paired import PairedDataset, split_of
from cch.data.selection import Selection, select_features, write_selection

SHOWN = 10
"""Number of feature names that a record lists."""


def select(spec: SelectSpec, dataset: str | Path, out: str | Path) -> dict[str, str]:
    """Select a modality's features on the training rows of every seed and write the file.

    Args:
        spec: the modality, with values (N, D), and how to select.
        dataset: the dataset file.
        out: the selection file to write.

    Returns:
        A summary of the choice, in words.

    Raises:
        CchError: the modality is no table or has infinite values, or fewer features differ
            between classes than are requested.
    """
    with PairedDataset(dataset) as opened:
        return _select(spec, opened, out)


def _select(spec: SelectSpec, dataset: PairedDataset, out: str | Path) -> dict[str, str]:
    asked, modality = spec.selection, spec.modality
    values = dataset.values(modality)
    if values.ndim != 2:
        raise CchError(
            spec.dataset,
            f"modality {modality!r} has samples of shape {values.shape[1:]}, not a row of features",
        )
    split = split_of(spec.split, spec.dataset)
    names = dataset.feature(modality) or [str(number) for number in range(values.shape[1])]
    progress = Progress(f"{spec.dataset} selection, {modality}", spec.seeds, "splits")
    selections: dict[int, Selection] = {}
    for seed in range(spec.seeds):
        selections[seed] = select_features(
            values,
            dataset.label,
            dataset.rows("train", seed, split),
            asked.features or values.shape[1],
            asked.rows,
            asked.method,
            names=names,
        )
        progress.advance(1)
    digest = sha256_file(dataset.path)
    write_selection(out, selections, names=names, modality=modality, dataset=digest)
    return _in_words(selections, len(names))


def _in_words(selections: Mapping[int, Selection], features: int) -> dict[str, str]:
    chosen = [one.names for one in selections.values()]
    first, always = selections[0], set(chosen[0]).intersection(*chosen[1:])
    return {
        "chosen": f"{len(first.names):,} of {features:,} features by {first.method}, on "
        f"{'training' if first.rows == 'train' else 'all'} rows of {len(chosen)} splits",
        "first of seed 0": _some(first.names),
        "in every split": _some([name for name in first.names if name in always]),
    }


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more if names else "none"
