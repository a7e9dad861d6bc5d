"""Build wheels that hold the workflow too, as ``cch/share``; all else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHARED = ("Snakefile", "config.yaml", "workflow", "paper", "presets", "envs", "slurm", "docs")


class BuildWithWorkflow(build_py):
    """Copy the workflow beside the library, unless the installation is editable."""

    def run(self):
        """Build the package."""
        super().run()
        if self.editable_mode:
            return
        share = Path(self.build_lib, "cch", "share")
        shutil.rmtree(share, ignore_errors=True)
        share.mkdir(parents=True)
        ignored = shutil.ignore_patterns("__pycache__", "images")
        for name in SHARED:
            if Path(name).is_dir():
                shutil.copytree(name, share / name, ignore=ignored)
            else:
                shutil.copy(name, share / name)


setup(cmdclass={"build_py": BuildWithWorkflow})
