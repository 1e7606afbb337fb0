// Maps beside each other: rows of tiles, each an answer of its own, computed when somebody opens them.
import { h } from "./dom.js";
import { paint } from "./lens.js";
import { shaped } from "./shape.js";
import { t } from "./words.js";

export function beside({ title, tiles, pick }) {
  const rows = h("div", { class: "rows" }), el = h("details", { class: "card", id: "beside", ontoggle: () => fill() }, h("summary", null, h("strong", null, title)), rows);
  let wanted = "", filled = "", asking;

  async function fill() {
    if (!el.open || !wanted || filled === wanted) return;
    filled = wanted;
    asking?.abort();
    asking = new AbortController();
    const { signal } = asking, open = [];
    rows.replaceChildren(...tiles().filter((row) => row.tiles.length).map((row) => h("section", { "aria-label": row.title }, h("h3", null, row.title),
      h("div", { class: "tiles", id: `tiles-${row.name}` }, row.tiles.map((of) => { const tile = empty(of); open.push([of, tile]); return tile.el; })))));
    for (const [of, tile] of open) { // one after the other, so that what is chosen meanwhile does not wait
      try {
        const e = await of.ask(signal);
        tile.show(e);
      } catch (e) {
        if (e.name === "AbortError") return;
        tile.fail(e);
      }
    }
  }

  function empty(of) {
    const view = h("span", { class: "stacked" }, of.image()), note = h("span", { class: "muted" }, t("beside.computing"));
    return {
      el: h("button", { class: "tile", onclick: () => pick(of.choice) }, view, h("span", { class: "tile-title" }, of.title), note),
      show(e) {
        const heat = paint(e.map, of.colours, t("beside.map", { method: of.title }));
        heat.style.setProperty("opacity", Math.max(of.opacity, 0.6));
        view.append(heat);
        shaped(view, e.map);
        note.textContent = e.map.width ? t("frame.ai") : e.notes.at(-1);
      },
      fail(e) { note.textContent = t("beside.not", { why: e.why || e.what }); },
    };
  }

  return {
    el,
    update(what) { wanted = what; fill(); },
    stop() { asking?.abort(); },
  };
}
