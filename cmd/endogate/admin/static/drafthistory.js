// The versions of a study's drafts, the newest first: who made each, what changed in it, and the way back to it.
import { h, slot } from "./dom.js";
import { absolute } from "./format.js";
import { named, t } from "./words.js";
import { historyPage } from "./desk.js";
import { changes, described, difference, titleOf } from "./draftchanges.js";

const page = 50; // versions shown at once

// createHistory returns the list; back goes back to a version, who says in words who made one.
export function createHistory(desk, { back, who }) {
  const list = slot("ol", { class: "versions" }), opened = new Map(); // what changed, by version
  let versions = [], all = false;
  const name = (v) => `${v.number}.${v.version}`;

  async function open(v, before) {
    if (opened.has(name(v))) opened.delete(name(v));
    else {
      const [is, was] = await Promise.all([desk.version(v.number, v.version), before ? desk.version(before.number, before.version) : null]);
      opened.set(name(v), was ? changes(was, is).map((s) => [titleOf(s.startsWith("finding/") && described(is, s) ? is : was, s), described(was, s), described(is, s)]) : []);
    }
    draw();
  }

  function draw() {
    const shown = [...versions].reverse().slice(0, all ? undefined : page);
    list.show([shown, desk.editable, desk.doc?.number, desk.doc?.version, [...opened]], () => [...shown.map((v, i) => {
      const before = versions[versions.length - i - 2], what = opened.get(name(v));
      const author = { name: v.author, system: v.system, unauthenticated: v.unauthenticated };
      return h("li", null,
        h("div", { class: "row between" }, h("strong", null, `${name(v)} · ${named("report-event", v.event)}`), h("span", { class: "muted" }, absolute(v.at))),
        h("div", { class: "muted wrap" }, who(author)),
        h("div", { class: "row" },
          before ? h("button", { class: "button small", id: `what-${name(v)}`, "aria-expanded": String(!!what), onclick: () => open(v, before) }, t("report.what-changed"), h("span", { class: "hidden" }, ` ${name(v)}`)) : null,
          h("a", { href: desk.pdf(v), target: "_blank", rel: "noopener" }, t("report.pdf-of", { version: name(v) })),
          desk.editable && v.number === desk.doc.number && v.version < desk.doc.version && /^(draft|amending)$/.test(v.standing) ? h("button", { class: "button small", id: `back-to-${name(v)}`, onclick: () => back(v) }, t("report.go-back"), h("span", { class: "hidden" }, ` ${name(v)}`)) : null),
        what ? what.length ? what.map(([title, was, is]) => h("div", { class: "changed" }, h("h4", null, title), difference(was, is))) : h("p", { class: "muted" }, t("report.nothing-changed")) : null);
    }), all || versions.length <= page ? null : h("li", null, h("button", { class: "button", id: "all-versions", onclick: () => { all = true; draw(); } }, t("report.all-versions", { n: versions.length })))]);
  }

  return {
    el: h("div", { class: "history", tabindex: 0, role: "group", "aria-label": t("report.history") }, list.el),
    async read(signal) {
      let read = [], some;
      do {
        some = (await desk.history(read.length, signal)).versions;
        read = read.concat(some);
      } while (some.length === historyPage);
      versions = read;
      draw();
    },
  };
}
