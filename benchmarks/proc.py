"""What Linux says of processes: children, CPU time, memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PPID = 1  # of the fields of /proc/PID/stat after the command's name


@dataclass(frozen=True)
class Memory:
    """What a process has in memory, in MiB.

    Attributes:
        rss: its pages, those shared with others included.
        pss: its pages, a page of n processes counting an nth.
    """

    rss: float
    pss: float


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that live."""
    return [each for each in _all() if _stat(each)[_PPID : _PPID + 1] == [str(pid)]]


def parent(pid: int) -> int:
    """Return the process that has started this one."""
    return int(_stat(pid)[_PPID])


def family(pids: Iterable[int]) -> list[int]:
    """Return these processes, and all that they have started, and so on."""
    parents = {each: fields[_PPID] for each in _all() if len(fields := _stat(each)) > _PPID}
    known = list(pids)
    for pid in known:  # it grows meanwhile
        known += [child for child, by in parents.items() if by == str(pid)]
    return known


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time that the living threads of processes have used, by the scheduler's clock."""
    threads = [thread for pid in pids for thread in Path(f"/proc/{pid}/task").glob("*")]
    return sum(int(_read(thread / "schedstat").partition(" ")[0] or 0) for thread in threads) / 1e9


def memory(pid: int) -> Memory:
    """Return what a process has in memory."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return Memory(rss=kib["Rss"] / 1024, pss=kib["Pss"] / 1024)


def _all() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """Return the fields after the command's name, which may have spaces; none if the process has ended."""
    return _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
