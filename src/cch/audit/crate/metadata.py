"""The crate's ``ro-crate-metadata.json``.

Profiles: RO-Crate 1.1, Workflow RO-Crate 1.0, and Process, Workflow and Provenance Run Crate 0.5
(https://w3id.org/ro/wfrun/provenance/0.5). The Snakefile is the main entity, its scripts the tools,
its rules the steps; every job is a CreateAction of its script and a ControlAction of its rule.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from cch.audit.crate.contents import Contents, File, Job

Entity = dict[str, Any]

NAME = "ro-crate-metadata.json"
CONTEXT = [
    "https://w3id.org/ro/crate/1.1/context",
    # The one term used beyond it, so that no second context has to be fetched.
    {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"},
]
CRATE = "https://w3id.org/ro/crate/1.1"
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
LANGUAGE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
PAPER = "https://arxiv.org/abs/2510.13182"
MIT = "https://spdx.org/licenses/MIT"
ENGINE, AUTHORS, RUN = "https://pypi.org/project/snakemake/", "#authors", "#run"
WORKFLOW = "Snakefile"
DONE = "http://schema.org/CompletedActionStatus"

FORMATS = {
    ".yaml": "application/yaml", ".yml": "application/yaml", ".smk": "text/x-python",
    ".md": "text/markdown", ".tex": "application/x-tex", ".cff": "application/yaml",
    ".toml": "application/toml", ".j2": "text/x-jinja2", ".js": "text/javascript",
    ".h5": "application/x-hdf5", ".tsv": "text/tab-separated-values", ".gz": "application/gzip",
    ".pkl": "application/octet-stream", ".py": "text/x-python",
}  # fmt: skip

PARAMETERS = {
    "raw-data": "raw files, by address, size and digest",
    "tables": "tables as JSON, CSV, Markdown and LaTeX",
    "figures": "figures as PDF and PNG",
    "report": "the report, the ledger and the comparison with the paper",
}


def metadata(contents: Contents, engine: str) -> Entity:
    """Return the JSON-LD document of a run.

    Args:
        contents: contents of the crate.
        engine: version of Snakemake.
    """
    described = _described(contents)
    properties: dict[str, Entity] = {}
    jobs = [_job(contents, job, n, properties) for n, job in enumerate(contents.jobs)]
    graph = [
        _entity(NAME, "CreativeWork", about=_ref("./"), conformsTo=_refs([CRATE, WORKFLOW_CRATE])),
        _root(contents, [_id(file) for file, _ in described]),
        *_static(engine),
        *_workflow(contents),
        *_run(contents),
        *(_file(contents, file, made) for file, made in described),
        *(entity for job in jobs for entity in job),
        *properties.values(),
    ]
    return {"@context": CONTEXT, "@graph": [_compacted(entity) for entity in graph]}


def _entity(identifier: str, kind: str | list[str], /, **properties: Any) -> Entity:
    return {"@id": identifier, "@type": kind, **properties}


def _ref(name: str) -> Entity:
    return {"@id": name}


def _refs(names: Iterable[str]) -> list[Entity]:
    return [_ref(name) for name in dict.fromkeys(names)]


def _compacted(entity: Entity) -> Entity:
    """Return an entity without empty lists, and lists of one as their item: RO-Crate 1.1."""
    shorter = {k: v[0] if isinstance(v, list) and len(v) == 1 else v for k, v in entity.items()}
    return {key: value for key, value in shorter.items() if value != []}


def _id(file: File) -> str:
    """Return a file's identifier; a path is quoted as a URI."""
    return quote(file.id) if file.place else file.id


def _described(contents: Contents) -> list[tuple[File, bool]]:
    """Return files with their own entities, each with whether the run made it, once per bytes."""
    found: dict[str, tuple[File, bool]] = {}
    for made, files in ((True, contents.files.values()), (False, contents.records)):
        found |= {_id(file): (file, made) for file in files if _id(file) not in found}
    tools = {WORKFLOW, *(job.script for job in contents.jobs)}
    found |= {_id(file): (file, False) for file in contents.sources if file.path not in tools}
    return [found[name] for name in sorted(found)]


