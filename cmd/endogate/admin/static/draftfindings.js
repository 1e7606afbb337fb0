// The findings of a draft: each with its picture, source and heatmap, beside what is said of it and what a person decides.
import { h, slot } from "./dom.js";
import { chip, listed, percent, words } from "./format.js";
import { lookInto } from "./viewer.js";
import { named, t } from "./words.js";
import { stands } from "./desk.js";
import { called, imageName } from "./draftchanges.js";

const paris = ["", "0-Ip", "0-Isp", "0-Is", "0-IIa", "0-IIb", "0-IIc", "0-IIa+IIc", "0-IIc+IIa", "0-III"]; // GIE 58:S3, 2003
const tones = { proposed: ["warn", "?"], accepted: ["good", "✓"], changed: ["info", "✎"], rejected: ["plain", "×"] };
const sameCode = (a, b) => a && b && a.value === b.value && a.scheme === b.scheme;
const keyOf = (c) => c?.value ? `${c.scheme} ${c.value}` : "";

// createFindings returns the list. Does: what a person does to one, by name of the act; dropped: a frame was let go over one; codes are those that models know.
export function createFindings({ does, dropped, select, write }) {
  const list = slot("div", { class: "draft-findings" }), rows = new Map();
  let doc, codes = { findings: [], sites: [] }, editable = false, study;

  function rowOf(id) {
    let row = rows.get(id);
    if (row) return row;
    const seen = slot("div"), said = slot("div"), form = createForm(id, write, does);
    const el = h("article", {
      class: "card draft-finding", tabindex: "-1", "data-id": id, onfocusin: () => select(id), onclick: () => select(id),
      ondragover: (e) => { if (editable) { e.preventDefault(); el.classList.add("over"); } }, ondragleave: () => el.classList.remove("over"),
      ondrop: (e) => { e.preventDefault(); el.classList.remove("over"); dropped(id); },
    }, seen.el, h("div", null, said.el, form.el));
    row = { el, seen, said, form, at: 0, frame: () => framesOf(doc.findings.find((f) => f.id === id), doc)[row.at] };
    rows.set(id, row);
    return row;
  }

  function draw(f) {
    const row = rowOf(f.id), frames = framesOf(f, doc);
    row.at = Math.min(row.at, Math.max(0, frames.length - 1));
    row.el.setAttribute("aria-label", `${called(f)}, ${named("report-decision", f.decision)}`);
    row.seen.show([frames, row.at, study], () => pictures(f, frames, row.at, study, (by) => { row.at = (row.at + by + frames.length) % frames.length; draw(f); }));
    row.said.show([f, editable], () => said(f, editable, does));
    row.form.show(f, codes, editable);
  }

  return {
    el: list.el,
    show(to, may, known) {
      [doc, editable, codes, study] = [to, may, known, to.study];
      for (const f of doc.findings) draw(f);
      const order = [...doc.findings].sort((a, b) => stands(b) - stands(a)).map((f) => f.id);
      list.show(order, () => order.length ? order.map((id) => rowOf(id).el) : h("p", { class: "muted" }, t("report.no-finding")));
      return order;
    },
    element: (id) => rows.get(id)?.el,
    frame: (id) => rows.get(id)?.frame(),
    turn(id, by) { const row = rows.get(id); if (row) { row.at += by; const n = framesOf(doc.findings.find((f) => f.id === id), doc).length; row.at = n ? (row.at + n) % n : 0; draw(doc.findings.find((f) => f.id === id)); } },
    modify: (id) => rows.get(id)?.form.open(),
    modifying: (id) => !!rows.get(id)?.form.opened(),
    close: (id) => rows.get(id)?.form.close(),
  };
}

