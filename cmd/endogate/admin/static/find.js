// One field that finds a study by whatever somebody has of it: straight to the study where there is one.
import { get } from "./api.js";
import { h, slot } from "./dom.js";
import { empty, pager, table } from "./studies.js";
import { t } from "./words.js";

export function findView({ params }) {
  const rows = slot("div"), text = params.get("q") || "", offset = Math.max(0, Number(params.get("offset")) || 0);
  return {
    title: () => t("find.title", { text }), interval: () => 5000,
    el: h("div", null, h("div", { class: "head" }, h("h1", null, t("find.title", { text })), h("p", { class: "muted" }, t("find.about"))), rows.el),
    async read(signal) {
      const answer = await get(`/api/v1/studies?${new URLSearchParams({ search: text, limit: 50, offset })}`, signal);
      if (answer.total === 1 && !offset) {
        location.replace(`#/studies/${encodeURIComponent(answer.studies[0].study_instance_uid)}`);
        return;
      }
      rows.show(answer, () => answer.studies.length ? [table(answer.studies), pager(params, answer, "#/find")] : empty(params));
    },
  };
}
