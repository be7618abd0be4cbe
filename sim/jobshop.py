"""Classical job shops as plant files.

An instance is the usual text: a line `jobs machines`, then a line a job of (machine, time) pairs in the order of its
operations, machines from 0; lines that begin with # are remarks. In the plant each job is a product of which one unit
is made, and all of them enter in one drain at tick 0: CONWIP with cap 1 and a base stock of 1, which the finished unit
fills for good. An operation takes its time in minutes, exactly.
"""

from __future__ import annotations

import sys
from pathlib import Path

Jobs = tuple[tuple[tuple[int, int], ...], ...]
"""(machine, time) of each operation of each job."""

RULES = {
    "SPT": "spt", "LPT": "{work: -1}", "MWKR": "mwkr", "LWKR": "{work_left: 1}", "MOR": "mor", "FIFO": "fifo",
}  # fmt: skip
"""Names of the literature -> `dispatch` of the plant file."""


def read(text: str) -> Jobs:
    """The jobs of an instance. ValueError, with the line, where the text is not one."""
    rows = [
        (n, line.split()) for n, line in enumerate(text.splitlines(), 1) if line.strip() and line.lstrip()[0] != "#"
    ]
    numbers = []
    for n, words in rows:
        if not all(word.isdecimal() for word in words):
            raise ValueError(f"line {n}: expected whole numbers, found {' '.join(words)!r}")
        numbers.append((n, [int(word) for word in words]))
    if not numbers or len(numbers[0][1]) != 2:
        raise ValueError("expected a first line `jobs machines`, found none: write the two numbers before the jobs")
    count, machines = numbers[0][1]
    if len(numbers) - 1 != count:
        raise ValueError(f"expected {count} jobs as the first line says, found {len(numbers) - 1}")
    return tuple(_job(n, row, machines) for n, row in numbers[1:])


def _job(line: int, row: list[int], machines: int) -> tuple[tuple[int, int], ...]:
    operations = tuple(zip(row[::2], row[1::2], strict=False))
    if len(row) % 2 or not row:
        raise ValueError(f"line {line}: expected pairs of machine and time, found {len(row)} numbers")
    for machine, _ in operations:
        if machine >= machines:
            raise ValueError(f"line {line}: machine {machine}, expected 0 to {machines - 1}")
    return operations


def plant_text(text: str, rule: str = "FIFO", line: str = "jobshop", due: int | None = None) -> str:
    """The plant file of an instance. `rule`: a name of `RULES`, or what `dispatch` is to be; `due`: date of all jobs,
    minutes.
    """
    jobs = read(text)
    dispatch = RULES.get(rule.upper(), rule)
    date = f", due: {due} min" if due is not None else ""
    used = sorted({machine for job in jobs for machine, _ in job})
    names = [f"job{j}" for j in range(1, len(jobs) + 1)]
    lines = [
        "plantwin: 1", "site: demo", "area: jobshop", f"line: {line}", "tick: 1 s", "time_unit: min", "products:",
    ]  # fmt: skip
    for name, job in zip(names, jobs, strict=True):
        steps = ", ".join(
            f"{{step: op{i}, station: m{machine}, work: {time} min}}" for i, (machine, time) in enumerate(job, 1)
        )
        lines.append(f"  {name}: {{routing: [{steps}]{date}}}")
    lines += ["stations:", *(f"  m{machine}: {{dispatch: {dispatch}}}" for machine in used)]
    lines += ["release:", *(f"  {name}: {{policy: conwip, cap: 1, base_stock: 1}}" for name in names)]
    lines += ["stocks:", *(f"  {name}_done: {{item: {name}, from: line}}" for name in names)]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """`python -m sim.jobshop INSTANCE [RULE]` prints the plant file of an instance."""
    if not 1 <= len(arguments) <= 2:
        print("usage: python -m sim.jobshop INSTANCE [RULE]", file=sys.stderr)
        return 2
    path, rule = Path(arguments[0]), arguments[1] if len(arguments) > 1 else "FIFO"
    try:
        told = plant_text(path.read_text(encoding="utf-8"), rule, path.stem)
    except (OSError, ValueError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 2
    print(told, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
