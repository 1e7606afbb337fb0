// Two versions of a draft where somebody has edits in one of them: what it was, what it is by now, and what the person writes, side by side, until the person has made one of them.
import { h, slot } from "./dom.js";
import { absolute } from "./format.js";
import { t } from "./words.js";
import { todo, versionOf } from "./desk.js";
import { changes, described, difference, mine, subjectOf, titleOf } from "./draftchanges.js";
import { confirmed, opens } from "./draftacts.js";

// createMerge returns the panel; who says in words who made a version.
export function createMerge(desk, who) {
  const box = slot("div"), wrote = new Map(), theirs = new Set(); // what a person wrote before the panel was opened; what of theirs is taken
  let fields = new Map();

  async function done() {
    const list = desk.edits.filter((e) => !theirs.has(subjectOf(e)));
    const signed = !["draft", "amending"].includes(desk.doc.standing);
    if (!list.length) { forgotten(); return desk.forget(() => true); }
    if (!signed) { await desk.merged(list); return forgotten(); }
    const reason = await confirmed({ title: t("report.merge.amend"), said: [opens(desk.doc), t("report.merge.amend-then")], yes: t("report.amend"), reason: true });
    if (!reason) return;
    await desk.reopen(reason, list);
    forgotten();
  }
  function forgotten() { wrote.clear(); theirs.clear(); }
  async function discard() {
    if (!await confirmed({ title: t("report.discard.title"), said: [t("report.discard.said")], yes: t("report.discard"), danger: true })) return;
    forgotten();
    desk.forget(() => true);
  }

  function row(subject) {
    const was = described(desk.base, subject), is = described(desk.doc, subject), own = mine(desk.base, desk.edits, subject), section = subject.startsWith("section/");
    const id = `merge-${subject.replaceAll(/[^\w]/g, "-")}`, name = subject.slice(8), called = desk.doc.to_be_completed || todo;
    const set = (text) => { fields.get(subject).value = text; desk.write({ op: "section", section: name, text: text.replaceAll(called, todo) }); };
    if (!wrote.has(subject)) wrote.set(subject, own);
    let last;
    if (section) {
      const field = h("textarea", { id, rows: Math.min(16, own.split("\n").length + 2), oninput: () => set(field.value), value: own });
      fields.set(subject, field);
      last = [h("label", { for: id }, t("report.merge.mine")), field, h("div", { class: "row" },
        h("button", { class: "button small", id: `${id}-theirs`, onclick: () => set(is) }, t("report.merge.take-theirs")),
        h("button", { class: "button small", id: `${id}-both`, onclick: () => set(`${is}\n${wrote.get(subject)}`) }, t("report.merge.both")),
        h("button", { class: "button small", id: `${id}-mine`, onclick: () => set(wrote.get(subject)) }, t("report.merge.mine-again")))];
    } else {
      const pick = (value, text) => h("label", { class: "check" }, h("input", { type: "radio", name: id, id: `${id}-${value}`, checked: theirs.has(subject) === (value === "theirs"), onchange: () => value === "theirs" ? theirs.add(subject) : theirs.delete(subject) }), text);
      last = h("fieldset", null, h("legend", null, t("report.merge.mine")), difference(was, own), pick("mine", t("report.merge.keep-mine")), pick("theirs", t("report.merge.keep-theirs")));
    }
    return h("div", { class: "merge", role: "group", "aria-label": titleOf(desk.doc, subject) }, h("h3", null, titleOf(desk.doc, subject), h("span", { class: "muted" }, ` · ${was === is ? t("report.merge.untouched") : t("report.merge.both-changed")}`)),
      h("div", { class: "sides" },
        h("div", null, h("strong", null, t("report.merge.was", { version: versionOf(desk.base) })), h("div", { class: "difference wrap" }, was)),
        h("div", null, h("strong", null, t("report.merge.is", { version: versionOf(desk.doc) })), difference(was, is)),
        h("div", null, last)));
  }

  return {
    el: box.el,
    show() {
      const subjects = desk.clash ? [...new Set(desk.edits.map(subjectOf))] : [];
      const writes = document.activeElement?.id, caret = document.activeElement?.selectionStart, was = box.el.firstChild;
      box.show(desk.clash ? [versionOf(desk.base), versionOf(desk.doc), subjects] : null, () => {
        fields = new Map();
        if (!desk.clash) return [];
        const others = changes(desk.base, desk.doc).filter((s) => !subjects.includes(s) && !["standing", "notices"].includes(s));
        const signed = !["draft", "amending"].includes(desk.doc.standing);
        return h("section", { class: "card clash", id: "clash", "aria-labelledby": "clash-title", tabindex: -1 },
          h("h2", { id: "clash-title" }, t("report.merge.title")),
          h("p", null, t("report.merge.said", { base: versionOf(desk.base), version: versionOf(desk.doc), who: who(desk.doc.author), at: absolute(desk.doc.at) }), " ", signed ? desk.doc.standing === "withdrawn" ? t("report.merge.withdrawn") : t("report.merge.signed") : t("report.merge.how")),
          subjects.map(row),
          others.length ? h("p", { class: "muted" }, t("report.merge.others", { list: others.map((s) => titleOf(desk.doc, s)).join(", ") })) : null,
          h("div", { class: "row" }, h("button", { class: "button primary", id: "merge-save", onclick: done }, signed ? t("report.merge.amend") : t("report.merge.save"), " ", h("kbd", null, t("report.key.save"))),
            h("button", { class: "button", id: "merge-discard", onclick: discard }, t("report.discard"))));
      });
      if (!desk.clash || box.el.firstChild === was) return;
      const field = fields.get(`section/${writes?.replace(/^(merge-)?section-/, "")}`); // who writes goes on there
      (field || document.getElementById("clash")).focus();
      field?.setSelectionRange(caret, caret);
    },
    done,
  };
}
