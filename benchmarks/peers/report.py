"""Tables and bar charts of `benchmarks.peers`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.common import machine_line, markdown_table
from benchmarks.peers.paths import REFERENCE

HEADER = (
    *("way", "ms, median / p90", f"x {REFERENCE}", "largest difference", "same class %"),
    *("import s", "load s", "first run s", "peak MiB"),
)
OTHER_HEADER = (
    *("network", "size", "parameters M", "billion multiply-adds", "ms, median / p90"),
    *("import s", "load s", "first run s", "peak MiB"),
)


def best(case: dict, precision: str, *, ours: bool) -> tuple[str, float] | None:
    """The way of the smallest ratio, and that ratio; None if none of that kind ran."""
    ratios = {
        name: row["ratio"]
        for name, row in case.items()
        if row["precision"] == precision and row["ours"] == ours and "ratio" in row
    }
    name = min(ratios, key=ratios.get, default=None)
    return None if name is None else (name, ratios[name])


def markdown(record: dict) -> str:
    peers = "; ".join(
        ", ".join(f"{package} {number}" for package, number in found.items())
        for found in {str(found): found for found in record["peers"].values()}.values()
    )
    cases = sorted(record["cases"].items())  # they may have been measured in any order
    parts = [
        f"{machine_line(record)} In their own environments: {peers}. All ways of a case ran in "
        "turn, each in its own process; ratios are medians over the rounds. Weights are random. "
        "Differences are from PyTorch's scores, relative to the largest score. "
        "Settings for shared processors (passive OpenMP, no spinning) and Keras with XLA ran only "
        "in the first case of each network, batches of several images only at the first size. "
        "Scores in int8: LiteRT files take and return integers. From a photo to classes: bytes in, "
        "one byte per pixel out, including the work of NumPy or PyTorch before and after. "
        "onnx2tf ran where the table of files names it, on graphs in opset 17.\n",
        "## The fastest of keras_seg and of the peers\n",
        markdown_table(
            ("case", "precision", "ours", "peers", "times as fast"),
            [row for case, ways in cases for row in _duel(case, ways)],
        ),
    ]
    for case, ways in cases:
        parts += [f"## {case}\n", markdown_table(HEADER, [_cells(*item) for item in ways.items()])]
    if record.get("others"):
        parts += [
            "## Other networks, one image\n",
            "Networks of other packages with other layers and weights, and therefore other work. "
            "Their times cannot be compared with those above.\n",
            markdown_table(OTHER_HEADER, _other_rows(record["others"])),
        ]
    parts.append("## Files\n")
    rows = [
        (network, file, _megabytes(found), found.get("convert_s", ""), found.get("peak_mib", ""))
        for network, files in record["files"].items()
        for file, found in files.items()
        if "error" in found or "convert_s" in found
    ]
    header = ("network", "file", "MB", "conversion s", "peak MiB")
    parts.append(markdown_table(header, rows))
    return "\n".join(parts)


def _duel(case: str, ways: dict):
    for precision in ("float32", "int8"):
        pair = [best(ways, precision, ours=ours) for ours in (True, False)]
        if None not in pair:
            (ours, own), (peer, other) = pair
            yield case, precision, ours, peer, f"{other / own:.2f}"


def _cells(name: str, row: dict) -> tuple:
    if "error" in row:
        return (name, row["error"].replace("|", "/").replace("\n", " "), *[""] * 7)
    return (
        name,
        f"{row['median_ms']:.1f} / {row['p90_ms']:.1f}",
        f"{row['ratio']:.2f}" if "ratio" in row else "",
        f"{row['difference']:.1e}" if "difference" in row else "",
        f"{100 * row['agreement']:.2f}",
        *(row[key] for key in ("import_s", "load_s", "first_run_s", "peak_mib")),
    )


def _other_rows(others: dict):
    for side in others.values():
        for name, row in side.items():
            if "error" in row:
                yield (name, row["error"].replace("|", "/").replace("\n", " "), *[""] * 7)
                continue
            yield (
                *(name, row["size"], f"{row['parameters'] / 1e6:.1f}"),
                f"{row['multiply_adds'] / 1e9:.2f}",
                f"{row['median_ms']:.1f} / {row['p90_ms']:.1f}",
                *(row[key] for key in ("import_s", "load_s", "first_run_s", "peak_mib")),
            )


def _megabytes(found: dict) -> str:
    if "error" in found:
        return found["error"].replace("|", "/").replace("\n", " ")
    return f"{found['size_bytes'] / 1e6:.2f}"


def plot(record: dict, path: Path) -> None:
    """One panel a case: median milliseconds, ours and peers' in two colours."""
    from matplotlib.figure import Figure

    cases = dict(sorted(record["cases"].items()))
    columns = min(2, len(cases))
    rows = -(-len(cases) // columns)
    figure = Figure((7 * columns, 4.5 * rows), layout="constrained")
    for number, (case, ways) in enumerate(cases.items(), start=1):
        axes = figure.add_subplot(rows, columns, number)
        ran = {name: row for name, row in ways.items() if "median_ms" in row}
        order = sorted(ran, key=lambda name: -ran[name]["median_ms"])
        medians = [ran[name]["median_ms"] for name in order]
        late = [[0] * len(order), [ran[n]["p90_ms"] - ran[n]["median_ms"] for n in order]]
        colours = ["tab:blue" if ran[name]["ours"] else "tab:gray" for name in order]
        axes.barh(order, medians, xerr=late, color=colours)
        axes.set(title=case, xscale="log", xlabel="ms; line: 90th percentile. Blue: keras_seg")
    figure.savefig(path, dpi=80)
