// Whether a map is faithful on this frame: what becomes of the probability while what it points at goes, and while it comes back.
import { keep } from "./api.js";
import { h, slot, svg } from "./dom.js";
import { percent } from "./format.js";

export function faithful({ url, worded }) {
  const out = slot("div", { role: "status" }), go = h("button", { class: "button", id: "measure", onclick: measure }, "Measure it on this frame");
  let asked, of = "", shown = "";

  async function measure() {
    asked?.abort();
    asked = new AbortController();
    const { signal } = asked, question = of;
    out.show(["computing", question], () => h("div", { class: "computing" }, h("progress", { "aria-label": "The curves are being computed" }), "Computing: the network looks at the frame 66 times …"));
    try {
      const f = await keep(url(), signal);
      shown = question;
      out.show([f, question], () => curves(f, worded));
    } catch (e) {
      if (e.name !== "AbortError") out.show(e.why, () => h("p", { class: "notice bad" }, e.what, ": ", e.why));
    }
  }

  return {
    el: h("section", { class: "card", id: "faithful", "aria-labelledby": "faithful-title" }, h("h2", { id: "faithful-title" }, "Is the map faithful?"),
      h("p", { class: "muted" }, "If the map points at what the network goes by, the probability falls fast when the hottest pixels go first, and rises fast when they come back first."), go, out.el),
    update(question) { // what was measured of another question is no longer beside this one
      if (question === of) return;
      asked?.abort();
      of = question;
      if (shown !== of) out.show("", () => []);
    },
    stop() { asked?.abort(); },
  };
}

function curves(f, worded) {
  const width = 420, height = 200, line = (c, cls) => svg("path", { class: cls, d: `M${c.probabilities.map((p, i) => `${(i / (c.probabilities.length - 1) * width).toFixed(1)} ${(height - p * height).toFixed(1)}`).join("L")}` });
  const [from, half] = [f.deletion.probabilities[0], f.deletion.probabilities.findIndex((p) => p < f.deletion.probabilities[0] / 2)], steps = f.deletion.probabilities.length - 1;
  return [h("p", null, `${worded(f.class)} is at ${percent(from)}. `, half > 0 ? `It has halved once ${Math.round(100 * half / steps)} % of the pixels, the hottest first, are gone.` : "It does not fall to half, however much goes."),
    h("figure", { class: "curves" },
      svg("svg", { viewBox: `-46 -10 ${width + 74} ${height + 50}`, role: "img", "aria-label": `Deletion: area ${f.deletion.area.toFixed(2)}; insertion: area ${f.insertion.area.toFixed(2)}` },
        [0, 0.5, 1].map((p) => [svg("line", { x1: 0, x2: width, y1: height - p * height, y2: height - p * height }), svg("text", { x: -6, y: height - p * height + 4, "text-anchor": "end" }, `${100 * p} %`)]),
        [0, 50, 100].map((p) => svg("text", { x: p / 100 * width, y: height + 18, "text-anchor": "middle" }, `${p} %`)), svg("text", { x: width / 2, y: height + 36, "text-anchor": "middle" }, "of the pixels, the hottest first"),
        line(f.deletion, "deletion"), line(f.insertion, "insertion")),
      h("figcaption", null, h("span", { class: "key deletion" }, "deletion"), ` area ${f.deletion.area.toFixed(3)}: less is better · `, h("span", { class: "key insertion" }, "insertion"), ` area ${f.insertion.area.toFixed(3)}: more is better`)),
    h("p", { class: "muted" }, `AI, not verified. ${f.method}${f.layer ? ` at ${f.layer}` : ""}. One frame proves nothing: pictures with holes are unlike those that a network was trained on.`)];
}