// framesOf are where a finding can be looked at: its key images first, then the frames in which it was flagged.
function framesOf(f, doc) {
  if (!f) return [];
  const key = (x) => `${x.instance.sop_instance_uid} ${x.span.first}`;
  const chosen = doc.key_images.filter((k) => k.finding === f.id).map((k) => ({ ...(f.frames.find((x) => key(x) === key(k.frame)) || k.frame), key: true }));
  return [...chosen, ...f.frames.filter((x) => !chosen.some((k) => key(k) === key(x)))];
}

function pictures(f, frames, at, study, turn) {
  const frame = frames[at];
  if (!frame) return h("p", { class: "empty" }, t("report.no-picture"));
  const picture = (src, alt, caption) => {
    const img = h("img", { alt, loading: "lazy", src });
    img.addEventListener("error", () => img.replaceWith(h("div", { class: "broken" }, t("report.not-shown"))));
    return h("figure", null, img, h("figcaption", null, caption));
  };
  const source = frame.instance.sop_instance_uid, heat = frame.heatmap?.sop_instance_uid;
  const many = frames.length > 1;
  return [h("div", { class: "pair" },
    picture(`/api/v1/instances/${encodeURIComponent(source)}/frames/${frame.span.first}.jpg`, t("report.source-of", { image: imageName(frame), finding: called(f) }), [t("report.source"), imageName(frame)].join(" · ")),
    heat ? picture(`/api/v1/instances/${encodeURIComponent(heat)}/frames/1.jpg`, t("report.heatmap-of", { finding: called(f) }), [t("report.heatmap"), frame.probability ? percent(frame.probability) : "", t("report.not-verified")].filter(Boolean).join(" · "))
      : h("figure", null, h("div", { class: "broken" }, t("report.no-heatmap")))),
  frame.sheet ? sheet(frame.sheet.sop_instance_uid, picture, f) : null,
  h("div", { class: "row under-pair" },
    many ? h("button", { class: "button small", id: `back-${f.id}`, "aria-label": t("report.frame-before"), onclick: () => turn(-1) }, "‹") : null,
    h("span", { class: "muted" }, many ? t("report.frame-of", { at: at + 1, all: frames.length }) : "", frame.key ? ` ★ ${t("report.key-image")}` : ""),
    many ? h("button", { class: "button small", id: `on-${f.id}`, "aria-label": t("report.frame-after"), onclick: () => turn(1) }, "›") : null,
    h("a", { href: lookInto({ study, instance: source, number: frame.span.first }, f.class ? { class: f.class } : {}) }, t("report.look")))];
}

// sheet is the clip of a video that a frame is in: attention, frames, attention over the frames, maps. It opens by itself, as it is wide.
function sheet(uid, picture, f) {
  const src = `/api/v1/instances/${encodeURIComponent(uid)}/frames/1.jpg`;
  const figure = picture(src, t("report.sheet-of", { finding: called(f) }), h("a", { href: src, target: "_blank", rel: "noopener" }, t("report.sheet")));
  figure.className = "sheet";
  return figure;
}

function said(f, editable, does) {
  const button = (act, label, key, kind = "") => h("button", { class: `button ${kind}`, id: `${act}-${f.id}`, onclick: () => does(act, f.id), "aria-pressed": { accept: f.decision === "accepted", reject: f.decision === "rejected" }[act]?.toString() }, label, " ", h("kbd", null, key));
  const own = !f.model?.name;
  return [
    h("h3", null, called(f) || words(f.class || ""), chip({ [f.decision]: [...tones[f.decision], named("report-decision", f.decision)] }, f.decision), f.unsaved ? h("span", { class: "tag finding" }, t("report.unsaved")) : null),
    h("p", { class: "muted" }, listed([named("report-role", f.role), f.site_text || f.site?.meaning, f.size_mm ? t("report.mm", { size: f.size_mm }) : "", f.paris ? t("report.paris", { form: f.paris }) : ""])),
    f.text ? h("p", { class: "wrap" }, f.text) : null,
    own ? h("p", { class: "muted" }, t("report.own-finding", { name: f.by.name || "" })) : [h("p", { class: "wrap" }, f.why), h("p", { class: "muted" }, `${f.model.name} ${f.model.version} · ${percent(f.probability || 0)}`, f.proposal ? ` · ${t("report.said", { finding: f.proposal.meaning })}` : "")],
    f.retracted ? h("p", { class: "bad wrap" }, t("report.retracted", { why: f.retracted })) : null,
    editable ? h("div", { class: "row" }, button("accept", t("report.accept"), "a", "primary"), button("reject", t("report.reject"), "r"), button("modify", t("report.modify"), "m"), own ? h("button", { class: "button", id: `remove-${f.id}`, onclick: () => does("remove", f.id) }, t("report.remove")) : null) : null,
  ];
}

