"""Table and curves of `benchmarks.scale`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.common import machine_line, markdown_table

AXES = ("size", "classes", "batch")


def markdown(record: dict) -> str:
    header = ("point", "ms, median / p90", "peak MiB", "more than TensorFlow alone, MiB")
    stream = record["stream"]
    parts = [
        f"{machine_line(record)} Keras in float32, each point a process of its own.\n",
        markdown_table(header, [_cells(*point) for point in record["points"].items()]),
        "## Images through the training pipeline\n",
    ]
    if "error" in stream:
        return "\n".join([*parts, f"{stream['images']:,} images: {stream['error']}\n"])
    return "\n".join(
        [
            *parts,
            f"{stream['images']:,} images, {stream['images_per_second']:.0f} a second. Memory of "
            f"the process {stream['median_mib']:.0f} MiB, 90th percentile {stream['p90_mib']:.0f};"
            f" from the first tenth to the end it grew by {stream['growth_mib']:.1f} MiB.\n",
        ]
    )


def _cells(name: str, point: dict) -> tuple:
    if "error" in point:
        return (name, point["error"].replace("|", "/"), "", "")
    return (
        name,
        f"{point['median_ms']:.0f} / {point['p90_ms']:.0f}",
        point["peak_mib"],
        point["peak_mib"] - point["idle_mib"],
    )


def plot(record: dict, path: Path) -> None:
    """Time above, memory below, a column an axis; and the memory of the stream of images."""
    from matplotlib.figure import Figure

    points = [point for point in record["points"].values() if "error" not in point]
    figure = Figure((14, 7), layout="constrained")
    panels = figure.subplots(2, len(AXES) + 1)
    for column, axis in enumerate(AXES):
        for row, key in enumerate(("median_ms", "peak_mib")):
            for name, line in curves(points, axis, key).items():
                panels[row, column].plot(*zip(*line, strict=True), marker="o", label=name)
            panels[row, column].set(xlabel=axis, xscale="log", yscale="log")
            panels[row, column].set_ylabel(("ms", "peak MiB")[row])
    panels[0, 0].legend(fontsize=7)
    stream = record["stream"]
    if "error" not in stream:
        panels[0, -1].plot(stream["seen"], stream["resident_mib"])
        panels[0, -1].set(xlabel="images seen", ylabel="resident MiB", ylim=(0, None))
    panels[1, -1].axis("off")
    figure.savefig(path, dpi=80)


def curves(points: list[dict], axis: str, key: str) -> dict[str, list[tuple]]:
    """Network and mode → (place on the axis, value), of points that differ on this axis alone."""
    others = [other for other in AXES if other != axis]
    usual = {o: min(p[o] for p in points if _is_base(points, p, o)) for o in others}
    found: dict[str, list[tuple]] = {}
    for point in sorted(points, key=lambda point: point[axis]):
        if all(point[other] == usual[other] for other in others):
            mode = "training" if point["training"] else "inference"
            found.setdefault(f"{point['network']}, {mode}", []).append((point[axis], point[key]))
    return found


def _is_base(points: list[dict], point: dict, axis: str) -> bool:
    """Whether the place of a point on an axis is the one that most points share."""
    count = lambda value: sum(p[axis] == value for p in points)  # noqa: E731
    return count(point[axis]) == max(count(p[axis]) for p in points)
