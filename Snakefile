# Rebuilds the paper's tables and figures from raw files. What there is to ask for:
#   all                     every study whose raw files can be had (the default)
#   <study>, <group>        e.g. synthetic, mnistm, mnistm-a18
#   <table>, <figure>       e.g. table13, fig02, sweep-synthetic
#   null-lihc               what the estimators give at LIHC's sizes where there is no gap
#   theory                  the paper's formulas beside Monte Carlo; needs no data
#   ledger                  what is odd about the paper's numbers, and what ours say of each
#   report                  the site over the run: results/report/index.html
#   audit                   check every file, cell and printed number of the whole run again
#   export                  the finished run as a Workflow Run RO-Crate: results/crate.zip
#   fetch                   only download
# Settings: config.yaml, overlaid by --configfile presets/{demo,open}.yaml. Name targets before
# --configfile: Snakemake takes every word after it for a file.
from pathlib import Path


configfile: Path(workflow.current_basedir) / "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/select.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/estimate.smk"
include: "workflow/rules/calibrate.smk"
include: "workflow/rules/study.smk"
include: "workflow/rules/tabulate.smk"
include: "workflow/rules/theory.smk"
include: "workflow/rules/ledger.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/export.smk"


rule all:
    default_target: True
    input:
        PLAN.everything(),
        PLAN.report,
    localrule: True


# One target a study, group, table and figure, each with no more than its own needs.
for target, files in PLAN.targets().items():

    rule:
        name:
            target
        input:
            files,
        localrule: True


rule fetch:
    input:
        PLAN.fetchable(),
    localrule: True


rule report:
    input:
        PLAN.report,
    localrule: True


rule export:
    input:
        PLAN.crate,
    localrule: True


rule comparison:
    input:
        PLAN.comparison,
    localrule: True


# What failed for good, a line each, below all that Snakemake and a cluster print.
onerror:
    report_end()


onsuccess:
    report_end()
