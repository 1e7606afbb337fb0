// Whether a map is faithful on this frame: what becomes of the probability while what it points at goes, and while it comes back.
import { keep } from "./api.js";
import { h, slot, svg } from "./dom.js";
import { decimal, percent } from "./format.js";
import { t } from "./words.js";

export function faithful({ url, worded }) {
  const out = slot("div", { role: "status" }), go = h("button", { class: "button", id: "measure", onclick: measure }, t("faithful.measure"));
  let asked, of = "", shown = "";

  async function measure() {
    asked?.abort();
    asked = new AbortController();
    const { signal } = asked, question = of;
    out.show(["computing", question], () => h("div", { class: "computing" }, h("progress", { "aria-label": t("faithful.being-computed") }), t("faithful.computing")));
    try {
      const f = await keep(url(), signal);
      shown = question;
      out.show([f, question], () => curves(f, worded));
    } catch (e) {
      if (e.name !== "AbortError") out.show(e.why, () => h("p", { class: "notice bad" }, e.what, ": ", e.why));
    }
  }

  return {
    el: h("section", { class: "card", id: "faithful", "aria-labelledby": "faithful-title" }, h("h2", { id: "faithful-title" }, t("faithful.title")),
      h("p", { class: "muted" }, t("faithful.what")), go, out.el),
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
  return [h("p", null, t("faithful.at", { class: worded(f.class), probability: percent(from) }), " ", half > 0 ? t("faithful.halved", { n: Math.round(100 * half / steps) }) : t("faithful.not-half")),
    h("figure", { class: "curves" },
      svg("svg", { viewBox: `-46 -10 ${width + 74} ${height + 50}`, role: "img", "aria-label": t("faithful.areas", { deletion: decimal(f.deletion.area, 2), insertion: decimal(f.insertion.area, 2) }) },
        [0, 0.5, 1].map((p) => [svg("line", { x1: 0, x2: width, y1: height - p * height, y2: height - p * height }), svg("text", { x: -6, y: height - p * height + 4, "text-anchor": "end" }, `${100 * p} %`)]),
        [0, 50, 100].map((p) => svg("text", { x: p / 100 * width, y: height + 18, "text-anchor": "middle" }, `${p} %`)), svg("text", { x: width / 2, y: height + 36, "text-anchor": "middle" }, t("faithful.axis")),
        line(f.deletion, "deletion"), line(f.insertion, "insertion")),
      h("figcaption", null, h("span", { class: "key deletion" }, t("faithful.deletion")), " ", t("faithful.less", { area: decimal(f.deletion.area, 3) }), " · ", h("span", { class: "key insertion" }, t("faithful.insertion")), " ", t("faithful.more", { area: decimal(f.insertion.area, 3) }))),
    h("p", { class: "muted" }, `${t("frame.ai")}. ${f.method}${f.layer ? ` ${t("map.at", { layer: f.layer })}` : ""}. `, t("faithful.one-frame"))];
}
