// The report draft on a study, to be read: how it stands, what a person decided about each finding, and what it says.
import { h } from "./dom.js";
import { t } from "./words.js";
import { absolute, chip, percent, personName, roles, words } from "./format.js";

const standings = {
  draft: ["warn", "◔", "AI draft – not verified"], amending: ["warn", "◔", "Being amended"], signed: ["good", "✓", "Signed"],
  amended: ["good", "✓", "Amended and signed"], withdrawn: ["bad", "×", "Withdrawn"],
};
const decisions = { proposed: ["warn", "?", "Not decided"], accepted: ["good", "✓", "Accepted"], changed: ["info", "✎", "Changed"], rejected: ["plain", "×", "Rejected"] };
const todo = "[to be completed]";

export function draftCard(uid, draft) {
  const title = h("h2", null, "Report draft");
  if (!draft.standing) return [title, h("p", { class: "muted wrap" }, draft.why || "There is none yet.")];
  const shown = draft.findings.filter(stands);
  const pdf = `/api/v1/studies/${encodeURIComponent(uid)}/draft.pdf?${new URLSearchParams({ number: draft.number, version: draft.version })}`;
  return [
    h("div", { class: "row between" }, title, h("span", { class: "row" }, h("a", { class: "button", href: pdf, target: "_blank", rel: "noopener" }, "Open as PDF"), h("a", { class: "button primary", id: "work", href: `#/draft/${encodeURIComponent(uid)}` }, t("report.work")))),
    h("p", { class: "row" }, chip(standings, draft.standing), h("span", { class: "muted" }, `${draft.title.meaning || "Report"} · version ${draft.number}.${draft.version} · ${author(draft.author)}, ${absolute(draft.at)}`)),
    signature(draft),
    draft.notices.map((n) => h("div", { class: "notice warn wrap", role: "note" }, n)),
    shown.length ? findings("Findings of the draft", shown) : h("p", { class: "muted" }, "No finding is proposed. That says nothing about what is there."),
    shown.length < draft.findings.length ? [h("h3", null, "Not part of the report"), findings("Rejected and retracted", draft.findings.filter((f) => !stands(f)))] : null,
    draft.sections.map((s) => section(s, draft.to_be_completed || todo)),
  ];
}

// What draft.Finding's Stands says: rejected by nobody, and not retracted before a person decided about it.
const stands = (f) => f.decision !== "rejected" && !(f.retracted && f.decision === "proposed");

const author = (a) => a.system ? "by the gateway" : `by ${personName(a.name)}${a.unauthenticated ? " (named by the client, not signed in)" : ""}`;

function signature(draft) {
  const s = draft.signature;
  if (!s) return null;
  const worth = draft.standing === "withdrawn" ? "Do not use this report." : s.verified ? "Verified by the reporting system." : "Not verified by the reporting system.";
  return h("div", { class: `notice wrap ${draft.standing === "withdrawn" ? "bad" : s.verified ? "good" : "warn"}`, role: "note" },
    h("strong", null, `${(standings[draft.standing] || ["", "", draft.standing])[2]} ${author(s.by)}, ${absolute(s.at)}. `), worth, s.reason ? ` Reason: ${s.reason}` : "");
}

function findings(label, list) {
  return h("table", { class: "list small", "aria-label": label },
    h("thead", null, h("tr", null, ["Finding", "Decision", "Said by"].map((n) => h("th", { scope: "col" }, n)))),
    h("tbody", null, list.map((f) => h("tr", null,
      h("th", { scope: "row", "data-label": "Finding" }, h("div", null, f.code.meaning || words(f.class || ""), f.role ? h("span", { class: `tag ${f.role}` }, ` ${roles[f.role] || f.role}`) : null),
        h("div", { class: "muted wrap" }, [f.site_text || f.site.meaning, f.size_mm ? `${f.size_mm} mm` : "", f.paris, f.text].filter(Boolean).join(" · "))),
      h("td", { "data-label": "Decision" }, chip(decisions, f.decision), f.by.system ? null : h("div", { class: "muted" }, author(f.by)), f.retracted ? h("div", { class: "muted wrap" }, `Retracted: ${f.retracted}`) : null),
      h("td", { "data-label": "Said by" }, f.model ? `${f.model.name} ${f.model.version}` : "a person", f.model ? h("div", { class: "muted" }, `${percent(f.probability || 0)}, ${f.flagged} of ${f.analysed} frames`) : null)))));
}

function section(s, called) {
  const empty = !s.text || s.text === todo;
  return h("details", { open: !empty && !/^(header|key-images|disclosure)$/.test(s.name) }, h("summary", null, h("strong", null, s.heading), empty ? h("span", { class: "muted" }, ` ${called}`) : null),
    empty ? null : s.text.replaceAll(todo, called).split("\n").map((line) => h("p", { class: "said wrap" }, line)));
}
