"""What the benchmarks that run programs in turn have in common: costs, rounds and their table."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Cost(NamedTuple):
    wall: float  # seconds
    cpu: float   # of the program and what it waited for
    peak: int    # bytes that the largest of these processes had in memory


def measure(command, accept=(0,)):
    """Runs it; output is thrown away. A text is for the shell. `accept`: how it may end."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, shell=isinstance(command, str),
                               executable="/bin/bash" if isinstance(command, str) else None)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in accept:
        sys.exit(f"{sys.argv[0]}: {command} ended with {process.returncode}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10)


def rounds(programs, runs, before_each=None, accept=(0,)):
    """Costs by name, a list with one per round; every program takes its turn within each."""
    costs = {name: [] for name, _ in programs}
    for _ in range(runs):
        for name, command in programs:
            if before_each:
                before_each()
            costs[name].append(measure(command, accept))
    return costs


def median(costs, field):
    return statistics.median(getattr(cost, field) for cost in costs)


def ratio(costs, own, field):
    """The median over the rounds of the one divided by the other."""
    return statistics.median(getattr(cost, field) / max(getattr(ours, field), 1e-9)
                             for cost, ours in zip(costs, own))


def have(program, missing):
    if shutil.which(program):
        return True
    missing.append(program)
    return False
