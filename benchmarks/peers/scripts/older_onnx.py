"""Rewrites ONNX graphs of PyTorch to an opset that onnx2tf reads correctly."""

import onnx

OPSET = 17
"""The last opset whose Resize keeps its grid: in later ones, onnx2tf 1.29.24 silently turns
"align_corners" into "half_pixel", which changed the scores of DeepLabV3+ by a third."""
LATER = {"Resize": ("antialias", "axes", "keep_aspect_ratio_policy")}
"""Attributes that an operator did not have in that opset; here all have their defaults."""


def save_older(source, path):
    """Writes the graph in that opset. Raises an error if the result is invalid."""
    model = onnx.load(source)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        kept = [a for a in node.attribute if a.name not in LATER.get(node.op_type, ())]
        if node.op_type == "ReduceMean" and len(node.input) == 2:  # axes were an attribute
            axes = onnx.numpy_helper.to_array(constants[node.input.pop()])
            kept = [a for a in kept if a.name != "noop_with_empty_axes"]
            kept.append(onnx.helper.make_attribute("axes", axes.tolist()))
        del node.attribute[:]
        node.attribute.extend(kept)
    (main,) = (entry for entry in model.opset_import if not entry.domain)
    main.version = OPSET
    onnx.checker.check_model(model)
    onnx.save(model, path)
