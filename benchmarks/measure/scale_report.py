"""Table and curves of `benchmarks.measure.scale`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.common import machine_line, markdown_table

AXES = ("size", "classes", "batch")


HEADER = (
    *("network", "mode", "size", "classes", "batch", "ms, median / p90", "peak MiB"),
    "of them beyond TensorFlow alone",
)


def markdown(record: dict) -> str:
    stream = record["stream"]
    parts = [
        f"{machine_line(record)} Keras in float32, each point in its own process: "
        "`predict_on_batch`, or `train_on_batch` by plain gradient descent.\n",
        markdown_table(HEADER, [_cells(point) for point in record["points"].values()]),
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


def _cells(point: dict) -> tuple:
    mode = "training" if point["training"] else "inference"
    place = (point["network"], mode, *(point[axis] for axis in AXES))
    if "error" in point:
        return (*place, point["error"].replace("|", "/"), "", "")
    return (
        *place,
        f"{point['median_ms']:.0f} / {point['p90_ms']:.0f}",
        point["peak_mib"],
        beyond(point),
    )


def beyond(point: dict) -> int:
    """Memory of a point in MiB, without that of TensorFlow alone."""
    return point["peak_mib"] - point["idle_mib"]


def plot(record: dict, path: Path) -> None:
    """Time above, memory below, one column per axis; and the memory of the stream of images."""
    from matplotlib.figure import Figure

    points = [point for point in record["points"].values() if "error" not in point]
    points = [point | {"beyond_mib": beyond(point)} for point in points]
    figure = Figure((15, 7), layout="constrained")
    panels = figure.subplots(2, len(AXES) + 1)
    words = {"median_ms": "ms, median", "beyond_mib": "MiB beyond TensorFlow alone"}
    for column, axis in enumerate(AXES):
        for row, (key, about) in enumerate(words.items()):
            panel = panels[row, column]
            for name, line in curves(points, axis, key).items():
                panel.plot(*zip(*line, strict=True), marker="o", label=name)
            panel.set(xlabel=axis, ylabel=about, xscale="log", yscale="log")
            places = sorted({place for line in panel.lines for place in line.get_xdata()})
            panel.set_xticks(places, [str(place) for place in places])
            panel.set_xticks([], minor=True)
            panel.grid(alpha=0.3)
    handles, names = panels[0, 0].get_legend_handles_labels()
    panels[1, -1].axis("off")
    panels[1, -1].legend(handles, names, loc="center")
    _plot_stream(record["stream"], panels[0, -1])
    figure.savefig(path, dpi=80)


def _plot_stream(stream: dict, panel) -> None:
    if "error" in stream:
        panel.axis("off")
        return
    panel.plot(stream["seen"], stream["resident_mib"])
    panel.set(xlabel="images through the pipeline", ylabel="MiB of the process")
    panel.set_ylim(0, 1.25 * max(stream["resident_mib"]))
    panel.grid(alpha=0.3)


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
