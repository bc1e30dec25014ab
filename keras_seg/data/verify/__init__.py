"""Checks every file of a data set, and suggests crop, batch size and class weights."""

from keras_seg.data.verify.checks import verify_dataset
from keras_seg.data.verify.class_table import write_class_table
from keras_seg.data.verify.report import DatasetReport, Problem
from keras_seg.data.verify.text import to_dict, to_text

__all__ = [
    "DatasetReport",
    "Problem",
    "to_dict",
    "to_text",
    "verify_dataset",
    "write_class_table",
]
