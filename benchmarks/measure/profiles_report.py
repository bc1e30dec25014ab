"""Tables and bar charts of `benchmarks.measure.profiles`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.common import machine_line, markdown_table

SHOWN = 8
"""Number of kinds of operation that a table names; the others are summed."""
DRAWN = 9
"""Number of kinds that have their own colour in a panel."""
OTHERS = "others"
MOVING = ("TRANSPOSE", "CAST", "QUANTIZE", "DEQUANTIZE", "RESHAPE", "TILE", "CONCATENATION", "PAD")
"""Operators that compute nothing."""
FOR_FILES = {"deconvnet": {"fc": 1024}}
"""Network → options of its files, not of its training: the converter takes more than 19 GiB for
DeconvNet's own 4096, about twenty times the weights."""
HEADER = (
    *("network", "file", "ms, median / p90", "operators", "XNNPACK parts", "not in XNNPACK"),
    *("that compute nothing", "MB", "conversion s"),
)


def markdown(record: dict) -> str:
    networks = record["networks"].items()
    of_files = [
        (name, file, facts) for name, found in networks for file, facts in _files(found).items()
    ]
    share = f"the {SHOWN} kinds that take most, %"
    return "\n".join(
        [
            f"{machine_line(record)} Images {record['size']}x{record['size']}, batches of "
            f"{record['batch']} in training, 21 classes, random weights. Files are of one image, "
            "int8 ones calibrated on one. "
            f"For the files alone, networks have these options: {FOR_FILES}.\n",
            "## Training step: time on all threads by kind of operation\n",
            markdown_table(
                ("network", "step ms, median / p90", share),
                [_training_cells(*item) for item in networks],
            ),
            "## Exported graphs: time by kernel\n",
            "Names with brackets are kernels of XNNPACK, those in capitals LiteRT's own.\n",
            markdown_table(("network", "file", share), [_kernel_cells(*item) for item in of_files]),
            "## Exported graphs: operators\n",
            markdown_table(HEADER, [_file_cells(*item) for item in of_files]),
        ]
    )


def _files(found: dict) -> dict[str, dict]:
    """File → its facts; one row with the reason if the process that makes them failed."""
    files = found.get("files", {})
    return {"": {"refused": files["error"]}} if "error" in files else files


def shares(spent: dict[str, float], most: int) -> dict[str, float]:
    """Kind → percent of the time, of those that take most; the rest is one more."""
    total = sum(spent.values()) or 1
    order = sorted(spent, key=lambda kind: -spent[kind])
    found = {kind: 100 * spent[kind] / total for kind in order[:most]}
    rest = 100 * sum(spent[kind] for kind in order[most:]) / total
    return found | ({OTHERS: rest} if rest else {})


def _in_words(spent: dict[str, float]) -> str:
    return ", ".join(f"{kind} {share:.0f}" for kind, share in shares(spent, SHOWN).items())


def _training_cells(name: str, found: dict) -> tuple:
    times = found.get("training", {"error": ""})
    if "error" in times:
        return (name, "", times["error"].replace("|", "/"))
    pace = f"{times['median_ms']:.0f} / {times['p90_ms']:.0f}"
    return (name, pace, _in_words(times["operations"]))


def _kernel_cells(name: str, file: str, facts: dict) -> tuple:
    if "refused" in facts:
        return (name, file, "no file")
    return (name, file, facts.get("no_profile") or _in_words(facts["kernels"]))


def _file_cells(name: str, file: str, facts: dict) -> tuple:
    if "refused" in facts:
        return (name, file, facts["refused"].replace("|", "/").replace("\n", " "), *[""] * 6)
    counts = facts["operators"]
    left = ", ".join(f"{kind} {count}" for kind, count in facts["undelegated"].items())
    if problems := facts["problems"]:
        others = f", and {len(problems) - 1} more such" if problems[1:] else ""
        left = f"`export` refuses it: {problems[0]}{others}"
    return (
        *(name, file, f"{facts['median_ms']:.1f} / {facts['p90_ms']:.1f}", sum(counts.values())),
        facts["partitions"] or "",
        left,
        ", ".join(f"{kind} {counts[kind]}" for kind in MOVING if kind in counts),
        f"{facts['size_bytes'] / 1e6:.2f}",
        facts["export_s"],
    )


def plot(record: dict, path: Path) -> None:
    """Bars of 100 %, one per network; a panel for training and one per kind of file."""
    from matplotlib.figure import Figure

    panels = bars(record)
    figure = Figure((15, 5.5 * len(panels)), layout="constrained")
    for number, (title, networks) in enumerate(panels.items(), start=1):
        panel = figure.add_subplot(len(panels), 1, number)
        _draw(panel, networks)
        panel.set(title=f"{title}: share of time, %", xlim=(0, 100))
        panel.invert_yaxis()
        panel.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    figure.savefig(path, dpi=80)


def bars(record: dict) -> dict[str, dict[str, dict[str, float]]]:
    """Panel → network → kind → percent, with the same few kinds for all networks of a panel."""
    spent: dict[str, dict] = {}
    for name, found in record["networks"].items():
        if "operations" in found.get("training", {}):
            spent.setdefault("training", {})[name] = found["training"]["operations"]
        for file, facts in _files(found).items():
            if facts.get("kernels"):
                spent.setdefault(file, {})[name] = facts["kernels"]
    return {title: _alike(networks) for title, networks in spent.items()}


def _alike(networks: dict[str, dict]) -> dict[str, dict[str, float]]:
    parts = {name: shares(spent, len(spent)) for name, spent in networks.items()}
    together: dict[str, float] = {}
    for part in parts.values():
        for kind, share in part.items():
            together[kind] = together.get(kind, 0) + share
    kinds = [*shares(together, DRAWN)]
    return {
        name: {kind: part.get(kind, 0) for kind in kinds if kind != OTHERS}
        | {OTHERS: sum(share for kind, share in part.items() if kind not in kinds)}
        for name, part in parts.items()
    }


def _draw(panel, networks: dict[str, dict[str, float]]) -> None:
    kinds = [*next(iter(networks.values()))]
    left = dict.fromkeys(networks, 0.0)
    for number, kind in enumerate(kinds):
        widths = [networks[name][kind] for name in networks]
        colour = "lightgray" if kind == OTHERS else f"C{number}"
        panel.barh([*networks], widths, left=[*left.values()], label=kind, color=colour)
        left = {name: left[name] + networks[name][kind] for name in networks}
