// Pillow's resampling, reproduced exactly, so that page and Python runner get the same pixels.

const PRECISION = 22; // fractional bits of Pillow's weights for 8-bit pictures

// For every output position: the first input position, and the weights from there on.
function triangleWeights(inputs, outputs) {
  const scale = inputs / outputs;
  const spread = Math.max(scale, 1); // shrinking averages all covered pixels
  return Array.from({ length: outputs }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - spread + 0.5));
    const last = Math.min(inputs, Math.trunc(center + spread + 0.5));
    const weights = [];
    let sum = 0;
    for (let x = first; x < last; x++) {
      const weight = Math.max(0, 1 - Math.abs((x - center + 0.5) * (1 / spread)));
      weights.push(weight);
      sum += weight;
    }
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

// One axis of a map of `outer` x `length` x `inner` values; bytes round as Pillow's bytes do.
function alongAxis(values, outer, length, inner, outputs) {
  const bytes = values instanceof Uint8Array || values instanceof Uint8ClampedArray;
  const table = triangleWeights(length, outputs);
  if (bytes) {
    for (const entry of table) {
      entry.weights = entry.weights.map((w) => Math.trunc(0.5 + w * 2 ** PRECISION));
    }
  }
  const result = bytes ? new Uint8Array(outer * outputs * inner) : new Float32Array(outer * outputs * inner);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < outputs; i++) {
      const { first, weights } = table[i];
      for (let c = 0; c < inner; c++) {
        let at = (o * length + first) * inner + c;
        let sum = bytes ? 2 ** (PRECISION - 1) : 0;
        for (let k = 0; k < weights.length; k++, at += inner) sum += values[at] * weights[k];
        result[(o * outputs + i) * inner + c] = bytes ? Math.min(255, sum / 2 ** PRECISION) : sum;
      }
    }
  }
  return result;
}

// (height, width, channels) bytes or floats -> (rows, columns, channels), bilinear. The order of
// the two passes is that of Pillow 13. It affects the last bit, and differs between versions.
export function resizeBilinear(values, [height, width], channels, [rows, columns]) {
  const rowsFirst = rows < height && height - rows > 2 * (width - columns);
  if (rowsFirst && height !== rows) values = alongAxis(values, 1, height, width * channels, rows);
  const lines = rowsFirst ? rows : height;
  if (width !== columns) values = alongAxis(values, lines, width, channels, columns);
  if (!rowsFirst && height !== rows) values = alongAxis(values, 1, height, columns * channels, rows);
  return values;
}

// Positions of the nearest pixels, summed up as in Pillow.
function nearestPositions(inputs, outputs) {
  const scale = inputs / outputs;
  const positions = [];
  for (let i = 0, at = scale * 0.5; i < outputs; i++, at += scale) {
    positions.push(Math.min(inputs - 1, Math.trunc(at)));
  }
  return positions;
}

// (height, width) classes -> (rows, columns), nearest.
export function resizeNearest(classes, [height, width], [rows, columns]) {
  const result = new Uint8Array(rows * columns);
  const across = nearestPositions(width, columns);
  nearestPositions(height, rows).forEach((y, row) => {
    for (let x = 0; x < columns; x++) result[row * columns + x] = classes[y * width + across[x]];
  });
  return result;
}
