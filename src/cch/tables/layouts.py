"""All tables and figures of a configuration, by name."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from cch.base.errors import CchError
from cch.base.files import parse_yaml
from cch.config import Config, Study
from cch.tables.layout import Layout
from cch.tables.study_layouts import pairs_layout, study_layouts


def load_layouts(path: str | Path) -> dict[str, Layout]:
    """Return the layouts of ``paper/tables.yaml`` by name.

    Raises:
        CchError: one line with the wrong key.
    """
    try:
        raw = parse_yaml(Path(path).read_text(encoding="utf-8"))
        return {name: Layout.model_validate(entry) for name, entry in raw.items()}
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise CchError(path, f"{error.title} {key}: {first['msg']}") from None
    except yaml.YAMLError as error:
        raise CchError(path, f"is no YAML: {' '.join(str(error).split())}") from None


def all_layouts(config: Config, path: str | Path) -> dict[str, Layout]:
    """Return the paper's layouts over configured studies, every study's own, and those of pairs.

    Raises:
        CchError: ``paper/tables.yaml`` has a wrong key.
    """
    layouts = {}
    for name, layout in load_layouts(path).items():
        layout = _configured_rows(layout, config)
        if all(study in config.studies for study in layout.studies):
            layouts[name] = layout
    entries: dict[str, dict[str, Study]] = {}
    for name, study in config.studies.items():
        layouts |= study_layouts(name, study)
        if study.entry:
            entries.setdefault(study.entry, {})[name] = study
    for entry, studies in entries.items():
        layouts[f"pairs-{entry}"] = pairs_layout(entry, studies)
    return layouts


def _configured_rows(layout: Layout, config: Config) -> Layout:
    """The layout without the rows of studies that the configuration does not have."""
    if layout.rows == "levels":
        return layout
    rows = [row for row in layout.rows if row.study is None or row.study in config.studies]
    return layout.model_copy(update={"rows": rows})
