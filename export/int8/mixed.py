"""Mixed precision: int8 wherever the measured loss allows it, float elsewhere.

Attention stays float from the start: LiteRT multiplies two int8 maps in a plain loop, 10 times
slower than XNNPACK multiplies floats, and so it does with softmax. If such a file loses too much,
each layer is tried alone in int8 to rank the layers by the noise in the scores. Then the most
sensitive layers return to float: 1, 2, 4, 8 ... of them until the loss fits, and a bisection of the
last step finds the smallest number that does.
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
from keras_seg.export.conversion import ConvertedFile, KeptLayer, MixedPrecision, TriedFile
from keras_seg.export.errors import ExportError
from keras_seg.export.int8.calibrated import Calibrated, with_enclosed
from keras_seg.export.int8.loss import LostMIoU, OtherClasses, loss_of_file
from keras_seg.export.network_to_export import NetworkToExport
from keras_seg.export.options import HEADS
from keras_seg.export.tflite.faults import COMPARISONS, broken_comparisons
from keras_seg.export.tflite.graph import read_graphs
from keras_seg.export.tflite.metadata import with_card
from keras_seg.export.tflite.spellings.respell import respelled
from keras_seg.quiet import without_log_lines

PROBED = 4
"""Calibration images on which layers are ranked; with more, the order hardly changes."""
ATTENTION = "attention, which is several times slower in int8"
COARSE = "compares numbers so large that int8 kernels treat them as equal"
ENCLOSED = "is between operators in float"


def mixed_tflite(
    deployed: keras.Model,
    network: NetworkToExport,
    images: Sequence[np.ndarray],
    evaluation: SegmentationDataset | None = None,
) -> ConvertedFile:
    """Converter of TFLite in mixed precision, which keeps as little as possible in float.

    Args:
        evaluation: images with masks, on which at most `max_drop` points of mIoU may be lost.
            Without them, at most `max_drop` percent of the pixels of the calibration images may
            change class; that flatters the file, since its ranges were measured on these images.

    Raises: ExportError for operators that TFLite does not have, or if no file loses little enough.
    """
    options = network.options
    loss = (
        OtherClasses(network.reference, images)
        if evaluation is None
        else LostMIoU(network.reference, evaluation, options.sizing, options.limit)
    )
    calibrated = Calibrated.measured(deployed, network, images)

    def file(kept: frozenset[int]) -> tuple[bytes, float]:
        content = respelled(calibrated.quantized(kept), options.device)
        content = with_card(content, network.card, HEADS[options.head])
        return content, loss_of_file(content, network, loss)

    content, mixed = _Search(calibrated, file, loss.measure, options.max_drop).run(images)
    return ConvertedFile(content, mixed=mixed)


class _Search:
    """Tries files until one loses little enough, and records them.

    Args:
        file: numbers of the operators in float → the file, and what it loses.
        measure: what is lost, in words.
        allowed: what may be lost.
    """

    def __init__(
        self,
        calibrated: Calibrated,
        file: Callable[[frozenset[int]], tuple[bytes, float]],
        measure: str,
        allowed: float,
    ):
        self.calibrated, self.file = calibrated, file
        self.measure, self.allowed = measure, allowed
        self.reasons = dict.fromkeys(_coarse(calibrated), COARSE)
        self.reasons |= dict.fromkeys(_attention(calibrated), ATTENTION)
        self.ranking: dict[str, float] = {}
        self.steps: list[TriedFile] = []
        self.console = Console(file=sys.stderr, markup=False, emoji=False)

    def run(self, images: Sequence[np.ndarray]) -> tuple[bytes, MixedPrecision]:
        content, count = self.tried(0), 0
        if not self.fits():
            self.ranking = self.ranked(images[:: max(1, len(images) // PROBED)][:PROBED])
            content, count = self.smallest()
        best = next(step for step in self.steps if step.layers == count)
        return content, MixedPrecision(
            kept=tuple(self.explained(count)),
            loss=best.loss,
            allowed=self.allowed,
            measure=self.measure,
            steps=tuple(self.steps),
            noise=self.ranking,
        )

    def smallest(self) -> tuple[bytes, int]:
        """The file that fits with the fewest sensitive layers in float, and their number."""
        low, high, content = 0, 0, b""
        while high < len(self.ranking):
            low, high = high, min(max(1, 2 * high), len(self.ranking))
            content = self.tried(high)
            if self.fits():
                break
        else:
            raise ExportError(
                f"Even with every layer in float the file loses {self.steps[-1].loss:.2f} "
                f"{self.measure}, where {self.allowed:g} are allowed. Use quantize='fp16', or "
                "allow more with max_drop."
            )
        while high - low > 1:
            middle = (low + high) // 2
            smaller = self.tried(middle)
            if self.fits():
                high, content = middle, smaller
            else:
                low = middle
        return content, high

    def tried(self, count: int) -> bytes:
        """The file that keeps so many of the ranked layers in float; its loss is recorded."""
        content, loss = self.file(self.kept(count))
        self.steps.append(TriedFile(count, loss))
        self.say(
            f"mixed: {count} sensitive layers in float lose {loss:.2f} {self.measure}, "
            f"{self.allowed:g} allowed"
        )
        return content

    def fits(self) -> bool:
        """Whether the last file that was tried loses little enough."""
        return self.steps[-1].loss <= self.allowed

    def kept(self, count: int) -> frozenset[int]:
        """Numbers of the operators in float, with so many of the ranked layers."""
        layers = self.calibrated.layers
        chosen = frozenset().union(*(layers[name] for name in list(self.ranking)[:count]))
        return with_enclosed(self.calibrated.graph, chosen | set(self.reasons))

    def ranked(self, images: Sequence[np.ndarray]) -> dict[str, float]:
        """Layer → noise-to-signal ratio of the scores with it alone in int8, largest first."""
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
            noise[name] = float(
                ((_scores(content, images) - expected) ** 2).mean() / expected.var()
            )
        return dict(sorted(noise.items(), key=lambda entry: -entry[1]))

    def explained(self, count: int) -> list[KeptLayer]:
        """The layers in float with so many of the ranked ones, each with the reason."""
        graph, explained = self.calibrated.graph, []
        kept, sensitive = self.kept(count), list(self.ranking)[:count]
        for layer, operators in self.calibrated.layers.items():
            whys: dict[str, list[str]] = {}
            for i in sorted(operators & kept):
                why = self.reasons.get(i) or (
                    self.noise_of(layer) if layer in sensitive else ENCLOSED
                )
                whys.setdefault(why, []).append(graph.operators[i].kind)
            explained += [
                KeptLayer(layer, dict(Counter(kinds)), why) for why, kinds in whys.items()
            ]
        return explained

    def noise_of(self, layer: str) -> str:
        noise = self.ranking[layer]
        if not 0 < noise < np.inf:
            return "is among the most sensitive layers"
        return f"alone in int8 it leaves the scores {-10 * np.log10(noise):.1f} dB above its noise"

    def say(self, text: str) -> None:
        if self.console.is_terminal:
            self.console.print(text, highlight=False)


def _attention(calibrated: Calibrated) -> list[int]:
    """Numbers of the products of two computed maps, and of softmax."""
    graph = calibrated.graph
    return [
        i
        for i, operator in enumerate(graph.operators)
        if operator.kind == "SOFTMAX"
        or (operator.kind == "BATCH_MATMUL" and len(graph.computed_inputs(operator)) == 2)
    ]


def _coarse(calibrated: Calibrated) -> list[int]:
    """Numbers of the operators of layers that compare in steps of 1 or more."""
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

    with without_log_lines():
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
    image, output = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scores = []
    for pixels in images:
        interpreter.set_tensor(image["index"], pixels[None].astype(np.float32))
        interpreter.invoke()
        scores.append(interpreter.get_tensor(output["index"]))
    return np.stack(scores)
