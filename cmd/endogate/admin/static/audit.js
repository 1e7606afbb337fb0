// The audit trail, searched from its end on.
import { get } from "./api.js";
import { h, slot } from "./dom.js";
import { chip, thead, time } from "./format.js";
import { said, t } from "./words.js";
import { within } from "./operations.js";

export function auditView({ params }) {
  const rows = slot("div");
  const field = (name, type) => h("label", null, h("span", null, named[name]), h("input", { name, type, value: params.get(name) || "", maxlength: 64, autocomplete: "off" }));
  const named = { text: t("audit.text"), from: t("audit.from"), before: t("audit.before") };
  const form = h("form", { class: "filters", role: "search", onsubmit: (e) => { e.preventDefault(); go(new FormData(form)); } },
    field("text", "search"), field("from", "date"), field("before", "date"), h("button", { class: "button primary", id: "audit-search" }, t("audit.search")));
  const go = (entries) => {
    const query = new URLSearchParams([...entries].filter(([, v]) => v.trim()));
    location.hash = query.size ? `#/audit?${query}` : "#/audit";
  };
  return {
    title: () => t("operations.audit"), interval: () => 60000,
    el: h("div", null, within("audit", h("p", { class: "muted" }, t("audit.about"))), form, rows.el),
    async read(signal) {
      const answer = await get(`/api/v1/audit?${params}`, signal);
      const older = new URLSearchParams(params);
      older.set("after", answer.next);
      rows.show(answer, () => [answer.entries.length ? h("table", { class: "list small" }, thead(`#${t("audit.number")}`, t("audit.at"), t("audit.event"), t("audit.who"), t("audit.what"), t("audit.outcome")),
        h("tbody", null, answer.entries.map((e) => h("tr", null, h("td", { class: "num", "data-label": t("audit.number") }, e.number), h("td", { "data-label": t("audit.at") }, time(e.at)),
          h("th", { scope: "row", "data-label": t("audit.event") }, said(e.event), e.type ? h("div", { class: "muted" }, said(e.type)) : null), h("td", { class: "wrap", "data-label": t("audit.who") }, e.who.map((w) => h("div", null, w))),
          h("td", { class: "wrap", "data-label": t("audit.what") }, e.about.map((a) => h("div", null, a))),
          h("td", { "data-label": t("audit.outcome") }, e.outcome === "0" ? chip({ ok: ["good", "✓", t("audit.ok")] }, "ok") : chip({ no: ["bad", "!", t("audit.refused")] }, "no"), e.why ? h("div", { class: "muted wrap" }, e.why) : null)))))
        : h("div", { class: "empty" }, h("p", null, t("audit.nothing"))),
      answer.next ? h("p", null, h("a", { class: "button", id: "older", href: `#/audit?${older}` }, t("audit.older"))) : null]);
    },
  };
}
