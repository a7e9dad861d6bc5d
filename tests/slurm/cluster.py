"""A real SLURM of one node with two stand-in GPUs, in a folder and on ports of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
NULL_DEVICE = os.makedev(1, 3)
# Where clients look. Snakemake clears SLURM_* inside of jobs, so a variable would not do.
CONFIGURED = Path("/etc/slurm/slurm.conf")

CONFIGURATION = """\
ClusterName=test
SlurmctldHost=localhost
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SwitchType=switch/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1
GresTypes=gpu
ReturnToService=2
MinJobAge=300
MaxArraySize=1001
KillWait=3
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
JobRequeue=0
NodeName=localhost CPUs={cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={cpus} ThreadsPerCore=1 \
RealMemory={memory} Gres=gpu:2 State=UNKNOWN
PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why no cluster can be started here; empty where one can."""
    absent = [name for name in NEEDED if not shutil.which(name)]
    if absent:
        return f"needs {', '.join(absent)} (Debian: slurm-wlm, munge)"
    if os.geteuid() != 0:
        return "needs root, as SLURM's daemons do here"
    if CONFIGURED.exists():
        return f"there is a SLURM here already ({CONFIGURED}), which is left alone"
    return ""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(ready: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Return once ``ready()`` holds; fail with ``what`` was awaited."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.2)


@dataclass
class Cluster:
    """The daemons, and a link to their configuration where clients look for it.

    Attributes:
        folder: holds configuration, keys, state, spool and logs.
    """

    folder: Path
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Write the configuration, start munge, controller and node, and wait until it is idle."""
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        for number in range(2):
            os.mknod(self.folder / f"gpu{number}", 0o666 | stat.S_IFCHR, NULL_DEVICE)
        controller, daemon = free_ports(2)
        cpus = os.cpu_count() or 1
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        content = CONFIGURATION.format(
            folder=self.folder, controller=controller, daemon=daemon, cpus=cpus, memory=memory
        )
        (self.folder / "slurm.conf").write_text(content)
        CONFIGURED.parent.mkdir(parents=True, exist_ok=True)
        CONFIGURED.unlink(missing_ok=True)  # a link to a folder that is gone
        CONFIGURED.symlink_to(self.folder / "slurm.conf")
        devices = f"NodeName=localhost Name=gpu File={self.folder}/gpu[0-1]\n"
        (self.folder / "gres.conf").write_text(devices)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        self._daemon(
            "munged", "--foreground", "--force", f"--key-file={key}",
            f"--socket={self.folder}/munge.socket", f"--pid-file={self.folder}/munged.pid",
            f"--log-file={self.folder}/munged.log", f"--seed-file={self.folder}/munge.seed",
        )  # fmt: skip
        wait_for(lambda: (self.folder / "munge.socket").exists(), "munge")
        configuration = str(self.folder / "slurm.conf")
        self._daemon("slurmctld", "-D", "-f", configuration)
        self._daemon("slurmd", "-D", "-N", "localhost", "-f", configuration)
        wait_for(lambda: "idle" in self.ask("sinfo", "--noheader", "-o", "%T"), "an idle node")

    def _daemon(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.out").open("wb") as output:
            self.daemons.append(
                subprocess.Popen(
                    [shutil.which(command[0]) or command[0], *command[1:]],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            )

    def ask(self, *command: str) -> str:
        """Run one of SLURM's commands and return what it prints; empty where it fails."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout if done.returncode == 0 else ""

    def allocations(self) -> dict[str, tuple[datetime, datetime]]:
        """From when to when each job that ended by itself had its node, by its number.

        Allocations, not the work in them: two short jobs that held their GPUs at one time may well
        have computed one after the other.
        """
        log = (self.folder / "slurmctld.log").read_text(encoding="utf-8", errors="replace")
        event = r"^\[(\S+)\] {}JobId=(\w+)"
        began = re.findall(event.format(r".*\b(?:Allocate|Started) "), log, re.M)
        ended = re.findall(event.format("_job_complete: ") + r"\S* done", log, re.M)
        starts = {job: datetime.fromisoformat(when) for when, job in began}
        return {job: (starts[job], datetime.fromisoformat(when)) for when, job in ended}

    def stop(self) -> None:
        """Cancel what runs and end the daemons."""
        self.ask("scancel", "--user=root")
        for daemon in reversed(self.daemons):
            daemon.send_signal(signal.SIGTERM)
        for daemon in reversed(self.daemons):
            try:
                daemon.wait(timeout=15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        CONFIGURED.unlink(missing_ok=True)
