// A map over its frame: the transparent layer that the slider mixes with the source, what was masked, outlines, the legend.
import { h, svg } from "./dom.js";
import { method, percent, worded } from "./format.js";
import { named, t } from "./words.js";

const ramp = 0.25; // of the scale, over which the layer fades in: as in the pictures that leave

// layer draws a map as the gateway draws it over a frame, transparent where it has no weight; the slider is its opacity.
export function layer(f, frame, palette) {
  const a = frame.analyses.find((x) => x.columns && x.findings.includes(f)), d = f.drawn;
  const scale = Math.min(1, 800 / a.columns), width = Math.round(a.columns * scale), height = Math.round(a.rows * scale);
  const canvas = h("canvas", { class: "heat", width, height, role: "img", "aria-label": t("map.for", { what: worded(f) }) });
  const values = Uint8Array.from(atob(d.values), (c) => c.charCodeAt(0)), image = canvas.getContext("2d").createImageData(width, height);
  const colours = palette.colours.map((c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16)));
  const [left, top, right, bottom] = d.crop.map((v) => v * scale);
  const tap = (at, from, to, cells) => {
    const v = Math.max((at + 0.5 - from) / (to - from) * cells - 0.5, 0), low = Math.min(Math.floor(v), cells - 1);
    return [low, Math.min(low + 1, cells - 1), v - low];
  };
  const cols = Array.from({ length: width }, (_, x) => tap(x, left, right, d.width));
  const unseen = (d.masked || []).map((box) => box.map((v) => v * scale));
  for (let y = Math.ceil(top); y < bottom && y < height; y++) {
    const [y0, y1, wy] = tap(y, top, bottom, d.height);
    for (let x = Math.ceil(left); x < right && x < width; x++) {
      if (unseen.some((m) => x + 0.5 >= m[0] && x + 0.5 < m[2] && y + 0.5 >= m[1] && y + 0.5 < m[3])) continue;
      const [x0, x1, wx] = cols[x], at = (cx, cy) => values[cy * d.width + cx];
      const upper = at(x0, y0) + (at(x1, y0) - at(x0, y0)) * wx, lower = at(x0, y1) + (at(x1, y1) - at(x0, y1)) * wx;
      const v = upper + (lower - upper) * wy, i = 4 * (y * width + x);
      image.data.set(colours[Math.round(v)], i);
      image.data[i + 3] = 255 * Math.min(v / 255 / ramp, 1);
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

// hatched are the parts of the frame that the network did not see.
export function hatched(frame, hot) {
  const masked = hot?.drawn?.masked, a = masked?.length && frame.analyses.find((x) => x.columns && x.findings.includes(hot));
  if (!a) return null;
  const apart = a.columns / 40;
  return svg("svg", { class: "masked", viewBox: `0 0 ${a.columns} ${a.rows}`, role: "img", "aria-label": t("map.masked-unseen") },
    svg("defs", null, svg("pattern", { id: "hatch", width: apart, height: apart, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("line", { x1: 0, y1: 0, x2: 0, y2: apart }))),
    masked.map(([left, top, right, bottom]) => [svg("rect", { x: left, y: top, width: right - left, height: bottom - top, fill: "url(#hatch)" }),
      svg("text", { x: (left + right) / 2, y: (top + bottom) / 2, "font-size": a.rows / 26 }, t("map.masked"))]));
}

// outline draws contours, which are in source pixels, so a view box of the frame's size puts them in place at any scale. They
// are those of the finding whose heatmap is shown, or of all where there is no heatmap, and stop at what is masked. Boxes and masks
// of the network are all shown, in a colour of their own, the one whose heatmap is shown with a full line.
export function outline(frame, hot) {
  const wanted = (f) => f.contours.length && (!hot || f === hot || f.outline && f.by === hot.by);
  const a = frame.analyses.find((x) => x.columns && x.findings.some(wanted));
  if (!a) return null;
  return svg("svg", { class: "contours", viewBox: `0 0 ${a.columns} ${a.rows}`, "aria-hidden": "true" },
    a.findings.filter(wanted).flatMap((f) => f.contours.map((points) => svg("path", { class: f.outline ? (f === hot ? "own" : "own other") : "hot", d: f.outline ? `M${points.map((p) => p.join(" ")).join("L")}` : open(points, f.drawn?.masked || []) }))));
}

function open(points, masked) {
  const near = 1.5, at = ([x, y]) => masked.some(([l, t, r, b]) => x >= l - near && x <= r + near && y >= t - near && y <= b + near);
  return points.map((p, i) => `${i && !(at(p) && at(points[i - 1])) ? "L" : "M"}${p[0]} ${p[1]}`).join(" ");
}

// legend is all that has to be known of a map, beside it.
export function legend(f, palette) {
  const bar = h("canvas", { class: "scale", width: palette?.colours.length || 1, height: 1, role: "img", "aria-label": t("map.colours") });
  if (palette) {
    const g = bar.getContext("2d");
    palette.colours.forEach((c, x) => { g.fillStyle = c; g.fillRect(x, 0, 1, 1); });
  }
  const d = f.drawn;
  return [h("strong", null, t("frame.ai")), ` · ${worded(f)} ${percent(f.probability)} · ${f.by}`,
    d ? ` · ${method(d.method)}${d.layer && d.layer !== "last" ? ` ${t("map.at", { layer: d.layer })}` : ""}` : "", h("br"),
    palette ? ["0 ", bar, " ", t("map.scale")] : null,
    f.contours.length ? ` · ${f.outline ? t("map.blue-line", { outline: named("outline", f.outline) }) : t("map.hot")}` : "",
    f.share ? ` · ${t("map.share", { outline: named("outline", f.outline), share: percent(f.share) })}` : "",
    d?.masked?.length ? ` · ${t("map.hatched")}` : "",
    d?.fallback ? h("div", null, d.fallback) : null];
}