def _root(contents: Contents, described: list[str]) -> Entity:
    """Return the root: what the crate is, and its parts."""
    tools = [WORKFLOW, *(job.script for job in contents.jobs)]
    about = (
        "A finished run of a workflow that rebuilds the paper on the Cross-modal Complementarity "
        "Hypothesis: tables, figures, report, ledger, the record of every job, and the sources. "
        "Datasets, models and raw files are named by address, size and SHA-256."
    )
    if contents.other_code:
        others = (f"{name}: commit {', '.join(c)}" for name, c in contents.other_code.items())
        about += f" The sources are not those of the run for {'; '.join(others)}."
    return _entity(
        "./",
        "Dataset",
        name=f"A run of cch: {contents.name}",
        description=about,
        datePublished=contents.ended.isoformat(),
        license=_ref(MIT),
        author=_ref(AUTHORS),
        citation=_ref(PAPER),
        conformsTo=_refs(PROFILES),
        mainEntity=_ref(WORKFLOW),
        hasPart=_refs(sorted([*tools, *described])),
        mentions=_refs([RUN, *(f"#job-{n}" for n in range(len(contents.jobs)))]),
    )


def _static(engine: str) -> list[Entity]:
    """Return the entities that are the same in every crate: profiles, terms, software."""
    snakemake = _ref("https://snakemake.github.io")
    article = "Information-Theoretic Criteria for Knowledge Distillation in Multimodal Learning"
    return [
        *(
            _entity(name, "CreativeWork", name=title, version=version)
            for name, (title, version) in PROFILES.items()
        ),
        *(
            _entity(f"#{name}", "FormalParameter", additionalType="File", name=name,
                    description=about, multipleValues=True)
            for name, about in PARAMETERS.items()
        ),
        _entity(BIOSCHEMAS, "CreativeWork", name="ComputationalWorkflow profile",
                version="1.0-RELEASE"),
        _entity(MIT, "CreativeWork", name="MIT License", identifier=MIT),
        _entity(AUTHORS, "Organization", name="The cch contributors"),
        _entity(PAPER, "ScholarlyArticle", name=article),
        _entity(LANGUAGE, "ComputerLanguage", name="Snakemake", url=snakemake,
                identifier=_ref("https://doi.org/10.1093/bioinformatics/bts480")),
        _entity("#python", "ComputerLanguage", name="Python", url=_ref("https://www.python.org")),
        _entity(ENGINE, "SoftwareApplication", name="Snakemake", softwareVersion=engine,
                url=snakemake),
    ]  # fmt: skip


def _workflow(contents: Contents) -> list[Entity]:
    """Return the workflow, its tools and its steps."""
    rules = {job.content["rule"]: job.script for job in contents.jobs}
    by_path = {file.path: file for file in contents.sources}
    scripts = sorted(set(rules.values()))
    codes: dict[str, set[str]] = {}
    for job in contents.jobs:
        codes.setdefault(job.script, set()).add(f"sha256:{job.content['code']['digest']}")
    commits = sorted({job.content["code"].get("commit", "") for job in contents.jobs} - {""})
    workflow = _entity(
        _id(by_path[WORKFLOW]),
        ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        **_bytes(by_path[WORKFLOW]),
        name="cch",
        conformsTo=_ref(BIOSCHEMAS),
        programmingLanguage=_ref(LANGUAGE),
        license=_ref(MIT),
        version=", ".join(commits) or "unknown",
        hasPart=_refs(scripts),
        step=_refs(f"#rule-{rule}" for rule in rules),
        input=_refs(["#raw-data"]),
        output=_refs(["#tables", "#figures", "#report"]),
    )
    tools = [
        _entity(
            _id(by_path[script]),
            ["File", "SoftwareSourceCode"],
            **_bytes(by_path[script]),
            name=script,
            programmingLanguage=_ref("#python"),
            version=", ".join(sorted(codes[script])),
        )
        for script in scripts
    ]
    steps = [
        _entity(f"#rule-{rule}", "HowToStep", name=rule, position=str(n), workExample=_ref(script))
        for n, (rule, script) in enumerate(rules.items(), start=1)
    ]
    return [workflow, *tools, *steps]


def _run(contents: Contents) -> list[Entity]:
    """Return the run as a whole, and the engine's execution of it."""
    parts = {_id(file): _part(contents, file) for file in contents.files.values()}
    start = min(job.started for job in contents.jobs)
    times = {"startTime": start.isoformat(), "endTime": contents.ended.isoformat()}
    return [
        _entity(
            RUN,
            "CreateAction",
            name=f"Run of the workflow into {contents.name}",
            description=f"{len(contents.jobs)} jobs",
            instrument=_ref(WORKFLOW),
            object=_refs(name for name, part in parts.items() if part == "raw-data"),
            result=_refs(name for name, part in parts.items() if part not in ("", "raw-data")),
            actionStatus=DONE,
            **times,
        ),
        _entity(
            "#engine",
            "OrganizeAction",
            name="Snakemake's execution of the workflow",
            instrument=_ref(ENGINE),
            object=_refs(f"#control-{n}" for n in range(len(contents.jobs))),
            result=_ref(RUN),
            **times,
        ),
    ]


