"""The Markdown tables of `benchmarks.edge`."""

from __future__ import annotations

from benchmarks.common import machine_line, markdown_table

FORMATS = (
    *("Keras", "TFLite fp32", "TFLite fp16", "TFLite dynamic", "TFLite int8", "TFLite mixed"),
    *("Keras QAT", "TFLite QAT int8", "ONNX fp32", "ONNX int8"),
)
ALLOWED = {"TFLite int8": 1.0, "TFLite mixed": 1.0, "ONNX int8": 1.0, "TFLite QAT int8": 0.5}
"""Points of mIoU that a file should lose at most."""
HEADER = (
    *("file", "mIoU %", "points lost", "same class %", "size MB", "median ms", "not in XNNPACK"),
    *("OpenVINO %", "TFLite Micro %"),
)


REMARKS = {
    "deconvnet": "Its unpooling uses the positions of the maxima. In int8 more values are equal, "
    "so other positions become the maximum, and the loss is larger than that of rounding alone. "
    "Tried: quantization-aware training on masks, which lost 9.8 points, and on the network's own "
    "predictions; keeping layers in float (mixed).",
    "resunetplusplus": "The gates of its decoder are unbounded products. In another training run "
    "they reached 2,000 on the most unusual training image and 4 on the median image. One range "
    "for both left one step or none for the usual images. Ranges that ignore the upper 10 to 50 % "
    "of the images helped in that run, but not in this one. What helped in this run: up-sampled "
    "maps and skips are convolved separately, not concatenated, so each has its own range. "
    "Before that change it lost 43.2 points (ONNX 37.5), and 12.2 after quantization-aware "
    "training.",
}
"""Network whose loss is over the limit → the cause, and what was tried."""
LABELS = {"soft": "its own predictions", "masks": "masks"}


def markdown(record: dict) -> str:
    height, width = record["size"]
    parts = [
        f"{machine_line(record)}\n\nEach table has the Keras model, then its files. Networks "
        f'trained on "{record["data"]}" had {record["seconds"]:g} s, from random values, on crops '
        f"of {height}x{width}. Quantization-aware training (QAT) of some steps follows, on the "
        "network's own predictions or, where stated, on masks. Masks also improve the float "
        "network, so a loss can be negative. "
        f"Measured on {record['images']} validation images, evenly spread. Points lost: mIoU of "
        "the Keras model minus mIoU of the file. Same class: share of the pixels with the class of "
        "the Keras model; in brackets, with the class of the QAT model behind the file. "
        "Latency is that of the network alone in LiteRT or ONNX Runtime, all files in turn on each "
        "image. Files in int8 take a uint8 image. The mixed file was chosen on these same images. "
        "OpenVINO and TFLite Micro: share of the pixels with the class that LiteRT or ONNX Runtime "
        "gives; TFLite Micro only for small files.\n",
        _summary(record),
    ]
    for name, found in record["networks"].items():
        parts.append(_network(name, found))
    if "camera" in record:
        parts.append(_camera(record["camera"]))
    return "\n".join(parts)


def _summary(record: dict) -> str:
    """Points lost, one line per network."""
    names = [name for name in FORMATS if name not in ("Keras", "Keras QAT")]
    rows = [
        [name, f"{100 * rows['Keras']['miou']:.2f}", *(_loss(rows[key], key) for key in names)]
        for name, found in record["networks"].items()
        if (rows := found.get("rows"))
    ]
    text = markdown_table(("points of mIoU lost", "Keras mIoU %", *names), rows)
    note = "Bold: more than 1 point, or more than 0.5 for a QAT file; see below. A dash: refused."
    return f"{text}\n{note}\n"


def _loss(row: dict, name: str) -> str:
    if "refused" in row:
        return "-"
    text = f"{row['drop']:.2f}"
    return f"**{text}**" if row["drop"] > ALLOWED.get(name, 1.0) else text


def _network(name: str, found: dict) -> str:
    if "error" in found:
        return f"## {name}\n\nNot measured: {found['error']}\n"
    height, width, _ = found["input_shape"]
    aware = found["aware_fit"]
    text = (
        f"## {name}\n\n{found['parameters']:,} parameters, trained on {found['trained']}, files "
        f"for {height}x{width}. QAT: {aware['steps']} steps in "
        f"{aware['seconds']:g} s on {LABELS[aware['labels']]}.\n\n"
    )
    rows = [(key, found["rows"][key]) for key in FORMATS]
    text += markdown_table(HEADER, [_cells(key, row) for key, row in rows if "refused" not in row])
    for key, row in rows:
        if "refused" in row:
            text += f"\n{key}: {row['refused']}\n"
        if row.get("kept"):
            text += f"\n{key} keeps in float: {'; '.join(row['kept'])}.\n"
        for runtime, reason in row.get("others", {}).items():
            if isinstance(reason, str):
                text += f"\n{key} in {runtime}: {reason}\n"
    over = any(row.get("drop", 0.0) > ALLOWED.get(key, 1.0) for key, row in rows)
    return f"{text}\n{REMARKS[name]}\n" if over and name in REMARKS else text


def _cells(name: str, row: dict) -> list[str]:
    others = row.get("others", {})
    agreement = percent(row["agreement"])
    if "agreement_with_own" in row:
        agreement += f" ({percent(row['agreement_with_own'])})"
    return [
        name,
        f"{100 * row['miou']:.2f}",
        "" if name == "Keras" else f"{row['drop']:.2f}",
        agreement,
        f"{row['size_bytes'] / 1e6:.2f}",
        f"{row['latency_ms']:.1f}",
        undelegated(row) if "TFLite" in name else "",
        percent(others.get("openvino")),
        percent(others.get("tflite micro")),
    ]


def _camera(found: dict) -> str:
    if "error" in found:
        return f"## Camera\n\nNot measured: {found['error']}\n"
    threads = next((list(r["latency"]) for r in found["rows"].values() if "latency" in r), [])
    header = ("file", "size MB", "same class %", "maps MB", "not in XNNPACK")
    header += tuple(f"ms, {count} thread{'s' * (count != '1')}" for count in threads)
    rows = [
        [
            name,
            f"{row['size_bytes'] / 1e6:.2f}",
            percent(row["agreement"]),
            "" if row["arena_bytes"] is None else f"{row['arena_bytes'] / 1e6:.1f}",
            undelegated(row) if "TFLite" in name else "",
            *(
                f"{row['latency'][count]['median_ms']:.1f} / {row['latency'][count]['p90_ms']:.1f}"
                for count in threads
            ),
        ]
        for name, row in found["rows"].items()
        if "refused" not in row
    ]
    refused = "".join(
        f"\n{name}: {row['refused']}\n" for name, row in found["rows"].items() if "refused" in row
    )
    size = found["size"]
    return (
        f"## DeepLabV3+ MobileNetV2, {size}x{size}: uint8 image in, uint8 class map out\n\n"
        f"One file each, weights of {found['trained']}. Median / 90th percentile, all files and "
        "numbers of threads in turn in one run. Same class: as in the float .tflite file.\n\n"
        f"{markdown_table(header, rows)}{refused}"
    )


def undelegated(row: dict) -> str:
    """Operators that LiteRT does not run in XNNPACK."""
    return ", ".join(f"{kind} x {count}" for kind, count in row["undelegated"].items()) or "none"


def percent(part: float | str | None) -> str:
    if part is None:
        return ""
    return "no" if isinstance(part, str) else f"{100 * part:.2f}"
