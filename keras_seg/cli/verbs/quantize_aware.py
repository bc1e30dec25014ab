"""`keras-seg quantize-aware`: fine-tunes a model for int8."""

from __future__ import annotations

from pathlib import Path

from keras_seg.cli.output import DONE, say
from keras_seg.cli.verbs.train import report_training
from keras_seg.cli.verbs.verb import Verb
from keras_seg.model_paths import check_model_path


def quantize_aware_verb(
    file: Path,
    output: Path | None = None,
    data: str | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
) -> int:
    """Fine-tune a trained model with int8 rounding, so that its int8 file is more accurate.

    Args:
        file: the trained model.keras, in the folder of its run; with data it may be anywhere.
        output: folder of the new run; by default beside the first, its name with _int8.
        data: folder of images alone, on which the float model teaches its copy; by default the
            images and masks of the run.
        epochs: passes over the training images; by default a tenth of the run's, or with data 100
            steps.
        learning_rate: learning rate at the first step; by default a tenth of the run's, or with
            data 0.0001.
    """
    check_model_path(file, exported=False)
    from keras_seg.export.run_folder import aware_run_folder, train_quantized

    output = output or aware_run_folder(file)
    if data is not None:
        from keras_seg.export.aware.from_images import train_on_images

        tuned = train_on_images(file, data, output, epochs=epochs, learning_rate=learning_rate)
        say(
            f"{tuned.model_path} gives {100 * tuned.agreement:.1f} % of the pixels the class of "
            f"{file}."
        )
        export = f"keras-seg export {tuned.model_path} --quantize int8"
        say(f"A file for a device:  {export}", soft_wrap=True)
        return DONE
    result = train_quantized(file, output, epochs, learning_rate)
    return report_training(result, output, "To train anew, pass another --output.")


VERB = Verb(quantize_aware_verb, backends=("tensorflow",))
