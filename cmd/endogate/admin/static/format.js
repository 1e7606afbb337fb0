// How values of DICOM and of the ledger read to people.
import { h } from "./dom.js";

// PN: family^given^middle^prefix^suffix, up to three groups joined by "=" (PS3.5 6.2).
export function personName(pn) {
  const groups = (pn || "").split("=").map((group) => {
    const [family, given, middle] = group.split("^").map((s) => s.trim());
    const rest = [given, middle].filter(Boolean).join(" ");
    return [family, rest].filter(Boolean).join(", ");
  }).filter(Boolean);
  return groups.length ? groups.slice(0, 2).join(" · ") : "(no name)";
}

export const date = (da) => /^\d{8}$/.test(da) ? `${da.slice(0, 4)}-${da.slice(4, 6)}-${da.slice(6)}` : da || "–";
export const clock = (tm) => /^\d{4}/.test(tm) ? `${tm.slice(0, 2)}:${tm.slice(2, 4)}` : "";
export const percent = (p) => `${(100 * p).toFixed(p > 0 && p < 0.001 ? 2 : 1)} %`;
export const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return `${n.toFixed(i && n < 100 ? 1 : 0)} ${units[i]}`;
}

const pad = (n) => String(n).padStart(2, "0");
export function absolute(iso) {
  const t = new Date(iso);
  if (!iso || isNaN(t)) return "";
  return `${t.getFullYear()}-${pad(t.getMonth() + 1)}-${pad(t.getDate())} ${pad(t.getHours())}:${pad(t.getMinutes())}:${pad(t.getSeconds())}`;
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
  parked: ["bad", "!", "Needs attention"], working: ["info", "◔", "In progress"], "not-analysed": ["warn", "!", "Not analysed"],
  "partly-analysed": ["warn", "!", "Partly analysed"], done: ["good", "✓", "Complete"], conflict: ["bad", "!", "UID conflict"],
};
export const studyChip = (s) => chip(studyStatuses, s.status);
export const notAnalysed = (s) => s.not_analysed_count ? `${s.not_analysed_count} of ${plural(s.instance_count, "instance")} not analysed${s.not_analysed_why?.length ? `: ${s.not_analysed_why.join("; ")}` : ""}` : "";
export const deliveryStates = {
  pending: ["warn", "→", "Waiting"], sent: ["info", "◔", "To be committed"], done: ["good", "✓", "Delivered"], parked: ["bad", "!", "Parked"], discarded: ["plain", "×", "Discarded"],
};
export const examStates = { open: ["info", "◔", "Exam open"], reported: ["good", "✓", "Reported"], parked: ["bad", "!", "Parked"] };
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
    [0x0000, 0xffff, "success"], [0xb000, 0xffff, "coerced"], [0xb006, 0xffff, "elements discarded"], [0xb007, 0xffff, "does not match SOP class"],
    [0xa700, 0xff00, "out of resources"], [0xa900, 0xff00, "does not match SOP class"], [0xc000, 0xf000, "cannot understand"],
    [0x0110, 0xffff, "processing failure"], [0x0111, 0xffff, "duplicate"], [0x0117, 0xffff, "invalid instance"],
    [0x0122, 0xffff, "SOP class not supported"], [0x0124, 0xffff, "not authorised"], [0x0211, 0xffff, "unrecognised operation"],
  ].find(([value, mask]) => (code & mask) === value);
  const hex = `0x${status.replace(/^0x/i, "")}`;
  return match ? `${hex} ${match[2]}` : hex;
}

// thead is the head of a table; a name that starts with # stands over numbers.
export const thead = (...names) => h("thead", null, h("tr", null, names.map((n) =>
  h("th", { scope: "col", class: n.startsWith("#") ? "num" : "" }, n.replace(/^#/, "")))));

export const purposes = { source: "Source frame", heatmap: "Heatmap (SC)", sr: "AI result (SR)", kos: "Key images (KOS)" };
export const purpose = (p) => purposes[p] || p;
export const roles = { finding: "Finding", landmark: "Landmark", normal: "Image class", quality: "Quality note" };
export const words = (name) => { const s = name.replaceAll(/[-_]/g, " "); return s.charAt(0).toUpperCase() + s.slice(1); };
// worded is what a class is called where a clinician reads it: a landmark by its site, and what a network takes for normal in
// quotation marks, as neither says anything about the organ.
export function worded({ class: name, role, site }) {
  if (role === "landmark") return `${site?.meaning || words(name)}: landmark image`;
  if (role === "normal") return `Image class “${name.replaceAll(/[-_]/g, " ")}”`;
  return role === "quality" ? `${words(name)}: quality note` : words(name);
}
export const method = (name) => ({ gradcam: "Grad-CAM", "gradcam++": "Grad-CAM++", hirescam: "HiResCAM", layercam: "LayerCAM", scorecam: "Score-CAM" })[name] || name;
export const code = (c) => c && c.value ? `${c.meaning} (${c.value}, ${c.scheme})` : "";
