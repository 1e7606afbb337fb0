// The report draft on a study, to be read: how it stands, what a person decided about each finding, and what it says.
import { h } from "./dom.js";
import { named, t } from "./words.js";
import { absolute, chip, listed, percent, personName, roles, term, words } from "./format.js";

const standings = {
  draft: ["warn", "◔", t("draft.ai")], amending: ["warn", "◔", named("report-standing", "amending")], signed: ["good", "✓", named("report-standing", "signed")],
  amended: ["good", "✓", named("report-standing", "amended")], withdrawn: ["bad", "×", named("report-standing", "withdrawn")],
};
const tones = { proposed: ["warn", "?"], accepted: ["good", "✓"], changed: ["info", "✎"], rejected: ["plain", "×"] };
const decided = (d) => chip({ [d]: [...(tones[d] || ["plain", "?"]), named("report-decision", d)] }, d);
const todo = "[to be completed]";

export function draftCard(uid, draft) {
  const title = h("h2", null, t("report.draft"));
  if (!draft.standing) return [title, h("p", { class: "muted wrap" }, draft.why || t("draft.none"))];
  const shown = draft.findings.filter(stands);
  const pdf = `/api/v1/studies/${encodeURIComponent(uid)}/draft.pdf?${new URLSearchParams({ number: draft.number, version: draft.version })}`;
  return [
    h("div", { class: "row between" }, title, h("span", { class: "row" }, h("a", { class: "button", href: pdf, target: "_blank", rel: "noopener" }, t("draft.open-pdf")), h("a", { class: "button primary", id: "work", href: `#/draft/${encodeURIComponent(uid)}` }, t("report.work")))),
    h("p", { class: "row" }, chip(standings, draft.standing), h("span", { class: "muted" }, listed([draft.heading || draft.title.meaning || t("draft.report"), t("draft.version", { version: `${draft.number}.${draft.version}` }), `${author(draft.author)}, ${absolute(draft.at)}`]))),
    signature(draft),
    draft.notices.map((n) => h("div", { class: "notice warn wrap", role: "note" }, n)),
    shown.length ? findings(t("draft.findings"), shown) : h("p", { class: "muted" }, t("draft.no-findings")),
    shown.length < draft.findings.length ? [h("h3", null, t("draft.not-part")), findings(t("draft.not-part-list"), draft.findings.filter((f) => !stands(f)))] : null,
    draft.sections.map((s) => section(s, draft.to_be_completed || todo)),
  ];
}

// What draft.Finding's Stands says: rejected by nobody, and not retracted before a person decided about it.
const stands = (f) => f.decision !== "rejected" && !(f.retracted && f.decision === "proposed");

const author = (a) => a.system ? t("report.by-gateway") : a.unauthenticated ? t("report.by-unknown", { name: personName(a.name) }) : t("report.by", { name: personName(a.name) });

function signature(draft) {
  const s = draft.signature;
  if (!s) return null;
  const worth = draft.standing === "withdrawn" ? t("draft.do-not-use") : s.verified ? t("draft.verified") : t("draft.not-verified");
  return h("div", { class: `notice wrap ${draft.standing === "withdrawn" ? "bad" : s.verified ? "good" : "warn"}`, role: "note" },
    h("strong", null, t("draft.signed", { standing: (standings[draft.standing] || ["", "", draft.standing])[2], who: author(s.by), at: absolute(s.at) })), worth, s.reason ? t("draft.reason", { reason: s.reason }) : "");
}

function findings(label, list) {
  return h("table", { class: "list small", "aria-label": label },
    h("thead", null, h("tr", null, [t("draft.finding"), t("draft.decision"), t("draft.said-by")].map((n) => h("th", { scope: "col" }, n)))),
    h("tbody", null, list.map((f) => h("tr", null,
      h("th", { scope: "row", "data-label": t("draft.finding") }, h("div", null, f.code.value ? term(f.code) : words(f.class || ""), f.role ? h("span", { class: `tag ${f.role}` }, ` ${roles[f.role] || f.role}`) : null),
        h("div", { class: "muted wrap" }, listed([f.site_text || (f.site.value ? term(f.site) : ""), f.size_mm ? t("draft.size", { n: f.size_mm }) : "", f.paris, f.text]))),
      h("td", { "data-label": t("draft.decision") }, decided(f.decision), f.by.system ? null : h("div", { class: "muted" }, author(f.by)), f.retracted ? h("div", { class: "muted wrap" }, t("draft.retracted", { why: f.retracted })) : null),
      h("td", { "data-label": t("draft.said-by") }, f.model ? `${f.model.name} ${f.model.version}` : t("draft.person"), f.model ? h("div", { class: "muted" }, t("draft.flagged", { probability: percent(f.probability || 0), flagged: f.flagged, analysed: f.analysed })) : null)))));
}

function section(s, called) {
  const empty = !s.text || s.text === todo;
  return h("details", { open: !empty && !/^(header|key-images|disclosure)$/.test(s.name) }, h("summary", null, h("strong", null, s.heading), empty ? h("span", { class: "muted" }, ` ${called}`) : null),
    empty ? null : s.text.replaceAll(todo, called).split("\n").map((line) => h("p", { class: "said wrap" }, line)));
}
