"""The Markdown tables of `benchmarks.edge --models`."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.common import machine_line, markdown_table
from benchmarks.edge.tables import ALLOWED, percent, undelegated

KERAS = "Keras"
HEADER = (
    *("file", "mIoU %", "points lost", "same class %", "size MB", "maps MB", "median / p90 ms"),
    *("conversion GiB", "conversion s, wall / CPU", "not in XNNPACK"),
)
PLACEMENT = ("file", "device", "operators on it", "on the CPU", "Vela: M cycles", "Vela: ms")


def markdown(record: dict) -> str:
    """All tables of a record."""
    parts = [
        machine_line(record),
        f"Measured on {record['images']} validation images, evenly spread, of the data of each "
        "training. Points lost: mIoU of the Keras model minus mIoU of the file. Same class: share "
        "of the pixels with the class of the Keras model. Latency is that of one run of the "
        "network, all files in turn. Maps: memory for the maps of one run as LiteRT plans it, "
        "without weights. Conversion: peak memory of the process, with the Keras model, which "
        "loads TensorFlow in about 0.6 GiB.",
        _losses(record["models"]),
    ]
    for name, found in record["models"].items():
        parts += _model(name, found)
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _losses(models: dict) -> str:
    """Points lost, one line per network."""
    rows = list(dict.fromkeys(row for found in models.values() for row in found["rows"]))
    files = [row for row in rows if row != KERAS]
    lines = [
        (
            name,
            percent(found["rows"].get(KERAS, {}).get("miou")),
            *(_loss(found["rows"].get(row), row) for row in files),
        )
        for name, found in models.items()
    ]
    text = markdown_table(("points of mIoU lost", "Keras mIoU %", *files), lines)
    return f"{text}\nBold: more than 1 point. A dash: refused, or not measured."


def _loss(row: dict | None, name: str) -> str:
    if row is None or "drop" not in row:
        return "-"
    text = f"{row['drop']:.2f}"
    return f"**{text}**" if row["drop"] > ALLOWED.get(name, 1.0) else text


def _model(name: str, found: dict) -> Iterator[str]:
    keras = found["rows"].get(KERAS, {})
    yield f"## {name}"
    if "miou" in keras:
        height, width, _ = keras["input_shape"]
        network = f"{found['network']}, " if found["network"] else ""
        yield f"{network}{keras['parameters']:,} parameters, files for {height}x{width}."
    measured = {row: facts for row, facts in found["rows"].items() if "miou" in facts}
    latency = found.get("latency", {})
    yield markdown_table(
        HEADER, [_cells(row, facts, latency.get(row)) for row, facts in measured.items()]
    )
    placed = [line for row, facts in measured.items() for line in _placement(row, facts)]
    if placed:
        yield markdown_table(PLACEMENT, placed)
    for row, facts in found["rows"].items():
        if "miou" not in facts:
            yield f"{row}: {facts.get('refused') or facts['error']}"
        if facts.get("kept"):
            yield f"{row} keeps in float: {'; '.join(facts['kept'])}."
        if facts.get("clipped"):
            yield f"{row}: its ranges {facts['clipped']}."


def _cells(name: str, row: dict, latency: dict | None) -> tuple[str, ...]:
    times = "" if not latency else f"{latency['median_ms']:.1f} / {latency['p90_ms']:.1f}"
    if name == KERAS:
        return (name, percent(row["miou"]), *[""] * 4, times, *[""] * 3)
    maps = row["maps_bytes"]
    return (
        name,
        percent(row["miou"]),
        f"{row['drop']:.2f}",
        percent(row["agreement"]),
        f"{row['size_bytes'] / 1e6:.2f}",
        "" if maps is None else f"{maps / 1e6:.1f}",
        times,
        f"{row['peak_mib'] / 1024:.2f}",
        f"{row['seconds']:.0f} / {row['cpu_seconds']:.0f}",
        undelegated(row) if name.startswith("TFLite") else "",
    )


def _placement(name: str, row: dict) -> Iterator[tuple[str, ...]]:
    """A line per device."""
    compiled = row.get("vela", {})
    for target, facts in row.get("placement", {}).items():
        left = ", ".join(f"{kind} x {count}" for kind, count in facts["left"].items()) or "none"
        count = f"{facts['placed']}/{facts['operators']}"
        if target not in compiled:
            yield (name, target, count, left, "", "")
            continue
        answer = compiled[target]
        if "error" in answer:
            yield (name, target, count, left, answer["error"], "")
            continue
        cycles, time = answer["cycles_total"] / 1e6, answer.get("milliseconds")
        yield (name, target, count, left, f"{cycles:.2f}", f"{time:.1f}" if time else "")
