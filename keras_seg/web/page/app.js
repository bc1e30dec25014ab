// The page: takes pictures from files, the camera or the sample, and shows their masks.

import { predictMask, withoutAlpha } from "./mask.js";
import { loadNetwork } from "./network.js";
import { palettePng } from "./png.js";

const element = (id) => document.getElementById(id);
const canvas = element("picture");
const context = canvas.getContext("2d", { willReadFrequently: true });

export const state = { card: null, run: null, mask: null, size: null, picture: null, runs: 0 };
let camera = null;
let busy = false;

function say(text, isError = false) {
  element("status").textContent = text;
  element("status").classList.toggle("error", isError);
}

async function start() {
  try {
    state.card = await (await fetch("model.json")).json();
    showLegend(state.card.classes);
    element("network").textContent = [state.card.network ?? "network", `${state.card.width} × ${state.card.height}`, state.card.format].join(" · ");
    say("Loading the model …");
    state.run = await loadNetwork(state.card);
    for (const control of document.querySelectorAll("[data-waits]")) control.disabled = false;
    say("Ready. Choose a picture.");
  } catch (error) {
    say(`The model could not be loaded: ${error.message ?? error}`, true);
  }
}

function showLegend({ names, colors }) {
  names.forEach((name, i) => {
    const item = document.createElement("li");
    const patch = document.createElement("span");
    const share = document.createElement("span");
    patch.className = "patch";
    patch.style.backgroundColor = `rgb(${colors[i].join(" ")})`;
    share.className = "share";
    const label = document.createElement("span");
    label.className = "name";
    label.textContent = name; // as text, because a class name may look like a tag
    item.append(patch, label, share);
    element("legend").append(item);
  });
}

function showShares() {
  const { names } = state.card.classes;
  const counts = new Array(names.length).fill(0);
  if (state.card.multi_label) state.mask.forEach((present, i) => (counts[i % names.length] += present));
  else for (const value of state.mask) counts[value]++;
  const pixels = state.size[0] * state.size[1];
  document.querySelectorAll("#legend .share").forEach((share, i) => {
    share.textContent = `${((100 * counts[i]) / pixels).toFixed(1)} %`;
  });
}

// The colour of a pixel: that of its class, or the mean of its labels; null without a label.
function colorAt(pixel) {
  const { colors } = state.card.classes;
  if (!state.card.multi_label) return colors[state.mask[pixel]];
  const present = colors.filter((_, label) => state.mask[pixel * colors.length + label]);
  if (present.length === 0) return null;
  return [0, 1, 2].map((c) => present.reduce((sum, color) => sum + color[c], 0) / present.length);
}

// Reads the pixels of a picture: upright, without colour profile, transparent parts on white.
async function pixelsOf(source) {
  const bitmap = source instanceof Blob ? await createImageBitmap(source, { colorSpaceConversion: "none" }) : source;
  const width = bitmap.videoWidth ?? bitmap.width;
  const height = bitmap.videoHeight ?? bitmap.height;
  const scratch = new OffscreenCanvas(width, height);
  const drawing = scratch.getContext("2d", { willReadFrequently: true });
  drawing.fillStyle = "white";
  drawing.fillRect(0, 0, width, height);
  drawing.drawImage(bitmap, 0, 0);
  return drawing.getImageData(0, 0, width, height);
}

async function segment(source) {
  if (busy || !state.run) return;
  busy = true;
  try {
    const picture = await pixelsOf(source);
    if (!camera) {
      say("Working …");
      await new Promise((resolve) => setTimeout(resolve)); // lets the page repaint first
    }
    const size = [picture.height, picture.width];
    const pixels = withoutAlpha(picture.data, state.card.channels);
    let milliseconds = 0;
    let passes = 0;
    const timed = async (part) => {
      const begin = performance.now();
      const scores = await state.run(part);
      milliseconds += performance.now() - begin;
      passes++;
      return scores;
    };
    const begin = performance.now();
    state.mask = await predictMask(timed, state.card, pixels, size);
    const total = performance.now() - begin;
    Object.assign(state, { picture, size });
    element("time").textContent = `Network ${milliseconds.toFixed(1)} ms${passes > 1 ? ` (${passes} windows)` : ""}, total ${total.toFixed(1)} ms`;
    show();
    showShares();
    say(`${picture.width} × ${picture.height} pixels, segmented on this device.`);
    element("save").disabled = false;
    state.runs++;
  } catch (error) {
    say(`This picture could not be segmented: ${error.message ?? error}`, true);
  } finally {
    busy = false;
  }
}

function show() {
  if (!state.picture) return;
  const opacity = element("opacity").value / 100;
  const { width, height, data } = state.picture;
  const blended = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    const color = colorAt(i);
    for (let c = 0; c < 3; c++) {
      const own = data[4 * i + c];
      blended.data[4 * i + c] = color ? Math.round(own * (1 - opacity) + color[c] * opacity) : own;
    }
    blended.data[4 * i + 3] = 255;
  }
  canvas.width = width;
  canvas.height = height;
  context.putImageData(blended, 0, 0);
  canvas.hidden = false;
  element("hint").hidden = true;
}

// Saves the mask as a PNG whose pixels are class indices, or one PNG of 0 and 1 for each label.
async function save() {
  const { names, colors } = state.card.classes;
  if (!state.card.multi_label) return saveMask(state.mask, colors, "mask.png");
  for (let label = 0; label < names.length; label++) {
    const plane = new Uint8Array(state.size[0] * state.size[1]);
    for (let i = 0; i < plane.length; i++) plane[i] = state.mask[i * names.length + label];
    await saveMask(plane, [[0, 0, 0], colors[label]], `${state.card.file_names[label]}_mask.png`);
  }
}

async function saveMask(mask, colors, name) {
  const blob = await palettePng(mask, state.size[1], state.size[0], colors);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function toggleCamera() {
  if (camera) return stopCamera();
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    camera = document.createElement("video");
    Object.assign(camera, { srcObject: stream, muted: true, playsInline: true });
    await camera.play();
    element("camera").textContent = "Stop camera";
    followCamera(camera);
  } catch (error) {
    stopCamera();
    say(`The camera cannot be used: ${error.message ?? error}. The page must come from https or localhost.`, true);
  }
}

async function followCamera(video) {
  while (camera === video) {
    await segment(video);
    await new Promise(requestAnimationFrame);
  }
}

function stopCamera() {
  for (const track of camera?.srcObject?.getTracks() ?? []) track.stop();
  camera = null;
  element("camera").textContent = "Camera";
}

function take(file) {
  stopCamera();
  if (file) segment(file);
}

element("file").addEventListener("change", (event) => {
  take(event.target.files[0]);
  event.target.value = ""; // allows choosing the same file again
});
element("choose").addEventListener("click", () => element("file").click());
element("sample").addEventListener("click", async () => take(await (await fetch("sample.png")).blob()));
element("camera").addEventListener("click", toggleCamera);
element("save").addEventListener("click", save);
element("opacity").addEventListener("input", show);
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
document.addEventListener("dragleave", () => document.body.classList.remove("dragging"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  take(event.dataTransfer.files[0]);
});
navigator.serviceWorker?.register("worker.js").catch(() => {}); // without it the page only works online

start();
