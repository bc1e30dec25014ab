"""The common form of all benchmark records, so that one program can read them.

At its top:

    machine    processor, cores, memory_gib, python, threads, load_average
    versions   package -> version, of this side
    peers      (where there are any) name -> {package: version}

Wherever something was repeated, one object with

    median_ms, p90_ms, samples    of the repeats; other units end otherwise: median_mib, ...
    ratio, ratio_to               (where samples were taken in turn) median over the rounds of its
                                  value divided by that of `ratio_to`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

MACHINE = ("processor", "cores", "python", "threads", "load_average")


def check(record: Mapping) -> None:
    """Raises ValueError with everything in which a record differs from this form."""
    faults = [f"no {key!r} at the top" for key in ("machine", "versions") if key not in record]
    faults += [f"machine: no {key!r}" for key in MACHINE if key not in record.get("machine", {})]
    for place, found in timings(record):
        faults += [f"{place}: {fault}" for fault in _faults(found)]
    if faults:
        raise ValueError(
            f"A benchmark record does not follow benchmarks/schema.py: {'; '.join(faults)}."
        )


def timings(record, place: str = "record") -> Iterator[tuple[str, Mapping]]:
    """(place, object) of everything that was measured repeatedly, at any depth."""
    if isinstance(record, Mapping):
        if any(str(key).startswith("median_") for key in record):
            yield place, record
        for key, value in record.items():
            yield from timings(value, f"{place}[{key!r}]")
    elif isinstance(record, (list, tuple)):
        for i, value in enumerate(record):
            yield from timings(value, f"{place}[{i}]")


def _faults(found: Mapping) -> Iterator[str]:
    for key in found:
        if not key.startswith("median_"):
            continue
        unit = key.removeprefix("median_")
        for needed in (f"p90_{unit}", "samples"):
            if needed not in found:
                yield f"{key} without {needed}"
                continue
        low, high = found[key], found.get(f"p90_{unit}", found[key])
        if not 0 <= low <= high:
            yield f"median {low} and 90th percentile {high}"
    if ("ratio" in found) != ("ratio_to" in found):
        yield "only one of ratio and ratio_to"
