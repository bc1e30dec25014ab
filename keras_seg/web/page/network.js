// Runs the network: bytes of one picture of its size in, scores or classes out.

const TYPES = { float32: Float32Array, uint8: Uint8Array, int32: Int32Array };

const MOST_THREADS = 4;
let used = 1;

// The number of CPU threads of the loaded network.
export const threads = () => used;

// Several threads share memory, which browsers allow to isolated pages alone. Browsers count two
// threads for each core that has them.
function allowedThreads() {
  const cores = Math.ceil((navigator.hardwareConcurrency || 1) / 2);
  return globalThis.crossOriginIsolated ? Math.min(MOST_THREADS, cores) : 1;
}

// Returns a function: (height, width, channels) bytes -> { values, size, channels }. Classes have
// 0 channels.
export async function loadNetwork(card) {
  const forward = await (card.format === "tflite" ? liteRt(card) : onnxRuntime(card));
  return async (pixels) => {
    const input = new TYPES[card.input_type](pixels.length);
    const area = card.height * card.width;
    for (let i = 0; i < area; i++) {
      for (let c = 0; c < card.channels; c++) {
        const to = card.layout === "nchw" ? c * area + i : i * card.channels + c;
        input[to] = card.pixel_values[pixels[i * card.channels + c]];
      }
    }
    const { values, shape } = await forward(input);
    return inPixels(card, values, shape);
  };
}

// Undoes quantization and layout.
function inPixels(card, values, shape) {
  const nchw = card.layout === "nchw";
  if (card.head === "argmax") return { values, size: nchw && shape.length === 4 ? shape.slice(2) : shape.slice(1, 3), channels: 0 };
  const [rows, columns, channels] = nchw ? [shape[2], shape[3], shape[1]] : shape.slice(1);
  const area = rows * columns;
  const result = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const from = nchw ? (i % channels) * area + Math.floor(i / channels) : i;
    const value = values[from];
    result[i] = card.output_scale === null ? value : (value - card.output_zero_point) * card.output_scale;
  }
  return { values: result, size: [rows, columns], channels };
}

async function liteRt(card) {
  const { loadLiteRt, loadAndCompile, supportsFeature, Tensor } = await import("@litertjs/core");
  const features = await Promise.all(["relaxedSimd", "threads"].map((name) => supportsFeature(name)));
  used = features.every(Boolean) ? allowedThreads() : 1;
  const folder = new URL("runtime/@litertjs/core/wasm/", document.baseURI).href;
  await loadLiteRt(folder, { threads: used > 1 });
  const model = await loadAndCompile(card.file, { accelerator: "wasm", cpuOptions: { numThreads: used } });
  const shape = Array.from(model.getInputDetails()[0].shape);
  return async (input) => {
    const image = new Tensor(input, shape);
    try {
      const [output] = await model.run([image]);
      const result = { values: (await output.data()).slice(), shape: Array.from(output.type.layout.dimensions) };
      output.delete();
      return result;
    } finally {
      image.delete();
    }
  };
}

async function onnxRuntime(card) {
  const folder = new URL("runtime/onnxruntime-web/dist/", document.baseURI).href;
  const ort = await import(`${folder}ort.wasm.min.mjs`);
  ort.env.wasm.wasmPaths = folder;
  used = allowedThreads();
  ort.env.wasm.numThreads = used;
  const session = await ort.InferenceSession.create(card.file, { executionProviders: ["wasm"] });
  const sizes = [card.height, card.width];
  const shape = card.layout === "nchw" ? [1, card.channels, ...sizes] : [1, ...sizes, card.channels];
  return async (input) => {
    const image = new ort.Tensor(card.input_type, input, shape);
    const output = (await session.run({ [session.inputNames[0]]: image }))[session.outputNames[0]];
    return { values: output.data, shape: Array.from(output.dims) };
  };
}
