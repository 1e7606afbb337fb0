// The list of studies, with its filters in the address so that a search can be bookmarked.
import { get } from "./api.js";
import { h, slot } from "./dom.js";
import { clock, date, notAnalysed, personName, plural, studyChip, studyStatuses, thead, time } from "./format.js";

const pageSize = 50;
const fields = [["patient_id", "Patient ID"], ["accession", "Accession number"], ["study_uid", "Study Instance UID"]];

export function studiesView({ params }) {
  const offset = Math.max(0, Number(params.get("offset")) || 0);
  const rows = slot("div");
  return {
    title: () => "Studies",
    interval: () => 5000,
    el: h("div", null, h("div", { class: "head row between" }, h("h1", null, "Studies"), h("a", { class: "button", id: "try", href: "#/try" }, "Try an image")), filters(params), rows.el),
    async read(signal) {
      const query = new URLSearchParams({ limit: pageSize, offset });
      for (const key of [...fields.map(([k]) => k), "status"]) if (params.get(key)) query.set(key, params.get(key));
      const answer = await get(`/api/v1/studies?${query}`, signal);
      rows.show(answer, () => answer.studies.length ? [table(answer.studies), pager(params, answer)] : empty(params));
    },
  };
}

function filters(params) {
  const form = h("form", { class: "filters", role: "search", onsubmit: (e) => { e.preventDefault(); apply(form); } },
    fields.map(([name, label]) => h("label", null, h("span", null, label),
      h("input", { name, value: params.get(name) || "", maxlength: 64, autocomplete: "off", spellcheck: "false" }))),
    h("label", null, h("span", null, "Status"),
      h("select", { name: "status", onchange: () => apply(form) }, h("option", { value: "" }, "All"),
        Object.entries(studyStatuses).map(([s, [, , text]]) => h("option", { value: s, selected: params.get("status") === s }, text)))),
    h("div", { class: "row" }, h("button", { class: "button primary" }, "Search"), h("a", { class: "button", href: "#/studies" }, "Clear")));
  return form;
}

function apply(form) {
  const query = new URLSearchParams();
  for (const [key, value] of new FormData(form)) if (value.trim()) query.set(key, value.trim());
  location.hash = query.size ? `#/studies?${query}` : "#/studies";
}

function table(studies) {
  return h("table", { class: "list studies" },
    h("caption", { class: "hidden" }, "Studies, latest arrival first"),
    thead("Patient", "Accession", "Study", "Status", "#Frames", "#AI flags", "Deliveries", "Last arrival"),
    h("tbody", null, studies.map(row)));
}

function row(s) {
  return h("tr", { class: "link" },
    h("th", { scope: "row", "data-label": "Patient" },
      h("a", { class: "cover", href: `#/studies/${encodeURIComponent(s.study_instance_uid)}` }, personName(s.patient_name)),
      h("div", { class: "muted" }, s.patient_id || "no patient ID")),
    h("td", { "data-label": "Accession" }, s.accession_number || h("span", { class: "muted" }, "–")),
    h("td", { "data-label": "Study" }, h("div", null, `${date(s.study_date)} ${clock(s.study_time)}`),
      h("div", { class: "muted clip" }, [s.modality, s.study_description].filter(Boolean).join(" · "))),
    h("td", { "data-label": "Status" }, studyChip(s), notes(s)),
    h("td", { class: "num", "data-label": "Frames" }, s.frame_count),
    h("td", { class: "num", "data-label": "AI flags" }, s.finding_count ? h("span", { class: "count" }, s.finding_count) : h("span", { class: "muted" }, s.not_analysed_count + s.conflict_count < s.instance_count ? "0" : "–")),
    h("td", { "data-label": "Deliveries" }, deliveries(s.delivery_counts)),
    h("td", { "data-label": "Last arrival" }, time(s.last_at)));
}

// notes say what the status is about.
function notes(s) {
  const list = [notAnalysed(s), s.parked_count && `${s.parked_count} parked`, s.open_count && `${plural(s.open_count, "step")} to do`, s.conflict_count && plural(s.conflict_count, "UID conflict")];
  return h("div", { class: "muted" }, list.filter(Boolean).join(", "));
}

export function deliveries(c) {
  const all = c.pending + c.sent + c.done + c.parked + c.discarded;
  if (!all) return h("span", { class: "muted" }, "none");
  const part = (n, tone) => n ? h("span", { class: tone, style: { "flex-grow": n } }) : null;
  const text = [`${c.done} of ${all} delivered`, c.parked && `${c.parked} parked`, c.discarded && `${c.discarded} discarded`].filter(Boolean).join(", ");
  return h("div", { class: "meter" },
    h("div", { class: "track", "aria-hidden": "true" }, part(c.done, "good"), part(c.parked, "bad"), part(c.discarded, "plain"), part(c.sent, "info"), part(c.pending, "warn")),
    h("div", { class: "muted" }, text));
}

export function pager(params, { total, limit, offset }, base = "#/studies") {
  const to = (o) => { const q = new URLSearchParams(params); q.set("offset", o); return `${base}?${q}`; };
  return h("nav", { class: "pager", "aria-label": "Pages" },
    h("span", { class: "muted" }, `${offset + 1}–${Math.min(offset + limit, total)} of ${total}`),
    offset > 0 ? h("a", { class: "button", href: to(Math.max(0, offset - limit)) }, "← Newer") : null,
    offset + limit < total ? h("a", { class: "button", href: to(offset + limit) }, "Older →") : null);
}

function empty(params) {
  return [...params.keys()].length
    ? h("div", { class: "empty" }, h("h2", null, "No study matches"), h("p", null, "Identifiers match exactly. ", h("a", { href: "#/studies" }, "Show all studies")))
    : h("div", { class: "empty" }, h("h2", null, "No study yet"), h("p", null, "Studies appear here as soon as a modality sends its first frame. The gateway takes frames by DICOM C-STORE; see ", h("a", { href: "#/system" }, "System"), " for whether it accepts them."));
}
