// The sections of a draft, written in place. What a person has to complete is gone to by key, one place after another.
import { h, slot } from "./dom.js";
import { t } from "./words.js";
import { todo } from "./desk.js";

// createSections returns them; write takes over what is being written, left is called when somebody has written and goes elsewhere.
export function createSections({ write, left }) {
  const list = slot("div", { class: "draft-sections" }), rows = new Map();
  let called = todo, editable = false;

  function rowOf(name) {
    let row = rows.get(name);
    if (row) return row;
    const head = slot("div", { class: "row" }), note = slot("div");
    const field = h("textarea", { id: `section-${name}`, rows: 2, "aria-labelledby": `head-${name}`, oninput: () => { fit(field); write({ op: "section", section: name, text: field.value.replaceAll(called, todo) }); }, onchange: left });
    row = { el: h("section", { class: "draft-section" }, head.el, field, note.el), head, field, note };
    rows.set(name, row);
    return row;
  }
  const fit = (field) => { field.rows = Math.min(24, field.value.split("\n").reduce((n, line) => n + Math.max(1, Math.ceil(line.length / 90)), 0)); };

  function draw(s) {
    const row = rowOf(s.name), text = s.text.replaceAll(todo, called), open = s.text.split(todo).length - 1, mine = editable && s.fill !== "gateway";
    row.head.show([s.heading, open, s.unsaved, mine], () => [h("h3", { id: `head-${s.name}` }, s.heading || s.name),
      open && mine ? h("span", { class: "tag finding" }, t("report.to-complete", { n: open })) : null, s.unsaved ? h("span", { class: "tag finding" }, t("report.unsaved")) : null,
      s.fill === "gateway" ? h("span", { class: "muted" }, t("report.gateways")) : null]);
    row.note.show([mine, s.by.system, s.fill], () => mine && !s.by.system && s.fill === "ai" ? h("p", { class: "muted" }, t("report.by-hand")) : []);
    row.field.readOnly = !mine;
    const writes = document.activeElement === row.field && (s.unsaved || row.field.value.trimEnd() === text);
    if (!writes && row.field.value !== text) { row.field.value = text; fit(row.field); }
  }

  return {
    el: list.el,
    show(doc, may) {
      [called, editable] = [doc.to_be_completed || todo, may];
      doc.sections.forEach(draw);
      list.show(doc.sections.map((s) => s.name), () => doc.sections.map((s) => rowOf(s.name).el));
    },
    // go puts the caret on the next place that is to be completed, or the one before; it says whether there is one.
    go(by) {
      const places = [...list.el.querySelectorAll("textarea:not([readonly])")].flatMap((field) => {
        const found = [];
        for (let i = field.value.indexOf(called); i >= 0; i = field.value.indexOf(called, i + 1)) found.push({ field, i });
        return found;
      });
      if (!places.length) return false;
      const now = document.activeElement, caret = now.selectionStart ?? 0;
      const after = (p) => now.tagName !== "TEXTAREA" || !list.el.contains(now) ? true : p.field === now ? p.i >= now.selectionEnd : !!(now.compareDocumentPosition(p.field) & Node.DOCUMENT_POSITION_FOLLOWING);
      const before = (p) => p.field === now ? p.i < caret : !!(now.compareDocumentPosition(p.field) & Node.DOCUMENT_POSITION_PRECEDING);
      const to = by > 0 ? places.find(after) || places[0] : places.findLast(before) || places.at(-1);
      to.field.focus();
      to.field.setSelectionRange(to.i, to.i + called.length);
      to.field.scrollIntoView({ block: "center" });
      return true;
    },
  };
}
