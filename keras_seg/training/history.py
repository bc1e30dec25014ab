"""The log of a training: metrics of each completed epoch, as CSV and as JSON lines."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

from keras_seg.atomic_files import write_text

MONITOR, LOSS = "val_mean_iou", "val_loss"
CSV_NAME, JSON_NAME = "log.csv", "log.jsonl"
CHARTED = ("loss", "val_loss", "mean_iou", MONITOR)


def read_rows(path: Path) -> list[dict]:
    """Reads the rows of a `log.jsonl`, one per epoch.

    Raises: ValueError that names the file and the line that is not such a row.
    """
    remedy = "Put back the file that the training wrote, or move it away."
    try:
        lines = path.read_text().splitlines()
    except ValueError as error:
        raise ValueError(f"{path} is not a log: {error}. {remedy}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError):
            rows.append(None)
        if not _is_row(rows[-1]):
            raise ValueError(
                f"{path}, line {number} must hold the numbers of an epoch. Received: "
                f"{line[:60]!r}. {remedy}"
            )
    return rows


def _is_row(row: object) -> bool:
    values = [row.get(name) for name in CHARTED] if isinstance(row, dict) else [""]
    always = _is_number(values[-1]) and _is_number(row.get("epoch"))
    return always and all(value is None or _is_number(value) for value in values)


def _is_number(value: object) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < 2**63)


class History:
    """The rows of `log.jsonl` and `log.csv`, one per completed epoch.

    Everything that depends on the past (best epoch, early stop, plateaus of the learning rate) is
    computed from the rows, so an interrupted training needs no other memory. Both files are
    rewritten completely and atomically.

    Args:
        folder: folder of the run.
        epochs: number of completed epochs. Later rows are dropped, as they will be trained again.
        writes: whether the files are written.
        monitor: what progress is measured by: "miou" or "loss" of the validation.

    Raises: ValueError if the log has fewer rows than `epochs`.
    """

    def __init__(
        self, folder: Path, *, epochs: int = 0, writes: bool = True, monitor: str = "miou"
    ):
        self.folder, self.writes, self.monitor = Path(folder), writes, monitor
        path = self.folder / JSON_NAME
        self.rows: list[dict] = read_rows(path)[:epochs] if epochs and path.exists() else []
        if len(self.rows) < epochs:
            raise ValueError(
                f"{path} has rows for {len(self.rows)} epochs, and the checkpoint beside it was "
                f"written after epoch {epochs}, so the best model is not known. Put the log back, "
                "or pass --overwrite true to train anew."
            )
        self._write()

    def append(self, row: dict) -> None:
        """Adds the row of an epoch and writes both files."""
        self.rows.append(row)
        self._write()

    def correct(self, epoch: int, miou: float, iou: Sequence[float | None]) -> None:
        """Replaces the validation mIoU of an epoch, from 1, and the IoU of each class."""
        row = self.rows[epoch - 1]
        row[MONITOR] = miou
        row["val_iou"] = dict(zip(row.get("val_iou", {}), iou, strict=False))
        self._write()

    @property
    def scores(self) -> list[float]:
        """Validation mIoU of each epoch; 0 in place of NaN."""
        return [0.0 if math.isnan(row[MONITOR]) else row[MONITOR] for row in self.rows]

    @property
    def best(self) -> tuple[float | None, int]:
        """(mIoU, epoch from 1) of the first best epoch; (None, 0) without any epoch."""
        if not self.rows:
            return None, 0
        best = max(self.scores)
        return best, self.scores.index(best) + 1

    @property
    def progress(self) -> list[float]:
        """Value of the monitor in each epoch, of which a higher one is better."""
        if self.monitor == "miou":
            return self.scores
        return [-math.inf if math.isnan(row[LOSS]) else -row[LOSS] for row in self.rows]

    @property
    def epochs_without_progress(self) -> int:
        """Number of epochs since the best one by the monitor."""
        values = self.progress
        return len(values) - 1 - values.index(max(values)) if values else 0

    def plateaus(self, patience: int) -> int:
        """Number of times that `patience` epochs in a row did not improve the monitor."""
        best, waited, count = -math.inf, 0, 0
        for value in self.progress:
            waited = 0 if value > best else waited + 1
            best = max(best, value)
            if waited == patience:
                waited, count = 0, count + 1
        return count

    def _write(self) -> None:
        if not self.writes:
            return
        text = "".join(f"{json.dumps(row)}\n" for row in self.rows)
        write_text(self.folder / JSON_NAME, text)
        table = io.StringIO()
        flat = [{k: v for k, v in row.items() if not isinstance(v, dict)} for row in self.rows]
        if flat:
            writer = csv.DictWriter(table, flat[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(flat)
        write_text(self.folder / CSV_NAME, table.getvalue())
