// Where a frame has what looks like writing put over it: thin, bright, colourless strokes, several in a row. It is a proposal for a person.

const side = 640, cell = 8; // of the picture that is looked at, and of the cells of it, in pixels

// overlayText returns boxes in the frame's pixels, those with most strokes first, eight at most.
export function overlayText(image, size) {
  const share = Math.min(1, side / Math.max(size.columns, size.rows)), w = Math.round(size.columns * share), e = Math.round(size.rows * share);
  const canvas = Object.assign(document.createElement("canvas"), { width: w, height: e }), context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, w, e);
  const { data } = context.getImageData(0, 0, w, e), light = new Uint8Array(w * e), pale = new Uint8Array(w * e);
  for (let i = 0; i < w * e; i++) {
    const [r, g, b] = [data[4 * i], data[4 * i + 1], data[4 * i + 2]];
    light[i] = (r + g + b) / 3;
    pale[i] = Math.max(r, g, b) - Math.min(r, g, b) < 70 ? 1 : 0;
  }
  const across = Math.ceil(w / cell), down = Math.ceil(e / cell), strokes = new Float64Array(across * down);
  for (let y = 0; y < e; y++) {
    for (let x = 5; x < w - 5; x++) { // a stroke: much lighter than what is a few pixels to its left and right
      const i = y * w + x;
      if (light[i] > 110 && pale[i] && [3, 5].some((gap) => light[i] - light[i - gap] > 45 && light[i] - light[i + gap] > 45)) strokes[Math.floor(y / cell) * across + Math.floor(x / cell)]++;
    }
  }
  return lines(strokes, across, down).map(([l, t, r, b]) => [l, t, r, b].map((v, i) => Math.min(Math.round(v * cell / share), i % 2 ? size.rows : size.columns)));
}

// lines joins cells with strokes to boxes; a few cells, thinly spread or one above the other, are highlights rather than words.
function lines(strokes, across, down) {
  const ink = (x, y) => x >= 0 && y >= 0 && x < across && y < down && strokes[y * across + x] >= 5, seen = new Set(), found = [];
  for (let y = 0; y < down; y++) {
    for (let x = 0; x < across; x++) {
      if (!ink(x, y) || seen.has(y * across + x)) continue;
      let box = [x, y, x + 1, y + 1], cells = 0, todo = [[x, y]];
      seen.add(y * across + x);
      while (todo.length) {
        const [cx, cy] = todo.pop();
        cells++;
        box = [Math.min(box[0], cx), Math.min(box[1], cy), Math.max(box[2], cx + 1), Math.max(box[3], cy + 1)];
        for (let dy = -1; dy <= 1; dy++) for (let dx = -2; dx <= 2; dx++) {
          const at = (cy + dy) * across + cx + dx;
          if (ink(cx + dx, cy + dy) && !seen.has(at)) { seen.add(at); todo.push([cx + dx, cy + dy]); }
        }
      }
      const [width, height] = [box[2] - box[0], box[3] - box[1]];
      const block = cells >= 20 && width > 0.6 * height && cells > 0.35 * width * height, line = cells >= 8 && width >= 1.5 * height && cells >= 0.5 * width * height;
      if (block || line) found.push([cells, [Math.max(0, box[0] - 1), Math.max(0, box[1] - 1), box[2] + 1, box[3] + 1]]);
    }
  }
  return found.sort((a, b) => b[0] - a[0]).slice(0, 8).map(([, box]) => box);
}
