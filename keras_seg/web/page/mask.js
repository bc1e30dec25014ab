// Computes the class of every pixel, by the rules of keras_seg.inference.predict.

import { resizeBilinear, resizeNearest } from "./resize.js";

const SIGMA = 1 / 8; // deviation of the weights of a window, as a share of its side

// RGBA bytes -> RGB or grey bytes, with the luma weights of ITU-R 601 as integers, as in Pillow.
export function withoutAlpha(rgba, channels) {
  const pixels = rgba.length / 4;
  const result = new Uint8Array(pixels * channels);
  for (let i = 0; i < pixels; i++) {
    const [r, g, b] = [rgba[4 * i], rgba[4 * i + 1], rgba[4 * i + 2]];
    if (channels === 1) result[i] = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
    else result.set([r, g, b], 3 * i);
  }
  return result;
}

// Returns the class of every pixel of a picture, or with card.multi_label 0 or 1 for each label of
// every pixel. `run` runs the network on one window.
export async function predictMask(run, card, pixels, size) {
  const own = [card.height, card.width];
  if (card.sizing === "tile") return classMap(await tiled(run, card, pixels, size), "probabilities", card);
  const scores = await run(resizeBilinear(pixels, size, card.channels, own));
  return classMap(resizeScores(scores, size), card.head, card);
}

// Classes are resized by the nearest pixel, scores bilinearly.
function resizeScores({ values, size, channels }, target) {
  if (channels === 0) return { values: resizeNearest(values, size, target), size: target, channels };
  return { values: resizeBilinear(values, size, channels, target), size: target, channels };
}

function classMap(scores, head, card) {
  const { values, channels } = scores;
  if (channels === 0) return Uint8Array.from(values);
  if (card.multi_label || channels === 1) {
    const limits = limitsOf(card.threshold, head, channels);
    return Uint8Array.from(values, (value, i) => (value > limits[i % channels] ? 1 : 0));
  }
  const result = new Uint8Array(values.length / channels);
  if (channels === 2 && card.threshold !== 0.5) {
    const probabilities = head === "logits" ? toProbabilities(scores, card) : values;
    const limit = Math.fround(card.threshold);
    return result.map((_, i) => (probabilities[2 * i + 1] > limit ? 1 : 0));
  }
  for (let i = 0; i < result.length; i++) {
    let best = 0;
    for (let c = 1; c < channels; c++) {
      if (values[i * channels + c] > values[i * channels + best]) best = c;
    }
    result[i] = best;
  }
  return result;
}

// The thresholds of all channels as limits of scores: log-odds for logits.
function limitsOf(threshold, head, channels) {
  const numbers = Array.isArray(threshold) ? threshold : new Array(channels).fill(threshold);
  return numbers.map((t) => Math.fround(head === "logits" ? Math.log(t / (1 - t)) : t));
}

// Averages the probabilities of overlapping windows, with larger weights in the middle.
async function tiled(run, card, pixels, [height, width]) {
  const window = [card.height, card.width];
  const rows = Math.max(height, window[0]);
  const columns = Math.max(width, window[1]);
  const weights = window.map(gaussian);
  const weightSum = new Float32Array(rows * columns);
  let total = null;
  let depth = 0;
  for (const top of positions(rows, window[0])) {
    for (const left of positions(columns, window[1])) {
      const part = cut(pixels, [height, width], card.channels, top, left, window);
      const scores = resizeScores(await run(part), window);
      const probabilities = toProbabilities(scores, card);
      depth = probabilities.length / (window[0] * window[1]);
      total ??= new Float32Array(rows * columns * depth);
      for (let y = 0; y < window[0]; y++) {
        for (let x = 0; x < window[1]; x++) {
          const weight = Math.fround(weights[0][y] * weights[1][x]);
          const to = (top + y) * columns + left + x;
          const from = y * window[1] + x;
          weightSum[to] += weight;
          for (let c = 0; c < depth; c++) {
            total[to * depth + c] += Math.fround(weight * probabilities[from * depth + c]);
          }
        }
      }
    }
  }
  const values = new Float32Array(height * width * depth);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < depth; c++) {
        const from = y * columns + x;
        values[(y * width + x) * depth + c] = total[from * depth + c] / weightSum[from];
      }
    }
  }
  return { values, size: [height, width], channels: depth };
}

// A window of the picture. Beyond the edge the last row and column are repeated.
function cut(pixels, [height, width], channels, top, left, window) {
  const result = new Uint8Array(window[0] * window[1] * channels);
  for (let y = 0; y < window[0]; y++) {
    for (let x = 0; x < window[1]; x++) {
      const from = (Math.min(height - 1, top + y) * width + Math.min(width - 1, left + x)) * channels;
      const to = (y * window[1] + x) * channels;
      for (let c = 0; c < channels; c++) result[to + c] = pixels[from + c];
    }
  }
  return result;
}

function positions(size, window) {
  const steps = Math.ceil((size - window) / (0.5 * window));
  if (steps === 0) return [0];
  const step = (size - window) / steps;
  return Array.from({ length: steps + 1 }, (_, i) => roundHalfToEven(i === steps ? size - window : i * step));
}

function roundHalfToEven(value) {
  const rounded = Math.round(value);
  return value % 1 === 0.5 && rounded % 2 ? rounded - 1 : rounded;
}

function gaussian(length) {
  return Float32Array.from({ length }, (_, i) => {
    const offset = (i - (length - 1) / 2) / (SIGMA * length);
    return Math.max(Math.exp(-0.5 * offset * offset), 1e-3);
  });
}

function toProbabilities({ values, channels }, card) {
  if (card.head === "probabilities") return values;
  if (channels === 0) {
    const count = card.classes.names.length;
    const result = new Float32Array(values.length * count);
    values.forEach((value, i) => (result[i * count + value] = 1));
    return result;
  }
  if (channels === 1 || card.multi_label) return values.map((value) => 1 / (1 + Math.exp(-value)));
  const result = new Float32Array(values.length);
  for (let i = 0; i < values.length; i += channels) {
    let top = -Infinity;
    for (let c = 0; c < channels; c++) top = Math.max(top, values[i + c]);
    let sum = 0;
    for (let c = 0; c < channels; c++) {
      result[i + c] = Math.exp(values[i + c] - top);
      sum = Math.fround(sum + result[i + c]);
    }
    for (let c = 0; c < channels; c++) result[i + c] /= sum;
  }
  return result;
}
