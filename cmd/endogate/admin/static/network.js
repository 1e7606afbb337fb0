// The network as a picture: its layers from the picture up, how fine their grid is, and what a place of each sees of the frame.
import { h, svg } from "./dom.js";
import { t } from "./words.js";

// layers lists those of the blocks, and the others where they are wanted; pick is called with the name of one.
export function layers(network, chosen, pick) {
  const side = Math.max(network.rows, network.columns), of = (l) => Math.max(l.rows, l.columns);
  const row = (l) => h("li", null, h("button", { class: "layer", "aria-pressed": String(l.name === chosen), onclick: () => pick(l.name) },
    svg("svg", { viewBox: "0 0 44 44", width: 44, height: 44, "aria-hidden": "true" },
      svg("rect", { class: "input", x: 1, y: 1, width: 42, height: 42 }),
      ...grid(of(l)), l.sees ? svg("rect", { class: "sees", x: 22 - 21 * l.sees / side, y: 22 - 21 * l.sees / side, width: 42 * l.sees / side, height: 42 * l.sees / side }) : null),
    h("span", null, h("span", { class: "layer-name" }, short(l.name), l.last ? h("span", { class: "tag" }, " ", t("network.last")) : null),
      h("span", { class: "muted" }, t("network.places", { size: `${l.columns}×${l.rows}`, n: l.channels }), h("br"), l.sees ? l.sees >= side ? t("network.sees-all") : t("network.sees", { some: l.sees, n: side }) : t("network.sees-unknown")))));
  const blocks = network.layers.filter((l) => l.block), others = network.layers.filter((l) => !l.block), hidden = !others.some((l) => l.name === chosen);
  return [h("h2", null, t("network.layer")), h("p", { class: "muted" }, t("network.what", { size: `${network.columns}×${network.rows}` })),
    h("ol", { class: "layers" }, blocks.map(row)),
    others.length ? h("details", { open: !hidden }, h("summary", null, t("network.all", { n: network.layers.length })), h("ol", { class: "layers" }, network.layers.map(row))) : null];
}

// grid draws as many lines as a small picture can show.
function grid(n) {
  const lines = Math.min(n, 14), step = 42 / lines;
  return Array.from({ length: lines - 1 }, (_, i) => 1 + (i + 1) * step).flatMap((v) => [svg("line", { x1: v, y1: 1, x2: v, y2: 43 }), svg("line", { x1: 1, y1: v, x2: 43, y2: v })]);
}

// short is a layer's name without what repeats in it, as PyTorch writes names out.
const short = (name) => name.replace(/\/(Conv|Relu|Add)$/, "").split("/").pop() === name ? name : name.split("/").filter(Boolean).slice(-3).filter((part, i, all) => !(i + 1 < all.length && all[i + 1].startsWith(`${part}.`))).join("/").replace(/\/Conv$/, "");
