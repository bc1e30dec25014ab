"""Rewrites ONNX graphs of PyTorch to an opset that onnx2tf reads correctly."""

import onnx

OPSET = 17
"""The last whose Resize it takes by its grid: in later ones "align_corners" becomes "half_pixel"
without a word (onnx2tf 1.29.24), which changed the scores of DeepLabV3+ by a third."""
LATER = {"Resize": ("antialias", "axes", "keep_aspect_ratio_policy")}
"""Attributes that an operator did not have then, here all at what it did without them."""


def save_older(source, path):
    """The graph in an opset that onnx2tf reads right. Raises: an error if it is none of that."""
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
