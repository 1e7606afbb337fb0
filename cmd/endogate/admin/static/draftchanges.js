// What differs between two versions of a draft, subject by subject, in words: for its history, and where two have to be made one.
import { h } from "./dom.js";
import { percent } from "./format.js";
import { named, t } from "./words.js";
import { projected, todo } from "./desk.js";

// A subject is what a person decides or writes about: a section, a finding, the key images.
export function subjectOf(e) {
  if (e.op === "section") return `section/${e.section}`;
  return /^(choose|drop|order)$/.test(e.op) ? "images" : `finding/${e.finding || "new"}`;
}

export const called = (f) => f.code?.meaning || f.class || "";
export const imageName = (frame) => t("report.image", { number: frame.instance_number || "?" }) + (frame.span.first > 1 ? ` · ${t("report.frame", { number: frame.span.first })}` : "");

export function titleOf(doc, subject) {
  const [kind, name] = subject.split("/");
  if (subject === "images") return t("report.key-images");
  if (kind === "section") return doc.sections.find((s) => s.name === name)?.heading || name;
  return called(doc.findings.find((f) => f.id === name) || {}) || t("report.new-finding");
}

// described is how a subject stands in a document; nothing where it has none.
export function described(doc, subject) {
  const [kind, name] = subject.split("/");
  if (subject === "standing") return named("report-standing", doc.standing);
  if (subject === "notices") return doc.notices.join("\n");
  if (subject === "images") return doc.key_images.map((k) => [imageName(k.frame), called(doc.findings.find((f) => f.id === k.finding) || {})].filter(Boolean).join(": ")).join("\n");
  if (kind === "section") return (doc.sections.find((s) => s.name === name)?.text || "").replaceAll(todo, doc.to_be_completed || todo);
  return doc.findings.filter((f) => f.id === name || name === "new" && f.id.startsWith("new")).map((f) => [
    named("report-decision", f.decision), called(f), f.site_text || f.site?.meaning, f.size_mm ? t("report.mm", { size: f.size_mm }) : "", f.paris ? t("report.paris", { form: f.paris }) : "", f.text,
    f.probability ? percent(f.probability) : "", f.retracted ? t("report.retracted", { why: f.retracted }) : "",
  ].filter(Boolean).join("\n")).join("\n");
}

// changes are the subjects in which two versions differ.
export function changes(was, is) {
  const all = ["standing", "notices", ...[...was.findings, ...is.findings].map((f) => `finding/${f.id}`), "images", ...[...was.sections, ...is.sections].map((s) => `section/${s.name}`)];
  return [...new Set(all)].filter((subject) => described(was, subject) !== described(is, subject));
}

export const mine = (base, edits, subject) => described(projected(base, edits), subject);

// difference shows two texts as one: lines that went and lines that came, each with a sign of its own.
export function difference(was, is) {
  const a = was.split("\n"), b = is.split("\n"), most = Array.from({ length: a.length + 1 }, () => new Array(b.length + 1).fill(0));
  for (let i = a.length - 1; i >= 0; i--) for (let k = b.length - 1; k >= 0; k--) most[i][k] = a[i] === b[k] ? most[i + 1][k + 1] + 1 : Math.max(most[i + 1][k], most[i][k + 1]);
  const out = [];
  let i = 0, k = 0;
  while (i < a.length || k < b.length) {
    if (i < a.length && k < b.length && a[i] === b[k]) { out.push(h("span", null, a[i], "\n")); i++; k++; }
    else if (k >= b.length || i < a.length && most[i + 1][k] >= most[i][k + 1]) out.push(h("del", null, a[i++], "\n"));
    else out.push(h("ins", null, b[k++], "\n"));
  }
  return h("div", { class: "difference wrap" }, out);
}
