// The configuration that counts, and where each of its values is from.
import { get } from "./api.js";
import { h, slot } from "./dom.js";
import { chip, thead } from "./format.js";
import { named, t } from "./words.js";
import { within } from "./operations.js";

const source = (s) => [chip({ [s.source]: [s.source === "default" ? "plain" : "info", s.source === "default" ? "·" : "✎", named("source", s.source)] }, s.source), s.where ? h("div", { class: "muted" }, s.where) : null];

export function configurationView() {
  const changed = slot("div"), rows = slot("div");
  const only = h("input", { type: "checkbox", id: "only-set" });
  let read = null;
  const draw = () => {
    const shown = read.settings.filter((s) => !only.checked || s.source !== "default");
    rows.show(shown, () => settings(shown, "settings"));
  };
  only.addEventListener("change", () => read && draw());
  return {
    title: () => t("operations.configuration"), interval: () => 15000,
    el: h("div", null, within("configuration", h("p", { class: "muted" }, t("settings.about"))), changed.el, h("label", { class: "row tight", for: "only-set" }, only, h("span", null, t("settings.only-set"))), rows.el),
    async read(signal) {
      read = await get("/api/v1/configuration", signal);
      changed.show([read.changed, read.faults], () => [
        read.faults.length ? h("div", { class: "notice bad" }, h("strong", null, t("settings.faults")), h("ul", null, read.faults.map((f) => h("li", { class: "wrap" }, f)))) : null,
        read.changed.length ? h("section", { class: "card" }, h("h2", null, t("settings.changed")), h("p", { class: "muted" }, t("settings.changed-about")), settings(read.changed, "changed")) : null,
      ]);
      draw();
    },
  };
}

const settings = (all, id) => h("table", { class: "list small", id }, thead(t("settings.key"), t("settings.value"), t("settings.source")), h("tbody", null, all.map((s) => h("tr", null,
  h("th", { scope: "row", "data-label": t("settings.key") }, h("code", null, s.key)), h("td", { class: "wrap", "data-label": t("settings.value") }, h("code", { class: "select" }, s.value || "–")), h("td", { "data-label": t("settings.source") }, source(s))))));
