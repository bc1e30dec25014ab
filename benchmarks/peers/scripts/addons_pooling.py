"""MaxUnpooling2D of TensorFlow Addons, for `benchmarks.measure.layers`."""

import sys
import warnings

warnings.filterwarnings("ignore")

import tensorflow as tf  # noqa: E402
import tensorflow_addons as tfa  # noqa: E402
from pooling import Side, data  # noqa: E402
from serve import serve  # noqa: E402

current = {}


def prepare(shape):
    x, weights = map(tf.constant, data(shape))
    unpool = tfa.layers.MaxUnpooling2D()

    def pool(x):
        return tf.nn.max_pool_with_argmax(x, 2, 2, "SAME", include_batch_in_index=False)

    values, indices = pool(x)
    both = tf.function(lambda x: unpool(*pool(x)))
    alone = tf.function(lambda values: unpool(values, indices))
    functions = {
        ("pool and unpool", False): lambda: both(x),
        ("pool and unpool", True): with_gradient(both, x, weights),
        ("unpool", False): lambda: alone(values),
        ("unpool", True): with_gradient(alone, values, weights),
    }
    current["side"] = Side(functions, indices.dtype.size * int(tf.size(indices)))
    return current["side"].facts()


def with_gradient(function, x, weights):
    @tf.function
    def both_ways(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            result = function(x)
        return result, tape.gradient(result, x, output_gradients=weights)

    return lambda: both_ways(x)


if __name__ == "__main__":
    threads = int(sys.argv[1])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    serve(
        {
            "versions": lambda: {
                "tensorflow": tf.__version__,
                "tensorflow-addons": tfa.__version__,
            },
            "prepare": prepare,
            "sample": lambda **case: {"ms": current["side"].sample(**case)},
        }
    )
