// How values of DICOM and of the ledger read to people.
import { h } from "./dom.js";
import { apart, locale, named, t } from "./words.js";

// listed are values beside each other, those that there are.
export const listed = (values, between = " · ") => values.filter(Boolean).map(apart).join(between);

// PN: family^given^middle^prefix^suffix, up to three groups joined by "=" (PS3.5 6.2).
export function personName(pn) {
  const groups = (pn || "").split("=").map((group) => {
    const [family, given, middle] = group.split("^").map((s) => s.trim());
    const rest = [given, middle].filter(Boolean).join(" ");
    return [family, rest].filter(Boolean).join(", ");
  }).filter(Boolean);
  return listed(groups.slice(0, 2)) || t("value.no-name");
}

// decimal is n with so many digits behind the decimal mark.
export const decimal = (n, digits) => n.toLocaleString(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });
// figures is n with three significant digits.
export const figures = (n) => n.toLocaleString(locale, { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
export const percent = (p) => `${decimal(100 * p, p > 0 && p < 0.001 ? 2 : 1)} %`;

const moment = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium" });
const day = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeZone: "UTC" }), minute = new Intl.DateTimeFormat(locale, { timeStyle: "short", timeZone: "UTC" });

// DA and TM name no time zone (PS3.5 6.2): they are the examination room's own.
export function date(da) {
  const at = /^\d{8}$/.test(da) ? new Date(`${da.slice(0, 4)}-${da.slice(4, 6)}-${da.slice(6)}`) : NaN;
  return isNaN(at) ? da || "–" : day.format(at);
}
export function clock(tm) {
  const at = /^\d{4}/.test(tm) ? new Date(`1970-01-01T${tm.slice(0, 2)}:${tm.slice(2, 4)}Z`) : NaN;
  return isNaN(at) ? "" : minute.format(at);
}
export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return `${decimal(n, i && n < 100 ? 1 : 0)} ${units[i]}`;
}

// absolute is a point in time, in the browser's time zone.
export function absolute(iso) {
  const at = new Date(iso);
  return !iso || isNaN(at) ? "" : moment.format(at);
}

export function time(iso) {
  const text = absolute(iso);
  return text ? h("time", { datetime: iso, title: iso }, text) : h("span", { class: "muted" }, "–");
}

export function shortUID(uid) {
  return h("code", { class: "uid", title: uid }, uid.length > 22 ? `${uid.slice(0, 8)}…${uid.slice(-8)}` : uid);
}

// Statuses carry a sign and a word beside their colour.
export const studyStatuses = {
  parked: ["bad", "!", t("status.parked")], working: ["info", "◔", t("status.working")], "not-analysed": ["warn", "!", t("status.not-analysed")],
  "partly-analysed": ["warn", "!", t("status.partly-analysed")], done: ["good", "✓", t("status.done")], conflict: ["bad", "!", t("status.conflict")],
};
export const studyChip = (s) => chip(studyStatuses, s.status);
export const notAnalysed = (s) => s.not_analysed_count ? `${t("value.not-analysed", { some: s.not_analysed_count, n: s.instance_count })}${s.not_analysed_why?.length ? `: ${s.not_analysed_why.join("; ")}` : ""}` : "";
export const deliveryStates = {
  pending: ["warn", "→", t("delivery.pending")], sent: ["info", "◔", t("delivery.sent")], done: ["good", "✓", t("delivery.done")], parked: ["bad", "!", t("delivery.parked")], discarded: ["plain", "×", t("delivery.discarded")],
};
export const examStates = { open: ["info", "◔", t("exam.open")], reported: ["good", "✓", t("exam.reported")], parked: ["bad", "!", t("exam.parked")] };
// urgentMark says that a model found in a study what the configuration calls urgent; nothing of another.
export const urgentMark = (s) => s.urgent ? chip({ urgent: ["bad", "▲", t("value.urgent")] }, "urgent") : null;
export function chip(kinds, status) {
  const [tone, sign, text] = kinds[status] || ["plain", "?", status];
  return h("span", { class: `chip ${tone}` }, h("span", { class: "sign", "aria-hidden": "true" }, sign), text);
}

// What a C-STORE response means (PS3.4 B.2.3, PS3.7 C).
export function peerStatus(status) {
  if (!status) return "";
  if (!/^[0-9a-f]{4}$/i.test(status)) return status; // of another protocol, such as AA
  const code = parseInt(status, 16);
  const match = [
    [0x0000, 0xffff, "success"], [0xb000, 0xffff, "coerced"], [0xb006, 0xffff, "elements-discarded"], [0xb007, 0xffff, "no-match"],
    [0xa700, 0xff00, "out-of-resources"], [0xa900, 0xff00, "no-match"], [0xc000, 0xf000, "cannot-understand"],
    [0x0110, 0xffff, "processing-failure"], [0x0111, 0xffff, "duplicate"], [0x0117, 0xffff, "invalid-instance"],
    [0x0122, 0xffff, "not-supported"], [0x0124, 0xffff, "not-authorised"], [0x0211, 0xffff, "unrecognised"],
  ].find(([value, mask]) => (code & mask) === value);
  const hex = `0x${status.replace(/^0x/i, "")}`;
  return match ? `${hex} ${named("peer", match[2])}` : hex;
}

// thead is the head of a table; a name that starts with # stands over numbers.
export const thead = (...names) => h("thead", null, h("tr", null, names.map((n) =>
  h("th", { scope: "col", class: n.startsWith("#") ? "num" : "" }, n.replace(/^#/, "")))));

export const purpose = (p) => named("purpose", p);
export const roles = Object.fromEntries(["finding", "landmark", "normal", "quality"].map((r) => [r, named("class", r)])); // of a model's classes
export const words = (name) => { const s = name.replaceAll(/[-_]/g, " "); return s.charAt(0).toUpperCase() + s.slice(1); };
// worded is what a class is called where a clinician reads it: a landmark by its site, and what a network takes for normal in
// quotation marks, as neither says anything about the organ.
export function worded({ class: name, role, site }) {
  if (role === "landmark") return t("worded.landmark", { name: site?.value ? term(site) : words(name) });
  if (role === "normal") return t("worded.normal", { name: name.replaceAll(/[-_]/g, " ") });
  return role === "quality" ? t("worded.quality", { name: words(name) }) : words(name);
}
export const method = (name) => ({ gradcam: "Grad-CAM", "gradcam++": "Grad-CAM++", hirescam: "HiResCAM", layercam: "LayerCAM", scorecam: "Score-CAM" })[name] || name;
// term is what a coded concept is called where reports have a word for it, else its meaning, as the code came.
export function term(c) {
  const key = `${c.scheme} ${c.value}`, said = named("term", key);
  return said === key ? c.meaning : said;
}
export const code = (c) => c && c.value ? `${term(c)} (${c.value}, ${c.scheme})` : "";
