"""Prediction and evaluation with .keras, .tflite and .onnx files, behind one interface.

    runner = keras_seg.inference.load("model.tflite")
    mask = runner.predict("photo.jpg")                      # (H, W) uint8
    print(keras_seg.inference.evaluate(runner, dataset).to_dict())

TensorFlow is imported only when a .keras file is loaded.
"""

from keras_seg.inference.evaluation import compare, evaluate
from keras_seg.inference.faces import load_face_parser
from keras_seg.inference.gallery import show
from keras_seg.inference.instance_map import Instance, InstanceOptions, Instances, instances
from keras_seg.inference.loading import load, predict
from keras_seg.inference.prediction import Runner
from keras_seg.inference.proposals import predict_by_proposals
from keras_seg.inference.results import Comparison, Evaluation
from keras_seg.inference.threshold_search import ThresholdSearch, search_threshold
from keras_seg.inference.uncertainty import predict_uncertainty
from keras_seg.inference.views import TestTimeAugmentation
from keras_seg.names import SIZINGS
from keras_seg.names_elsewhere import unknown_names

__all__ = [
    "SIZINGS",
    "Comparison",
    "Evaluation",
    "Instance",
    "InstanceOptions",
    "Instances",
    "Runner",
    "TestTimeAugmentation",
    "ThresholdSearch",
    "compare",
    "evaluate",
    "instances",
    "load",
    "load_face_parser",
    "predict",
    "predict_by_proposals",
    "predict_uncertainty",
    "search_threshold",
    "show",
]

__getattr__ = unknown_names(__name__)
