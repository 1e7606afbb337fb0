// Maps beside each other: rows of tiles, each an answer of its own, computed when somebody opens them.
import { h } from "./dom.js";
import { paint } from "./lens.js";

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
      h("div", { class: "tiles", id: `tiles-${row.name}` }, row.tiles.map((t) => { const tile = empty(t); open.push([t, tile]); return tile.el; })))));
    for (const [t, tile] of open) { // one after the other, so that what is chosen meanwhile does not wait
      try {
        const e = await t.ask(signal);
        tile.show(e);
      } catch (e) {
        if (e.name === "AbortError") return;
        tile.fail(e);
      }
    }
  }

  function empty(t) {
    const view = h("span", { class: "stacked" }, t.image()), note = h("span", { class: "muted" }, "Computing …");
    return {
      el: h("button", { class: "tile", onclick: () => pick(t.choice) }, view, h("span", { class: "tile-title" }, t.title), note),
      show(e) {
        const heat = paint(e.map, t.colours, `Map by ${t.title}`);
        heat.style.setProperty("opacity", Math.max(t.opacity, 0.6));
        view.append(heat);
        note.textContent = e.map.width ? "AI, not verified" : e.notes.at(-1);
      },
      fail(e) { note.textContent = `Not computed: ${e.why || e.what}`; },
    };
  }

  return {
    el,
    update(what) { wanted = what; fill(); },
    stop() { asking?.abort(); },
  };
}
