// The lens: a frame with a map over it, beside it, wiped or in turns, zoomed and moved; what is under the pointer is read.
import { h, svg } from "./dom.js";
import { figures } from "./format.js";
import { shaped, sides, widened } from "./shape.js";
import { t } from "./words.js";

const ramp = 0.25; // of the scale, over which a map fades in: as in the pictures that leave
const most = 12, swaps = 6, pace = 800; // the greatest zoom; how often and how fast a flicker goes by itself: never for longer than five seconds

// table is the colour and opacity of each of a map's 256 values.
function table(map, colours) {
  if (!map.signed) return colours.map((c, v) => [...[1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16)), 255 * Math.min(v / 255 / ramp, 1)]);
  return Array.from({ length: 256 }, (_, v) => [...(v < 128 ? [40, 90, 255] : [255, 40, 40]), 255 * Math.sqrt(Math.min(1, Math.abs(v - 128) / 127))]);
}

// paint draws a map, transparent where it has no weight.
export function paint(map, colours, label) {
  const canvas = h("canvas", { class: "heat", width: map.width || 1, height: map.height || 1, role: "img", "aria-label": label });
  if (!map.width) return canvas;
  const context = canvas.getContext("2d"), image = context.createImageData(map.width, map.height), to = table(map, colours);
  map.bytes ??= Uint8Array.from(atob(map.values), (c) => c.charCodeAt(0));
  map.bytes.forEach((v, i) => image.data.set(to[v], 4 * i));
  context.putImageData(image, 0, 0);
  return canvas;
}

// scale is the colours of a map as a bar.
export function scale(map, colours) {
  const bar = h("canvas", { class: "scale", width: 256, height: 1, role: "img", "aria-label": map.signed ? t("lens.signed") : t("map.colours") });
  const context = bar.getContext("2d");
  table(map, colours).forEach(([r, g, b, a], x) => { context.fillStyle = `rgb(${r} ${g} ${b} / ${a / 255})`; context.fillRect(x, 0, 1, 1); });
  return bar;
}

