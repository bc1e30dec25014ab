"""Mixed precision: int8 wherever the measured loss allows it, float where it does not.

Attention stays float from the start: LiteRT multiplies two int8 maps in a plain loop, 10 times
slower than XNNPACK does floats, and softmax likewise. If such a file loses too much, every layer is
tried alone in int8, and the layers that disturb the scores most go back to float: 1, 2, 4, 8 ...
of them until the loss fits, then as many fewer as halving the last step allows.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence

import keras
import numpy as np
from rich.console import Console
from rich.progress import track

from keras_seg.data.dataset import SegmentationDataset
from keras_seg.export.errors import ExportError
from keras_seg.export.int8.calibrated import Calibrated, with_enclosed
from keras_seg.export.int8.calibration import Calibration
from keras_seg.export.int8.loss import Loss, LostMIoU, OtherClasses, loss_of
from keras_seg.export.int8.mixed_report import Kept, MixedPrecision, Step
from keras_seg.export.options import Request
from keras_seg.export.proof.audit import COMPARISONS, broken_comparisons
from keras_seg.export.source import Source
from keras_seg.export.tflite.graph import read_graphs

PROBED = 4
"""Calibration images on which the layers are compared; their order hardly changes with more."""
ATTENTION = "attention, which is several times slower in int8"
COARSE = "compares numbers so large that int8 kernels take them for equal"
ENCLOSED = "lies between operators in float"


def to_mixed_tflite(
    model: keras.Model,
    request: Request,
    source: Source,
    chosen: Calibration,
    evaluation: SegmentationDataset | None,
    threads: int | None,
) -> tuple[bytes, MixedPrecision]:
    """Converts a deployed model (see `deployed_model`), keeping as little as possible in float.

    Args:
        evaluation: images with masks, on which at most `max_drop` points of mIoU may be lost; None
            lets at most `max_drop` percent of the pixels of the calibration images change class,
            which flatters the file, since its ranges were measured on them.

    Returns: the file's bytes without card, and how it was found.
    Raises: ExportError for operators that TFLite does not have.
    """
    loss = (
        OtherClasses(source.reference, chosen.images)
        if evaluation is None
        else LostMIoU(source.reference, evaluation, request.sizing, request.limit)
    )
    calibrated = Calibrated.measured(
        model, request, chosen.images, source.from_logits, source.card.multi_label
    )

    def measured(content: bytes) -> float:
        return loss_of(content, source.card, request.head, loss, threads)

    search = _Search(calibrated, measured, loss, request.max_drop)
    return search.run(chosen.images)


class _Search:
    """Tries files until one loses little enough; remembers which."""

    def __init__(
        self,
        calibrated: Calibrated,
        measured: Callable[[bytes], float],
        loss: Loss,
        allowed: float,
    ):
        self.calibrated, self.measured = calibrated, measured
        self.loss, self.allowed = loss, allowed
        self.reasons = dict.fromkeys(_coarse(calibrated), COARSE)
        self.reasons |= dict.fromkeys(_attention(calibrated), ATTENTION)
        self.ranking: dict[str, float] = {}
        self.steps: list[Step] = []
        self.console = Console(file=sys.stderr, markup=False, emoji=False)

    def run(self, images: Sequence[np.ndarray]) -> tuple[bytes, MixedPrecision]:
        content, count = self.tried(0), 0
        if not self.fits():
            self.ranking = self.ranked(images[:: max(1, len(images) // PROBED)][:PROBED])
            content, count = self.shortest()
        best = next(step for step in self.steps if step.layers == count)
        return content, MixedPrecision(
            kept=tuple(self.explained(count)),
            loss=best.loss,
            allowed=self.allowed,
            measure=self.loss.measure,
            steps=tuple(self.steps),
            noise=self.ranking,
        )

    def shortest(self) -> tuple[bytes, int]:
        """The file with the fewest sensitive layers in float that fits, of those tried."""
        low, high, content = 0, 0, b""
        while high < len(self.ranking):
            low, high = high, min(max(1, 2 * high), len(self.ranking))
            content = self.tried(high)
            if self.fits():
                break
        else:
            raise ExportError(
                f"Even with every layer in float the file loses {self.steps[-1].loss:.2f} "
                f"{self.loss.measure}, where {self.allowed:g} are allowed. Use quantize='fp16', or "
                "allow more with max_drop."
            )
        while high - low > 1:
            middle = (low + high) // 2
            shorter = self.tried(middle)
            if self.fits():
                high, content = middle, shorter
            else:
                low = middle
        return content, high

    def tried(self, count: int) -> bytes:
        """The file that keeps so many of the ranked layers in float; its loss is noted."""
        content = self.calibrated.quantized(self.kept(count))
        self.steps.append(Step(count, self.measured(content)))
        self.say(
            f"mixed: {count} sensitive layers in float lose {self.steps[-1].loss:.2f} "
            f"{self.loss.measure}, {self.allowed:g} allowed"
        )
        return content

    def fits(self) -> bool:
        return self.steps[-1].loss <= self.allowed

    def kept(self, count: int) -> frozenset[int]:
        """Numbers of the operators in float if so many of the ranked layers are."""
        layers = self.calibrated.layers
        chosen = frozenset().union(*(layers[name] for name in list(self.ranking)[:count]))
        return with_enclosed(self.calibrated.graph, chosen | set(self.reasons))

    def ranked(self, images: Sequence[np.ndarray]) -> dict[str, float]:
        """Layer → noise over signal of the scores with that layer alone in int8, largest first."""
        scores = self.calibrated.until_scores()
        expected, noise = _scores(scores.content, images), {}
        everything = frozenset().union(*scores.layers.values())
        hidden = not self.console.is_terminal
        layers = {
            name: operators - set(self.reasons)
            for name, operators in scores.layers.items()
            if operators - set(self.reasons)
        }
        for name in track(
            layers, "Trying layers in int8", console=self.console, disable=hidden, transient=True
        ):
            content = scores.quantized(everything - layers[name])
            if any(broken_comparisons(graph) for graph in read_graphs(content)):
                noise[name] = float("inf")
                continue
            found = _scores(content, images)
            noise[name] = float(((found - expected) ** 2).mean() / expected.var())
        return dict(sorted(noise.items(), key=lambda entry: -entry[1]))

    def explained(self, count: int) -> list[Kept]:
        graph, found = self.calibrated.graph, []
        kept, sensitive = self.kept(count), list(self.ranking)[:count]
        for layer, operators in self.calibrated.layers.items():
            whys: dict[str, list[str]] = {}
            for i in sorted(operators & kept):
                why = self.reasons.get(i) or (
                    self.noise_of(layer) if layer in sensitive else ENCLOSED
                )
                whys.setdefault(why, []).append(graph.operators[i].kind)
            found += [Kept(layer, dict(Counter(kinds)), why) for why, kinds in whys.items()]
        return found

    def noise_of(self, layer: str) -> str:
        noise = self.ranking[layer]
        if not 0 < noise < np.inf:
            return "is among the most sensitive layers"
        return f"alone in int8 it leaves the scores {-10 * np.log10(noise):.1f} dB above its noise"

    def say(self, text: str) -> None:
        if self.console.is_terminal:
            self.console.print(text, highlight=False)


def _attention(calibrated: Calibrated) -> list[int]:
    """Products of two computed maps, and softmax."""
    graph = calibrated.graph
    return [
        i
        for i, operator in enumerate(graph.operators)
        if operator.kind == "SOFTMAX"
        or (operator.kind == "BATCH_MATMUL" and len(graph.computed_inputs(operator)) == 2)
    ]


def _coarse(calibrated: Calibrated) -> list[int]:
    """Whole layers with comparisons at steps of 1 or more; see `broken_comparisons`."""
    graph = calibrated.graph
    return [
        i
        for operators in calibrated.layers.values()
        if any(
            graph.operators[j].kind in COMPARISONS
            and any((t.extent or 0) >= 255 for t in graph.computed_inputs(graph.operators[j]))
            for j in operators
        )
        for i in operators
    ]


def _scores(content: bytes, images: Sequence[np.ndarray]) -> np.ndarray:
    """Scores of a file that takes floats, for (H, W, C) uint8 images."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    image, output = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = []
    for pixels in images:
        interpreter.set_tensor(image["index"], pixels[None].astype(np.float32))
        interpreter.invoke()
        found.append(interpreter.get_tensor(output["index"]))
    return np.stack(found)
