"""Operator tables of accelerators: what each device runs, and where that is known from.

Imports no TensorFlow.
"""
