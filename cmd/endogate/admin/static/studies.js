// The list of studies, with its filters in the address so that a search can be bookmarked.
import { get } from "./api.js";
import { h, slot } from "./dom.js";
import { clock, date, listed, notAnalysed, personName, studyChip, studyStatuses, thead, time, urgentMark } from "./format.js";
import { parts, t } from "./words.js";

const pageSize = 50;
const fields = [["patient_id", t("studies.patient-id")], ["accession", t("studies.accession-number")], ["study_uid", t("studies.study-uid")]];

export function studiesView({ params }) {
  const offset = Math.max(0, Number(params.get("offset")) || 0);
  const rows = slot("div");
  return {
    title: () => t("nav.studies"),
    interval: () => 5000,
    el: h("div", null, h("div", { class: "head row between" }, h("h1", null, t("nav.studies")), h("a", { class: "button", id: "try", href: "#/try" }, t("studies.try"))), filters(params), rows.el),
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
    h("label", null, h("span", null, t("studies.status")),
      h("select", { name: "status", onchange: () => apply(form) }, h("option", { value: "" }, t("studies.all")),
        Object.entries(studyStatuses).map(([s, [, , text]]) => h("option", { value: s, selected: params.get("status") === s }, text)))),
    h("div", { class: "row" }, h("button", { class: "button primary" }, t("studies.search")), h("a", { class: "button", href: "#/studies" }, t("studies.clear"))));
  return form;
}

function apply(form) {
  const query = new URLSearchParams();
  for (const [key, value] of new FormData(form)) if (value.trim()) query.set(key, value.trim());
  location.hash = query.size ? `#/studies?${query}` : "#/studies";
}

export function table(studies) {
  return h("table", { class: "list studies" },
    h("caption", { class: "hidden" }, t("studies.caption")),
    thead(t("studies.patient"), t("studies.accession"), t("studies.study"), t("studies.status"), `#${t("studies.frames")}`, `#${t("studies.flags")}`, t("studies.deliveries"), t("studies.last")),
    h("tbody", null, studies.map(row)));
}

function row(s) {
  return h("tr", { class: "link" },
    h("th", { scope: "row", "data-label": t("studies.patient") },
      h("a", { class: "cover", href: `#/studies/${encodeURIComponent(s.study_instance_uid)}` }, personName(s.patient_name)),
      h("div", { class: "muted" }, s.patient_id || t("studies.no-patient-id")), urgentMark(s)),
    h("td", { "data-label": t("studies.accession") }, s.accession_number || h("span", { class: "muted" }, "–")),
    h("td", { "data-label": t("studies.study") }, h("div", null, `${date(s.study_date)} ${clock(s.study_time)}`),
      h("div", { class: "muted clip" }, listed([s.modality, s.study_description]))),
    h("td", { "data-label": t("studies.status") }, studyChip(s), notes(s)),
    h("td", { class: "num", "data-label": t("studies.frames") }, s.frame_count),
    h("td", { class: "num", "data-label": t("studies.flags") }, s.finding_count ? h("span", { class: "count" }, s.finding_count) : h("span", { class: "muted" }, s.not_analysed_count + s.conflict_count < s.instance_count ? "0" : "–")),
    h("td", { "data-label": t("studies.deliveries") }, deliveries(s.delivery_counts)),
    h("td", { "data-label": t("studies.last") }, time(s.last_at)));
}

// notes say what the status is about.
function notes(s) {
  const list = [notAnalysed(s), s.parked_count && t("studies.parked", { n: s.parked_count }), s.open_count && t("studies.steps", { n: s.open_count }), s.conflict_count && t("studies.conflicts", { n: s.conflict_count })];
  return h("div", { class: "muted" }, list.filter(Boolean).join(", "));
}

export function deliveries(c) {
  const all = c.pending + c.sent + c.done + c.parked + c.discarded;
  if (!all) return h("span", { class: "muted" }, t("frame.none"));
  const part = (n, tone) => n ? h("span", { class: tone, style: { "flex-grow": n } }) : null;
  const text = [t("studies.delivered", { some: c.done, n: all }), c.parked && t("studies.parked", { n: c.parked }), c.discarded && t("studies.discarded", { n: c.discarded })].filter(Boolean).join(", ");
  return h("div", { class: "meter" },
    h("div", { class: "track", "aria-hidden": "true" }, part(c.done, "good"), part(c.parked, "bad"), part(c.discarded, "plain"), part(c.sent, "info"), part(c.pending, "warn")),
    h("div", { class: "muted" }, text));
}

export function pager(params, { total, limit, offset }, base = "#/studies") {
  const to = (o) => { const q = new URLSearchParams(params); q.set("offset", o); return `${base}?${q}`; };
  return h("nav", { class: "pager", "aria-label": t("pager.pages") },
    h("span", { class: "muted" }, t("pager.range", { from: offset + 1, to: Math.min(offset + limit, total), n: total })),
    offset > 0 ? h("a", { class: "button", href: to(Math.max(0, offset - limit)) }, t("pager.newer")) : null,
    offset + limit < total ? h("a", { class: "button", href: to(offset + limit) }, t("pager.older")) : null);
}

export function empty(params) {
  return [...params.keys()].length
    ? h("div", { class: "empty" }, h("h2", null, t("studies.no-match")), h("p", null, t("studies.exactly"), " ", h("a", { href: "#/studies" }, t("studies.show-all"))))
    : h("div", { class: "empty" }, h("h2", null, t("studies.none")), h("p", null, parts("studies.none-why", { system: h("a", { href: "#/system" }, t("operations.system")) })));
}