// createForm is where a person says what a finding is rather. What is written is taken over as it is written; its fields stay as they are while somebody writes.
function createForm(id, write, does) {
  const name = (field) => `${field}-${id}`;
  const change = (fields) => write({ op: "change", finding: id, ...fields });
  const code = h("select", { id: name("code"), onchange: () => change({ code: known.findings.find((c) => keyOf(c) === code.value) }) });
  const site = h("select", { id: name("site"), onchange: () => change({ site: known.sites.find((c) => keyOf(c) === site.value) || { value: "", scheme: "", meaning: "" } }) });
  const place = h("input", { id: name("place"), maxlength: 200, autocomplete: "off", oninput: () => change({ site_text: place.value }) });
  const size = h("input", { id: name("size"), type: "number", min: 0, max: 1000, step: "any", oninput: () => { if (size.validity.valid) change({ size_mm: Number(size.value) || 0 }); } });
  const form = h("select", { id: name("paris"), onchange: () => change({ paris: form.value }) }, paris.map((p) => h("option", { value: p }, p || "–")));
  const text = h("textarea", { id: name("text"), rows: 2, oninput: () => change({ text: text.value }) });
  let known = { findings: [], sites: [] }, shown = "";
  const field = (label, el) => h("label", null, h("span", null, label), el);
  const el = h("form", { class: "modify", hidden: true, "aria-label": t("report.modify"), onsubmit: (e) => { e.preventDefault(); does("save", id); } },
    field(t("report.size"), size), field(t("report.morphology"), form), field(t("report.place"), place), field(t("report.finding"), code), field(t("report.site"), site), field(t("report.text"), text),
    h("div", { class: "row" }, h("button", { class: "button primary", id: name("save") }, t("report.save"), " ", h("kbd", null, t("report.key.save"))),
      h("button", { class: "button", type: "button", id: name("cancel"), onclick: () => does("cancel", id) }, t("frame.cancel"), " ", h("kbd", null, t("report.key.cancel")))));
  const set = (field, value) => { if (document.activeElement !== field && field.value !== value) field.value = value; };
  return {
    el,
    open() { el.hidden = false; size.focus(); size.select(); },
    close() { el.hidden = true; },
    opened: () => !el.hidden,
    show(f, codes, editable) {
      if (!editable) el.hidden = true;
      known = { findings: codes.findings.some((c) => sameCode(c, f.code)) ? codes.findings : [f.code, ...codes.findings], sites: !f.site?.value || codes.sites.some((c) => sameCode(c, f.site)) ? codes.sites : [f.site, ...codes.sites] };
      const now = JSON.stringify(known);
      if (now !== shown) {
        shown = now;
        code.replaceChildren(...known.findings.map((c) => h("option", { value: keyOf(c) }, c.meaning)));
        site.replaceChildren(h("option", { value: "" }, "–"), ...known.sites.map((c) => h("option", { value: keyOf(c) }, c.meaning)));
        code.value = site.value = "";
      }
      set(code, keyOf(f.code));
      set(site, keyOf(f.site));
      set(place, f.site_text || "");
      set(size, f.size_mm ? String(f.size_mm) : "");
      set(form, f.paris || "");
      set(text, f.text || "");
    },
  };
}
