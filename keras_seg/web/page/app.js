// The page: takes pictures from files, the camera or the samples, and shows their masks.

import { overlay } from "./draw.js";
import { predictMask, withoutAlpha } from "./mask.js";
import { loadNetwork, threads } from "./network.js";
import { palettePng } from "./png.js";

const element = (id) => document.getElementById(id);
const canvas = element("picture");
const context = canvas.getContext("2d", { willReadFrequently: true });

export const state = { card: null, run: null, mask: null, size: null, picture: null, runs: 0, shown: [] };
let camera = null;
let busy = false;

function say(text, isError = false) {
  element("status").textContent = text;
  element("status").classList.toggle("error", isError);
}

async function start() {
  try {
    state.card = await (await fetch("model.json")).json();
    state.shown = state.card.classes.names.map((_, i) => i !== state.card.background);
    showLegend(state.card.classes);
    showSamples(state.card.samples);
    say("Loading the model …");
    state.run = await loadNetwork(state.card);
    const count = threads();
    element("network").textContent = [
      state.card.network ?? "network",
      `${state.card.width} × ${state.card.height}`,
      state.card.format,
      count === 1 ? "1 CPU thread" : `${count} CPU threads`,
    ].join(" · ");
    for (const control of document.querySelectorAll("[data-waits]")) control.disabled = false;
    say("Ready. Choose a picture.");
  } catch (error) {
    say(`The model could not be loaded: ${error.message ?? error}`, true);
  }
}

// A row per class: a switch that shows or hides it, its colour, its name and its share.
function showLegend({ names, colors }) {
  names.forEach((name, i) => {
    const item = document.createElement("li");
    const row = document.createElement("label");
    const choice = document.createElement("input");
    const patch = document.createElement("span");
    const share = document.createElement("span");
    const label = document.createElement("span");
    Object.assign(choice, { type: "checkbox", checked: state.shown[i] });
    choice.addEventListener("change", () => {
      state.shown[i] = choice.checked;
      show();
    });
    patch.className = "patch";
    patch.style.backgroundColor = `rgb(${colors[i].join(" ")})`;
    share.className = "share";
    label.className = "name";
    label.textContent = name; // as text, because a class name may look like a tag
    row.append(choice, patch, label, share);
    item.append(row);
    element("legend").append(item);
  });
}

// A button with a small picture for each sample.
function showSamples(paths) {
  paths.forEach((path, i) => {
    const button = document.createElement("button");
    const picture = document.createElement("img");
    Object.assign(picture, { src: path, alt: `Sample ${i + 1}`, loading: "lazy" });
    Object.assign(button, { type: "button", disabled: true });
    button.dataset.waits = "";
    button.append(picture);
    button.addEventListener("click", async () => take(await (await fetch(path)).blob()));
    element("samples").append(button);
  });
  element("sample-part").hidden = paths.length === 0;
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
  const { width, height } = state.picture;
  const opacity = element("opacity").value / 100;
  const drawn = overlay(state.picture, state.mask, state.card, opacity, state.shown);
  canvas.width = width;
  canvas.height = height;
  context.putImageData(drawn, 0, 0);
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
