from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from filelock import Timeout

from cch.base.files import digest, process_lock, whole_file, write_json
from cch.base.progress import Progress, clock
from cch.data.rng import keyed_seed, numpy_generator, torch_generator


def test_seeds_depend_on_the_key_and_its_types_alone():
    assert keyed_seed("a", 1) == keyed_seed("a", 1)
    assert (
        len({keyed_seed("a", 1), keyed_seed("a", "1"), keyed_seed("a1"), keyed_seed("a", 2)}) == 4
    )


def test_a_seed_is_the_same_on_every_machine_and_version():
    # Fixed once: a change here changes every number of the project.
    assert keyed_seed("weights", 0, bits=32) == 0x42E30DE7


def test_generators_repeat():
    assert np.array_equal(numpy_generator("k").normal(size=5), numpy_generator("k").normal(size=5))
    first, second = (torch.rand(5, generator=torch_generator("k", 1)) for _ in range(2))
    assert torch.equal(first, second)


def test_whole_file_leaves_nothing_behind_on_failure(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def test_digest_is_blind_to_key_order():
    assert digest({"a": 1, "b": [1.5]}) == digest({"b": [1.5], "a": 1})


def test_progress_line_tells_done_total_rate_and_time_left():
    progress = Progress("study student", 300, "epochs")
    progress.done = 100
    assert progress.line(50.0) == "study student: 100/300 epochs, 2 epochs/s, 1:40 left"
    assert clock(3725) == "1:02:05"


def test_progress_counts_in_larger_units():
    progress = Progress("toy", 300_500, "kB", scale=1000)
    progress.advance(150_250)
    assert progress.line(10) == "toy: 151/301 kB, 15 kB/s, 0:10 left"
    progress.advance(150_250)
    assert progress.line(10).startswith("toy: 301/301 kB")


HOLD = """
import sys, time
from cch.base.files import process_lock
lock = process_lock(sys.argv[1])
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


def test_a_lock_ends_with_its_process_even_when_that_is_killed(tmp_path):
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(Timeout):
        process_lock(path).acquire(timeout=0)
    holder.kill()
    holder.wait()
    with process_lock(path).acquire(timeout=0) as lock:
        assert lock.lock_file == str(path)
