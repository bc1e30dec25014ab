"""The table of devices. A new device is one row, see the checklist in docs/extending.md.

What a row is known from stands in it. A row from a compiler was compared with what the compiler
did; a row from a document is what the document says, and was not run.
"""

from __future__ import annotations

from types import MappingProxyType

from keras_seg.export.devices.device import Device, Resizes

READ = "2026-11-30"
"""Day on which the tables were read."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _powers_of_two(largest: int) -> frozenset[int]:
    return frozenset(2**i for i in range(largest.bit_length()))


INTEGER_KINDS = ("int8", "int16x8", "mixed")
"""Kinds of which an integer accelerator runs a part at least."""
VELA = "Vela 5.2.0, `vela --supported-ops-report`"
ETHOS_U55 = _names(
    "ABS ADD ARG_MAX AVERAGE_POOL_2D BATCH_MATMUL CONCATENATION CONV_2D DEPTHWISE_CONV_2D ELU EXP "
    "EXPAND_DIMS FULLY_CONNECTED GELU HARD_SWISH LEAKY_RELU LOG LOGISTIC MAXIMUM MAX_POOL_2D MEAN "
    "MINIMUM MIRROR_PAD MUL NEG PACK PAD PADV2 PRELU QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 "
    "RELU_0_TO_1 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 RSQRT "
    "SLICE SOFTMAX SPLIT SPLIT_V SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM TANH TILE "
    "TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK"
)
# without GATHER, which it runs along the first axis only: class maps gather rows and columns
ETHOS_U85 = ETHOS_U55 | _names(
    "ASSIGN_VARIABLE CAST DIV EQUAL GREATER GREATER_EQUAL LESS LESS_EQUAL LOGICAL_AND "
    "LOGICAL_NOT LOGICAL_OR NOT_EQUAL READ_VARIABLE REDUCE_ALL REDUCE_ANY SCATTER_ND SELECT "
    "SELECT_V2"
)
SMALL_INTEGERS = frozenset({"INT8", "UINT8", "INT16"})
INTEGERS = SMALL_INTEGERS | {"INT32"}


def _ethos_u55(name: str, title: str, configuration: str) -> Device:
    """Ethos-U55 and Ethos-U65 have the same table."""
    factors = frozenset({2, 4, 8})
    return Device(
        name=name,
        title=f"{title}, compiled by Vela",
        source=VELA,
        date=READ,
        basis="the compiler was run on files of every network",
        kinds=INTEGER_KINDS,
        operators=ETHOS_U55,
        dtypes=SMALL_INTEGERS,
        types=MappingProxyType(
            dict.fromkeys(("ADD", "MUL", "SUB", "SUM", "TRANSPOSE", "RESHAPE"), INTEGERS)
            | {"ARG_MAX": INTEGERS | {"INT64"}}
        ),
        bilinear=Resizes(frozenset({2}), factors, factors, equal_axes=True),
        nearest=Resizes(factors, factors, factors, equal_axes=True),
        classes=127,
        note="No comparisons: SegNet, SegNet-Basic and DeconvNet stay on the CPU in part.",
        command=f"vela FILE --accelerator-config {configuration}",
    )


QUALCOMM = _names(
    "ABS ADD ARG_MAX ARG_MIN AVERAGE_POOL_2D BATCH_MATMUL BROADCAST_TO CAST CEIL CONCATENATION "
    "CONV_2D CONV_3D COS CUMSUM DEPTH_TO_SPACE DEPTHWISE_CONV_2D DEQUANTIZE DIV "
    "DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP FLOOR FLOOR_DIV FULLY_CONNECTED GATHER "
    "GATHER_ND GELU GREATER GREATER_EQUAL HARD_SWISH L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS "
    "LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM "
    "MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2 POW PRELU QUANTIZE REDUCE_ALL REDUCE_ANY "
    "REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR "
    "RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT SELECT_V2 SIGN SIN SLICE SOFTMAX "
    "SPACE_TO_DEPTH SPLIT SQRT SQUARE SQUARED_DIFFERENCE STRIDED_SLICE SUB SUM TANH TILE TOPK_V2 "
    "TRANSPOSE TRANSPOSE_CONV UNPACK"
)
MEDIATEK = _names(
    "ABS ADD AVERAGE_POOL_2D BATCH_MATMUL CAST CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEQUANTIZE "
    "DIV FULLY_CONNECTED GELU GREATER HARD_SWISH L2_NORMALIZATION LEAKY_RELU LESS LOGISTIC MAXIMUM "
    "MAX_POOL_2D MEAN MINIMUM MUL PAD PADV2 PRELU QUANTIZE REDUCE_MAX RELU RESHAPE RESIZE_BILINEAR "
    "RESIZE_NEAREST_NEIGHBOR RSQRT SLICE SOFTMAX SPLIT SQRT SQUARED_DIFFERENCE STRIDED_SLICE SUB "
    "SUM TANH TILE TRANSPOSE TRANSPOSE_CONV UNPACK"
)
CORAL = _names(
    "ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXPAND_DIMS FULLY_CONNECTED "
    "L2_NORMALIZATION LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL PACK PAD PRELU QUANTIZE "
    "REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR "
    "RESIZE_NEAREST_NEIGHBOR SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SUB TANH "
    "UNIDIRECTIONAL_SEQUENCE_LSTM"
)
# the last two are in the older copy, with conditions that no file was tried for
CORAL_UNREAD = _names(
    "RSQRT SPLIT_V SQUARED_DIFFERENCE SUM TRANSPOSE TRANSPOSE_CONV SQUEEZE STRIDED_SLICE"
)
TFLITE_MICRO = _names(
    "ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND "
    "BROADCAST_ARGS BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM "
    "DEPTH_TO_SPACE DEPTHWISE_CONV_2D DEQUANTIZE DIV ELU EQUAL EXP EXPAND_DIMS FILL FLOOR "
    "FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF "
    "L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT "
    "LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG "
    "NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE READ_VARIABLE REDUCE_MAX RELU RELU6 RESHAPE "
    "RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX "
    "SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE "
    "STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK "
    "VAR_HANDLE WHILE ZEROS_LIKE"
)
LITERT = "github.com/google-ai-edge/LiteRT, litert/vendors"
DEVICES: dict[str, Device] = {
    device.name: device
    for device in (
        Device(
            name="cpu",
            title="LiteRT with XNNPACK on a CPU",
            source="LiteRT, which every export runs",
            date=READ,
            basis="every file is run before it gets its name",
        ),
        _ethos_u55("ethos-u55", "Arm Ethos-U55", "ethos-u55-256"),
        _ethos_u55("ethos-u65", "Arm Ethos-U65", "ethos-u65-512"),
        Device(
            name="ethos-u85",
            title="Arm Ethos-U85, compiled by Vela",
            source=VELA,
            date=READ,
            basis="the compiler was run on files of every network",
            kinds=INTEGER_KINDS,
            operators=ETHOS_U85,
            dtypes=INTEGERS | {"BOOL", "INT64"},
            scaled=frozenset({"CAST"}),
            bilinear=Resizes(
                _powers_of_two(1024), _powers_of_two(2048), _powers_of_two(1024), equal_axes=True
            ),
            command="vela FILE --accelerator-config ethos-u85-256",
        ),
        Device(
            name="tflm",
            title="TensorFlow Lite for Microcontrollers",
            source="github.com/tensorflow/tflite-micro, python_ops_resolver.cc, and the wheel "
            "0.dev20261023182759",
            date=READ,
            basis="the runtime was run on files of every network",
            kinds=(None, "int8"),
            operators=TFLITE_MICRO,
            types=MappingProxyType(
                {"SELECT_V2": frozenset({"INT8", "INT16", "FLOAT32", "BOOL"})}
                | {"CAST": frozenset({"INT8", "INT16", "INT32", "FLOAT32", "BOOL"})}
                | dict.fromkeys(("EXP", "LOG"), frozenset({"FLOAT32"}))
            ),
            note="Class maps are int8: there is no cast to uint8.",
        ),
        Device(
            name="coral",
            title="Coral Edge TPU, compiled by edgetpu_compiler",
            source="the Edge TPU table as Axis publishes it for ARTPEC-7, from ADD to "
            "RESIZE_BILINEAR; a copy of Coral's table of 2019 for the operators behind it, in "
            "dgist-datalab/Datalab_Intern; google-coral/edgetpu issues 31, 187, 206, 342, 396, 420",
            date=READ,
            basis="a document; the compiler was not run",
            kinds=("int8",),
            operators=CORAL,
            unread=CORAL_UNREAD,
            dtypes=frozenset({"INT8", "UINT8"}),
            vectors=frozenset({"SOFTMAX"}),
            bilinear=Resizes(half_pixel=frozenset()),
            nearest=Resizes(half_pixel=frozenset()),
            note="The compiler stops at the first operator that it does not map: all operators "
            "behind it run on the CPU. It leaves large resizes to the CPU.",
            command="edgetpu_compiler FILE",
        ),
        Device(
            name="mediatek",
            title="MediaTek NPU, compiled by LiteRT's Neuron plugin",
            source=f"{LITERT}/mediatek/compiler/MediaTek_Neuro_Compiler.md, and the MDLA 2.0 guide "
            "for dilations",
            date=READ,
            basis="a document; the compiler was not run",
            kinds=(None, "fp16", *INTEGER_KINDS),
            operators=MEDIATEK,
            dtypes=INTEGERS | {"BOOL", "FLOAT16", "FLOAT32"},
            dilations=frozenset({1, 2, 4, 8}),
            note="No ARG_MAX: a class map is decided on the CPU.",
        ),
        Device(
            name="qualcomm",
            title="Qualcomm Hexagon, compiled by LiteRT's QNN plugin",
            source=f"{LITERT}/qualcomm/compiler/Qualcomm_QNN_Compiler.md",
            date=READ,
            basis="a document; the compiler was not run",
            kinds=(None, "fp16", *INTEGER_KINDS),
            operators=QUALCOMM,
        ),
        Device(
            name="st-neural-art",
            title="ST Neural-ART of STM32N6, compiled by ST Edge AI Core",
            source="ST Edge AI Core 3.0, stneuralart_operator_support.html: the format of models; "
            "its table of operators could not be read",
            date=READ,
            basis="a part of a document; the compiler was not run",
            kinds=("int8", "mixed"),
            dtypes=INTEGERS | {"BOOL", "INT64"},
            note="Operators are not checked. Operators in float run on the CPU.",
        ),
        Device(
            name="stm32mp2",
            title="NPU of STM32MP2, by OpenVX",
            source="ST wiki, STM32MP2_NPU_description: the quantization; its table of operators "
            "could not be read",
            date=READ,
            basis="a part of a document; the compiler was not run",
            kinds=("int8", "mixed"),
            dtypes=INTEGERS | {"BOOL", "INT64"},
            per_channel=False,
            note="Operators are not checked. With a scale per channel the GPU runs the network.",
        ),
    )
}
"""Value of `target` → device."""
TARGETS = tuple(DEVICES)
"""Names of the devices that files can be written for."""
