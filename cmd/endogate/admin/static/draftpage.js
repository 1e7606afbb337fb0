// The reporter's page: the draft of a study, edited in place, with the picture beside each finding and the PDF beside all of it.
import { get } from "./api.js";
import { author as whoWrites, forgetAuthor, knownAuthor } from "./author.js";
import { h, slot } from "./dom.js";
import { absolute, chip, personName } from "./format.js";
import { named, t } from "./words.js";
import { openDesk, projected, versionOf } from "./desk.js";
import { amend, confirmed, open, sign, withdraw } from "./draftacts.js";
import { called } from "./draftchanges.js";
import { createFindings } from "./draftfindings.js";
import { createHistory } from "./drafthistory.js";
import { createImages } from "./draftimages.js";
import { createMerge } from "./draftmerge.js";
import { createSections } from "./draftsections.js";

const tones = { draft: ["warn", "◔"], amending: ["warn", "◔"], signed: ["good", "✓"], amended: ["good", "✓"], withdrawn: ["bad", "×"] };
const oneKey = "endogate-one-key"; // whether single keys act, which somebody who dictates turns off

export function draftView({ uid }) {
  let me, desk, doc, merge, findings, images, sections, history, codes = { findings: [], sites: [] }, now = "", order = [], shown = false, asked = null;
  let side = innerWidth > 1180 ? "pdf" : "", told = "", keysOn = localStorage.getItem(oneKey) !== "no";
  const bar = slot("div", { class: "draft-bar" }), state = slot("div", { role: "status", class: "saved" }), acts = slot("div", { class: "row acts" });
  const notes = slot("div"), beside = slot("div"), added = slot("div"), work = h("div", { class: "reporting" }), said = h("div", { class: "hidden", role: "status" });
  const pdf = h("iframe", { class: "pdf", id: "pdf", title: t("report.pdf") }), left = h("div", { class: "draft-left" }), right = h("aside", { class: "draft-right", "aria-label": t("report.beside") });
  const el = h("div", { class: "draft-page" }, h("a", { class: "back", href: `#/studies/${encodeURIComponent(uid)}` }, t("report.back")), h("div", { class: "draft-top" }, bar.el, state.el, acts.el), said, work);

  const who = (a) => a.system ? t("report.by-gateway") : a.unauthenticated ? t("report.by-unknown", { name: personName(a.name) }) : t("report.by", { name: personName(a.name) });
  const say = (text) => { said.textContent = text; };
  const current = () => doc?.findings.find((f) => f.id === now);

  // author is who somebody without sign-in says to be.
  function author() {
    if (knownAuthor()) return whoWrites();
    asked ||= new Promise((soon) => setTimeout(soon)).then(() => whoWrites()).then((name) => { // once what was done is done: the focus comes back to where it has gone
      asked = null;
      draw();
      return name;
    });
    return asked;
  }

  function select(id) {
    if (now === id) return;
    now = id;
    for (const f of order) { const el = findings.element(f); f === id ? el.setAttribute("aria-current", "true") : el.removeAttribute("aria-current"); }
    images.redraw();
  }
  function go(id) {
    const el = findings.element(id);
    if (!el) return;
    select(id);
    el.focus({ preventScroll: true });
    el.scrollIntoView({ block: "nearest" });
  }
  const step = (by) => go(order[Math.max(0, Math.min(order.length - 1, order.indexOf(now) + by))]);
  // onward goes to the next finding that nobody has decided.
  function onward(id) {
    const undecided = (x) => x !== id && doc.findings.find((f) => f.id === x)?.decision === "proposed";
    const next = [...order.slice(order.indexOf(id) + 1), ...order].find(undecided);
    if (next) return go(next);
    go(id);
    say(t("report.all-decided"));
  }

  async function does(act, id) {
    if (!desk.editable) return;
    const f = doc.findings.find((x) => x.id === id);
    if (!f) return;
    if (act === "accept" || act === "reject") {
      say(act === "accept" ? t("report.accepted", { finding: called(f) }) : t("report.rejected", { finding: called(f) }));
      desk.edit({ op: act, finding: id });
      onward(id);
    } else if (act === "modify") { select(id); findings.modify(id); }
    else if (act === "save") { findings.close(id); desk.save(); onward(id); }
    else if (act === "cancel") { findings.close(id); desk.forget((e) => e.op === "change" && e.finding === id); go(id); }
    else if (act === "remove" && await confirmed({ title: t("report.remove.title", { finding: called(f) }), said: [t("report.remove.said")], yes: t("report.remove"), danger: true })) desk.edit({ op: "remove", finding: id });
  }

  const may = () => ({
    sign: desk.editable && me.signs, unsigned: me.rights.includes("report") && !me.signs, amend: !desk.clash && /^(signed|amended|withdrawn)$/.test(desk.doc.standing) && me.rights.includes("report"),
    withdraw: !desk.clash && desk.doc.standing !== "withdrawn" && me.rights.includes("report") && me.signs, undo: desk.editable && desk.doc.version > 1,
  });
  async function undo(version) {
    if (await desk.undo(version)) say(t("report.undone", { version: versionOf(desk.doc) }));
  }
  async function back(v) {
    if (await confirmed({ title: t("report.back-to.title", { version: versionOf(v) }), said: [t("report.back-to.said", { version: versionOf(v) })], yes: t("report.go-back") })) undo(v.version);
  }
  function show(what) {
    side = side === what ? "" : what;
    told = "";
    draw();
  }

  const keys = (e) => {
    if (!desk?.doc || document.querySelector("dialog[open]")) return;
    const field = e.target.closest("input, textarea, select"), form = e.target.closest(".modify");
    if (e.altKey && /^Arrow(Down|Up)$/.test(e.key)) { if (!sections.go(e.key === "ArrowDown" ? 1 : -1)) say(t("report.none-open")); return e.preventDefault(); }
    if ((e.ctrlKey || e.metaKey) && e.key === "Enter") {
      e.preventDefault();
      if (e.target.closest(".clash")) return merge.done();
      if (form) return does("save", form.closest(".draft-finding").dataset.id);
      desk.save();
      if (field && !sections.go(1)) { field.blur(); go(now); }
      return;
    }
    if (e.key === "Escape" && form) { e.preventDefault(); return does("cancel", form.closest(".draft-finding").dataset.id); }
    if (e.key === "Escape" && field) { field.blur(); return go(now); }
    if (!keysOn || field || e.repeat || e.ctrlKey || e.metaKey || e.altKey) return;
    const can = may();
    const act = {
      j: () => step(1), k: () => step(-1), a: () => does("accept", now), r: () => does("reject", now), m: () => does("modify", now), i: () => images.into(findings.frame(now)),
      "<": () => findings.turn(now, -1), ">": () => findings.turn(now, 1), t: () => sections.go(1) || say(t("report.none-open")), p: () => show("pdf"), h: () => show("history"),
      u: () => can.undo && undo(), s: () => can.sign && sign(desk, me), n: () => document.getElementById("add-finding")?.focus(),
    }[e.key];
    if (!act) return;
    e.preventDefault();
    act();
  };
  document.addEventListener("keydown", keys);

  function build() {
    const changed = () => draw();
    desk = openDesk(uid, me, author, changed);
    merge = createMerge(desk, who);
    findings = createFindings({ does, select, write: (e) => desk.write(e), dropped: (id) => { const f = images.dragged(); if (f) { select(id); images.choose(f, id); } } });
    images = createImages({ edit: (e) => desk.edit(e), current });
    sections = createSections({ write: (e) => desk.write(e), left: () => desk.save() });
    history = createHistory(desk, { back, who });
    left.append(merge.el, notes.el, h("h2", { class: "part" }, t("report.findings")), findings.el, added.el, images.el, h("h2", { class: "part" }, t("report.sections")), sections.el);
    right.append(beside.el);
    work.append(left, right);
  }

  function draw() {
    if (!desk?.doc) return;
    const saved = desk.doc, can = may(), pending = desk.clash ? projected(desk.base, desk.edits) : projected(saved, desk.edits);
    doc = pending;
    const verified = saved.signature?.verified && saved.standing !== "withdrawn"; // as the PDF has it
    bar.show([saved.standing, saved.number, saved.version, saved.at, saved.patient.name], () => [h("h1", null, personName(saved.patient.name)), chip({ [saved.standing]: [...tones[saved.standing], named("report-standing", saved.standing)] }, saved.standing),
      verified ? null : h("strong", { class: "warn", id: "not-verified" }, t("report.ai")), h("span", { class: "muted" }, `${saved.heading || saved.title.meaning} · ${versionOf(saved)} · ${who(saved.author)}, ${absolute(saved.at)}`)]);
    state.show([desk.saving, desk.unsaved, desk.lost, desk.clash, desk.newer, desk.fault && [desk.fault.what, desk.fault.why, desk.fault.next], versionOf(saved)], saving);
    acts.show([can, side, open(doc), me.signed_in], () => [
      can.undo ? h("button", { class: "button", id: "undo", onclick: () => undo() }, t("report.undo"), " ", h("kbd", null, "u")) : null,
      h("button", { class: "button", id: "show-history", "aria-pressed": String(side === "history"), onclick: () => show("history") }, t("report.history"), " ", h("kbd", null, "h")),
      h("button", { class: "button", id: "show-pdf", "aria-pressed": String(side === "pdf"), onclick: () => show("pdf") }, t("report.pdf-short"), " ", h("kbd", null, "p")),
      can.amend ? h("button", { class: "button", id: "amend", onclick: () => amend(desk) }, t("report.amend")) : null,
      can.withdraw ? h("button", { class: "button", id: "withdraw", onclick: () => withdraw(desk) }, t("report.withdraw")) : null,
      can.sign ? h("button", { class: "button primary", id: "sign", onclick: () => sign(desk, me) }, t("report.sign"), " ", h("kbd", null, "s")) : null]);
    merge.show();
    left.dataset.clash = desk.clash ? "yes" : "";
    notes.show([saved.standing, saved.signature, saved.notices, can.unsigned, desk.editable, me.signed_in ? "" : knownAuthor()], () => [signature(saved),
      !me.signed_in && desk.editable && knownAuthor() ? h("p", { class: "row muted", id: "writes-as" }, t("report.writes-as", { name: knownAuthor() }), h("button", { class: "button small", id: "somebody-else", onclick: () => { forgetAuthor(); draw(); } }, t("report.somebody-else"))) : null,
      saved.notices.map((n) => h("div", { class: "notice warn wrap", role: "note" }, n)),
      can.unsigned ? h("div", { class: "notice warn", role: "note", id: "no-sign" }, t("report.no-sign")) : null,
      me.rights.includes("report") ? null : h("div", { class: "notice", role: "note", id: "read-only" }, t("report.read-only", { role: named("role", me.role) })),
      desk.editable ? h("details", { class: "muted keys-line" }, h("summary", { id: "keys" }, t("report.keys")), keyList(), h("label", { class: "check" }, h("input", { type: "checkbox", id: "one-key", checked: keysOn, onchange: (e) => { keysOn = e.target.checked; localStorage.setItem(oneKey, keysOn ? "yes" : "no"); } }), t("report.one-key"))) : null]);
    order = findings.show(doc, desk.editable, codes);
    if (!order.includes(now)) now = order.find((id) => doc.findings.find((f) => f.id === id).decision === "proposed") || order[0] || "";
    for (const id of order) if (id === now) findings.element(id).setAttribute("aria-current", "true");
    added.show([desk.editable, codes.findings], () => desk.editable && codes.findings.length ? adding() : []);
    images.show(doc, desk.editable);
    sections.show(doc, desk.editable);
    work.dataset.side = side;
    beside.show([side, side === "pdf" ? desk.pdf(saved) : ""], () => side === "pdf" ? [pdfOf(desk.pdf(saved))] : side === "history" ? [h("h2", null, t("report.history")), history.el] : []);
    if (side === "history" && told !== versionOf(saved)) {
      told = versionOf(saved);
      history.read().catch((e) => { told = ""; if (e.status === undefined) throw e; }); // asked again at the next turn
    }
    if (!shown) { shown = true; go(now); }
  }

  function pdfOf(src) {
    if (pdf.getAttribute("src") !== src) pdf.setAttribute("src", src);
    return h("div", { class: "pdf-box" }, pdf, h("a", { href: src, target: "_blank", rel: "noopener" }, t("report.pdf-open")));
  }

  function saving() {
    const now = h("button", { class: "button small", id: "save-now", onclick: () => desk.save() }, t("report.save-now"));
    if (desk.saving) return t("report.saving");
    if (desk.clash) return h("span", { class: "bad" }, t("report.not-saved-clash"));
    if (desk.fault) return h("div", { class: "notice bad" }, h("strong", null, desk.fault.what), " ", desk.fault.why, ". ", desk.fault.next, desk.unsaved ? [" ", t("report.kept"), " ", now] : null);
    if (desk.lost && desk.unsaved) return h("span", { class: "bad" }, t("report.not-saved-lost"), " ", now);
    if (desk.unsaved) return h("span", { class: "warn" }, t("report.not-saved"), desk.newer ? ` ${t("report.newer", { version: desk.newer })}` : "", " ", now);
    return h("span", { class: "muted" }, t("report.saved", { version: versionOf(desk.doc) }));
  }

  function keyList() {
    return Object.entries({ j: t("report.next"), k: t("report.before"), a: t("report.accept"), r: t("report.reject"), m: t("report.modify"), "<": t("report.frame-before"), ">": t("report.frame-after"), i: t("report.strip"),
      n: t("report.new-finding"), t: t("report.next-open"), [t("report.key.next-open")]: t("report.next-open"), [t("report.key.save")]: t("report.save"), [t("report.key.enter")]: t("report.keys.choose"), [t("report.key.shift-enter")]: t("report.keys.choose-alone"), [t("report.key.left")]: t("report.keys.earlier"), [t("report.key.right")]: t("report.keys.later"), [t("report.key.delete")]: t("report.keys.drop"), u: t("report.undo"), s: t("report.sign") })
      .map(([key, what]) => [h("kbd", null, key), ` ${what} `]);
  }

  function adding() {
    const choice = h("select", { id: "add-finding" }, codes.findings.map((c, i) => h("option", { value: i }, c.meaning)));
    return h("form", { class: "row add", onsubmit: (e) => { e.preventDefault(); desk.edit({ op: "add", code: codes.findings[choice.value] }); } },
      h("label", { for: "add-finding" }, t("report.new-finding")), choice, h("button", { class: "button", id: "add" }, t("report.add")));
  }

  function signature(d) {
    const s = d.signature;
    if (!s) return null;
    const worth = d.standing === "withdrawn" ? t("report.do-not-use") : s.verified ? t("report.verified") : t("report.unverified");
    return h("div", { class: `notice wrap ${d.standing === "withdrawn" ? "bad" : s.verified ? "good" : "warn"}`, role: "note", id: "signature" },
      h("strong", null, `${named("report-standing", d.standing)} ${who(s.by)}, ${absolute(s.at)}. `), worth, s.reason ? ` ${t("report.reason")}: ${s.reason}` : "");
  }

  return {
    title: () => desk?.doc ? t("report.title", { name: personName(desk.doc.patient.name) }) : t("report.draft"),
    interval: () => desk?.doc ? 5000 : 3000,
    stop() { document.removeEventListener("keydown", keys); },
    el,
    async read(signal) {
      if (!desk) {
        if (!shown) work.replaceChildren(h("p", { class: "muted", role: "status", id: "reading" }, t("report.reading")));
        me = await get("/api/v1/me", signal);
        const models = (await get("/api/v1/models", signal)).models, unique = (all) => [...new Map(all.filter((c) => c?.value).map((c) => [`${c.scheme} ${c.value}`, c])).values()];
        codes = { findings: unique(models.flatMap((m) => m.classes.filter((c) => c.role === "finding").map((c) => c.finding))), sites: unique(models.flatMap((m) => m.classes.map((c) => c.site))) };
        work.replaceChildren();
        build();
      }
      try {
        await desk.read(signal);
        work.querySelector("#no-draft")?.remove();
      } catch (e) {
        if (e.status === 404 && !desk.doc) { // none yet, or none any more: why is what a reader has to know
          work.dataset.side = "";
          left.hidden = right.hidden = true;
          if (!work.querySelector("#no-draft")) work.append(h("div", { class: "empty", id: "no-draft" }, h("h1", null, t("report.none")), h("p", { class: "wrap" }, e.why)));
          return;
        }
        throw e;
      }
      left.hidden = right.hidden = false;
      draw();
    },
  };
}