def _part(contents: Contents, file: File) -> str:
    """Return the workflow's parameter that a file is an example of, or '' for intermediates."""
    if file.raw:
        return "raw-data"
    top = file.path.removeprefix(f"{contents.name}/").partition("/")[0].partition(".")[0]
    return {"ledger": "report", "comparison": "report"}.get(top, top if top in PARAMETERS else "")


def _bytes(file: File) -> Entity:
    """Return format, digest and size of a file."""
    suffix = "." + file.path.rpartition(".")[2]
    guessed = FORMATS.get(suffix) or mimetypes.types_map.get(suffix, "text/plain")
    size = {} if file.bytes is None else {"contentSize": str(file.bytes)}
    return {"encodingFormat": guessed, "sha256": file.sha256, **size}


def _file(contents: Contents, file: File, made: bool) -> Entity:
    entity = _entity(_id(file), "File", name=file.path, **_bytes(file))
    if file.path == "README.md":
        entity["about"] = _ref("./")
    if not made:
        return entity
    if part := _part(contents, file):
        entity["exampleOfWork"] = _ref(f"#{part}")
    same = [f.path for f in contents.files.values() if _id(f) == _id(file)]
    if len(same) > 1:
        entity["alternateName"] = same[1:]
    if file.raw:
        entity |= _origin(file.raw)
    if file.generator:
        facts = (f"{key} {value}" for key, value in file.generator.items())
        entity["description"] = "Made by a generator: " + ", ".join(facts)
    return entity


def _origin(raw: dict[str, Any]) -> Entity:
    """Return address, date and licence of a raw file."""
    about = f"Taken from {raw['address']}."
    if made := raw.get("generator"):
        about = f"Generated: {made['kind']}, seed {made['seed']}."
    if raw.get("stand_in"):
        about += f" {raw['stand_in']}"
    optional = {"usageInfo": raw.get("licence"), "citation": raw.get("citation")}
    known = {key: value for key, value in optional.items() if value}
    return {"description": about, "sdDatePublished": raw["retrieved"], **known}


def _job(contents: Contents, job: Job, number: int, properties: dict[str, Entity]) -> list[Entity]:
    """Return a job as an action of its script, and the engine's step for it."""
    record = job.content
    code, environment = record["code"], record["environment"]
    facts = {
        "code": code["digest"],
        "commit": code.get("commit", "unknown") + (" (dirty)" if code.get("dirty") else ""),
        "device": record.get("device", "cpu"),
        "threads": record.get("threads"),
        "environment": environment.get("digest"),
        **{key: environment.get(key) for key in ("python", "platform", "processor")},
    }
    given = {key: value for key, value in record["params"].items() if key != "code"}
    inputs = [contents.files[path] for path in record["inputs"] if path in contents.files]
    action = _entity(
        f"#job-{number}",
        "CreateAction",
        name=f"{record['rule']}: {job.record.removesuffix('.record.json')}",
        description=f"{record['seconds']:g} s; recorded in {job.record}",
        instrument=_ref(job.script),
        object=_refs([*map(_id, inputs), *_properties("given", given, properties)]),
        result=_refs(_id(contents.files[path]) for path in record["outputs"]),
        startTime=job.started.isoformat(),
        endTime=job.ended.isoformat(),
        actionStatus=DONE,
        subjectOf=_ref(quote(job.record)),
        additionalProperty=_refs(_properties("by", facts, properties)),
    )
    control = _entity(
        f"#control-{number}",
        "ControlAction",
        name=f"{record['rule']} {number}",
        instrument=_ref(f"#rule-{record['rule']}"),
        object=_ref(f"#job-{number}"),
        actionStatus=DONE,
    )
    return [action, control]


def _properties(kind: str, facts: dict[str, Any], known: dict[str, Entity]) -> list[str]:
    """Add names with values to ``known``, each once, and return their identifiers."""
    found = []
    for name, value in facts.items():
        if value is not None:
            new = f"#{kind}-{name}-{len(known)}"
            entity = _entity(new, "PropertyValue", name=name, value=str(value))
            found.append(known.setdefault(f"{kind} {name} {value}", entity)["@id"])
    return found