// marks are what the network did not see, its own boxes and masks, and a box that is being drawn, in the frame's pixels.
function marks(pane, drawing) {
  const { columns, rows } = pane.size, path = (points) => `M${points.map((p) => p.join(" ")).join("L")}`;
  const rect = ([l, t, r, b], cls) => svg("rect", { class: cls, x: l, y: t, width: r - l, height: b - t });
  return svg("svg", { class: "marks", viewBox: `0 0 ${columns} ${rows}`, role: "img", "aria-label": pane.unseen.length ? t("dissect.hatched") : t("lens.unmarked") },
    svg("defs", null, svg("pattern", { id: "unseen", width: columns / 40, height: columns / 40, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, svg("line", { x1: 0, y1: 0, x2: 0, y2: columns / 40 }))),
    pane.black.map((box) => rect(box, "black")), pane.unseen.map((box) => rect(box, "unseen")),
    pane.regions.flatMap((r) => r.contours.map((c) => svg("path", { class: "own", d: path(c) }))),
    drawing ? rect(drawing, "drawing") : null);
}

// createLens returns the lens. drawn(box) is called with a box that was drawn, moved() when zoom or place have changed, read(text) with
// what is under the pointer, key(event) with keys that are not the lens's own.
export function createLens({ drawn, moved, read, key }) {
  const at = { zoom: 1, x: 0, y: 0 }; // moved by x, y of the frame's width and height
  let shown = { mode: "overlay", panes: [], opacity: 0.5, wipe: 50 }, held, box, drawing = false, turn, on = true;
  const el = h("div", { class: "stage lens", tabindex: 0, role: "group", "aria-label": t("lens.both"), "aria-describedby": "lens-keys" });

  // fitted is where the frame lies in a pane's element, in its pixels, before it is zoomed.
  function fitted(pane) {
    const { clientWidth: w, clientHeight: e } = pane.view, [x, y] = sides(pane.wide), columns = x * pane.size.columns, rows = y * pane.size.rows, share = Math.min(w / columns, e / rows);
    return { left: (w - share * columns) / 2, top: (e - share * rows) / 2, width: share * columns, height: share * rows };
  }

  // place is the point of the frame under the pointer.
  function place(pane, event) {
    const r = pane.view.getBoundingClientRect(), f = fitted(pane); // of what is seen, zoomed and moved
    const x = (event.clientX - r.left) / at.zoom, y = (event.clientY - r.top) / at.zoom;
    return [(x - f.left) / f.width * pane.size.columns, (y - f.top) / f.height * pane.size.rows];
  }

  function reading(pane, [x, y], what) {
    const { columns, rows } = pane.size, m = pane.map;
    if (x < 0 || y < 0 || x >= columns || y >= rows) return read("");
    const where = `${what} ${t("lens.at", { column: String(Math.floor(x)), row: String(Math.floor(y)) })}`;
    if (!m?.width) return read(where);
    const v = m.bytes[Math.floor(y / rows * m.height) * m.width + Math.floor(x / columns * m.width)];
    const share = m.signed ? (v - 128) / 127 : v / 255;
    if (pane.unseen.some(([left, top, right, bottom]) => x >= left && x < right && y >= top && y < bottom)) return read(`${where}: ${t("lens.unseen")}`);
    read(`${where}: ${t("lens.value", { value: figures(share * m.max), n: Math.round(100 * share) })}`);
  }

  function move() {
    for (const pane of shown.panes) {
      const f = fitted(pane);
      pane.view.style.setProperty("transform", `scale(${at.zoom}) translate(${at.x * f.width}px, ${at.y * f.height}px)`);
      pane.heat?.style.setProperty("opacity", on ? shown.opacity : 0);
      const from = shown.mode === "wipe" ? (f.left + shown.wipe / 100 * f.width) / pane.view.clientWidth : 0;
      pane.heat?.style.setProperty("clip-path", `inset(0 0 0 ${100 * from}%)`);
    }
  }

  function go(zoom, x, y) {
    at.zoom = Math.min(most, Math.max(1, zoom));
    const reach = 0.5 - 0.5 / at.zoom; // no further than the frame's edge
    at.x = Math.min(reach, Math.max(-reach, x));
    at.y = Math.min(reach, Math.max(-reach, y));
    move();
    moved(at);
  }

  const centre = () => { const p = shown.panes.at(-1); if (p) reading(p, [(0.5 - at.x) * p.size.columns, (0.5 - at.y) * p.size.rows], t("lens.centre")); };
  const paneOf = (event) => shown.panes.find((p) => p.figure.contains(event.target)) || shown.panes[0];

  el.addEventListener("wheel", (e) => { if (!shown.panes.length) return; e.preventDefault(); go(at.zoom * (e.deltaY < 0 ? 1.2 : 1 / 1.2), at.x, at.y); }, { passive: false });
  el.addEventListener("pointerdown", (e) => {
    if (e.button || !shown.panes.length) return;
    const pane = paneOf(e);
    held = { pane, from: place(pane, e), x: e.clientX, y: e.clientY, at: { ...at } };
    el.setPointerCapture(e.pointerId);
  });
  el.addEventListener("pointermove", (e) => {
    if (!shown.panes.length) return;
    const pane = held?.pane || paneOf(e), p = place(pane, e);
    reading(pane, p, "");
    if (!held) return;
    if (drawing) {
      const side = (a, b, end) => [Math.max(0, Math.round(Math.min(a, b))), Math.min(end, Math.round(Math.max(a, b)))];
      const [l, r] = side(held.from[0], p[0], pane.size.columns), [t, b] = side(held.from[1], p[1], pane.size.rows);
      box = [l, t, r, b];
      remark(pane);
    } else {
      const f = fitted(pane);
      go(at.zoom, held.at.x + (e.clientX - held.x) / at.zoom / f.width, held.at.y + (e.clientY - held.y) / at.zoom / f.height);
    }
  });
  const letGo = () => {
    if (held && drawing && box && box[2] - box[0] > 2 && box[3] - box[1] > 2) drawn(box);
    else if (held && box) { box = null; remark(held.pane); }
    held = box = null;
  };
  el.addEventListener("pointerup", letGo);
  el.addEventListener("pointercancel", letGo);
  el.addEventListener("pointerleave", () => held || read(""));
  el.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const step = 0.1 / at.zoom, way = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[e.key];
    if (way && (e.shiftKey || e.key === "ArrowUp" || e.key === "ArrowDown")) go(at.zoom, at.x + way[0], at.y + way[1]);
    else if (e.key === "+" || e.key === "=") go(at.zoom * 1.25, at.x, at.y);
    else if (e.key === "-") go(at.zoom / 1.25, at.x, at.y);
    else if (e.key === "0") go(1, 0, 0);
    else if (e.key === " " && shown.mode === "flicker") swap();
    else return key(e);
    e.preventDefault();
    centre();
  });
  new ResizeObserver(move).observe(el);

  function swap() {
    on = !on;
    move();
  }

  // flicker shows source and map in turns for a few seconds; a person goes on by hand.
  function flicker() {
    clearInterval(turn);
    on = true;
    if (shown.mode !== "flicker" || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    let left = swaps;
    turn = setInterval(() => { swap(); if (!--left) clearInterval(turn); }, pace);
  }

  function remark(pane) {
    const now = marks(pane, box);
    if (pane.wide) widened(now, pane.size, pane.wide);
    pane.marks.replaceWith(now);
    pane.marks = now;
  }

  function figure(pane) {
    pane.heat = pane.map && shown.mode !== "source" ? paint(pane.map, shown.colours, pane.label) : null;
    if (pane.plain) pane.heat = null;
    pane.marks = marks(pane);
    pane.view = h("div", { class: "view" }, pane.image(), pane.heat, pane.marks);
    shaped(pane.view, pane.size, (wide) => { pane.wide = wide; if (pane.figure?.isConnected) move(); });
    pane.figure = h("figure", null, h("div", { class: "stacked" }, pane.view), h("figcaption", null, pane.caption));
    return pane.figure;
  }

  return {
    el, swap,
    show(what) {
      const mode = shown.mode;
      shown = what;
      el.dataset.mode = what.mode;
      el.replaceChildren(...what.panes.map(figure));
      if (mode !== what.mode) flicker();
      move();
    },
    set(opacity, wipe) { Object.assign(shown, { opacity, wipe }); move(); },
    go, at: () => at,
    draw(wanted) { drawing = wanted; el.classList.toggle("drawing", wanted); if (wanted) el.scrollIntoView({ block: "center" }); },
    stop() { clearInterval(turn); },
  };
}
