// Blends the colours of a mask over its picture, by the rules of keras_seg's overlays.

// Returns the pixels of the overlay. `shown` says of each class or label whether it is drawn.
export function overlay(picture, mask, card, opacity, shown) {
  const { width, height, data } = picture;
  const labels = card.multi_label ? card.classes.names.length : 1;
  const result = new ImageData(new Uint8ClampedArray(data), width, height);
  const outline = Math.min(1, 2 * opacity);
  const reach = Math.max(1, Math.round(Math.max(width, height) / 1000));
  const differ = (one, other) => {
    for (let k = 0; k < labels; k++) if (mask[one * labels + k] !== mask[other * labels + k]) return true;
    return false;
  };
  const isEdge = (x, y, i) => {
    for (let d = 1; d <= reach; d++) {
      if (x >= d && differ(i, i - d)) return true;
      if (x + d < width && differ(i, i + d)) return true;
      if (y >= d && differ(i, i - d * width)) return true;
      if (y + d < height && differ(i, i + d * width)) return true;
    }
    return false;
  };
  const colorAt = card.multi_label ? meanOfLabels(mask, card, shown) : classColor(mask, card, shown);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const color = colorAt(i);
      if (color === null) continue;
      const strength = isEdge(x, y, i) ? outline : opacity;
      for (let c = 0; c < 3; c++) {
        result.data[4 * i + c] = Math.round(data[4 * i + c] * (1 - strength) + color[c] * strength);
      }
    }
  }
  return result;
}

function classColor(mask, card, shown) {
  return (i) => (shown[mask[i]] ? card.classes.colors[mask[i]] : null);
}

// The mean colour of the labels of a pixel that are drawn; null without any.
function meanOfLabels(mask, card, shown) {
  const { colors } = card.classes;
  return (i) => {
    const present = colors.filter((_, label) => shown[label] && mask[i * colors.length + label]);
    if (present.length === 0) return null;
    return [0, 1, 2].map((c) => present.reduce((sum, color) => sum + color[c], 0) / present.length);
  };
}
