// The configuration that counts, where each of its values is from, and what a reload would change.
import { Fault, get, post } from "./api.js";
import { ask, h, slot } from "./dom.js";
import { absolute, chip, shortUID, thead } from "./format.js";
import { named, parts, t } from "./words.js";
import { within } from "./operations.js";
import { progress } from "./tasks.js";

const source = (s) => [chip({ [s.source]: [s.source === "default" ? "plain" : "info", s.source === "default" ? "·" : "✎", named("source", s.source)] }, s.source), s.where ? h("div", { class: "muted" }, s.source === "file" ? t("settings.line", { n: Number(s.where.split(" ")[1]) }) : s.where) : null];

export function configurationView() {
  const state = slot("div"), changed = slot("div"), rows = slot("div"), out = h("div", { id: "reloading" });
  const only = h("input", { type: "checkbox", id: "only-set" });
  const button = h("button", { class: "button primary", id: "reload", onclick: reload }, t("settings.reload"));
  let read = null, stop = () => {};
  const draw = () => {
    const shown = read.settings.filter((s) => !only.checked || s.source !== "default");
    rows.show(shown, () => settings(shown, "settings"));
  };
  only.addEventListener("change", () => read && draw());
  // reload says first what would change; what is wrong with the file comes with the answer to that.
  async function reload() {
    stop();
    try {
      const would = await post("/api/v1/configuration/reload?dry_run=true");
      const keys = would.applied.map((c) => c.key).join(", ") || t("settings.reload.nothing");
      if (!await ask(t("settings.reload.title"), t("settings.reload.said", { keys }), t("settings.reload"))) return;
      stop = progress(await post("/api/v1/configuration/reload"), out, (r) => h("p", null, t("settings.done", { n: r.applied.length })));
    } catch (e) {
      if (!(e instanceof Fault)) throw e;
      out.replaceChildren(h("div", { class: "notice bad", role: "alert" }, `${e.what}: ${e.why}. ${e.next}`));
    }
  }
  return {
    title: () => t("operations.configuration"), interval: () => 15000, stop: () => stop(),
    el: h("div", null, within("configuration", h("p", { class: "muted" }, t("settings.about"))), h("div", { class: "row between" }, state.el, button), out, changed.el, h("label", { class: "row tight", for: "only-set" }, only, h("span", null, t("settings.only-set"))), rows.el),
    async read(signal) {
      read = await get("/api/v1/configuration", signal);
      state.show([read.sha256, read.last_reload], () => [h("div", { class: "muted" }, parts("settings.sha256", { digest: shortUID(read.sha256) })), read.last_reload ? last(read.last_reload) : null]);
      changed.show([read.changed, read.faults], () => [
        read.faults.length ? h("div", { class: "notice bad" }, h("strong", null, t("settings.faults")), h("ul", null, read.faults.map((f) => h("li", { class: "wrap" }, f)))) : null,
        read.changed.length ? h("section", { class: "card" }, h("h2", null, t("settings.changed")), changes(read.changed)) : null,
      ]);
      draw();
    },
  };
}

const last = (r) => r.ok ? h("div", { class: "muted" }, t("settings.reloaded", { at: absolute(r.at), by: r.by }))
  : h("div", { class: "notice bad" }, h("strong", null, t("settings.reload-failed", { at: absolute(r.at), by: r.by })), h("div", { class: "wrap" }, r.reason));

const changes = (all) => h("table", { class: "list small", id: "changed" }, thead(t("settings.key"), t("settings.was"), t("settings.is"), t("settings.when")), h("tbody", null, all.map((c) => h("tr", null,
  h("th", { scope: "row", "data-label": t("settings.key") }, h("code", null, c.key)), h("td", { class: "wrap", "data-label": t("settings.was") }, h("code", null, c.was || "–")),
  h("td", { class: "wrap", "data-label": t("settings.is") }, h("code", { class: "select" }, c.value || "–"), " ", source(c)), h("td", { "data-label": t("settings.when") }, c.restart ? t("settings.restart", { why: c.restart }) : t("settings.at-once"))))));

const settings = (all, id) => h("table", { class: "list small", id }, thead(t("settings.key"), t("settings.value"), t("settings.source")), h("tbody", null, all.map((s) => h("tr", null,
  h("th", { scope: "row", "data-label": t("settings.key") }, h("code", null, s.key)), h("td", { class: "wrap", "data-label": t("settings.value") }, h("code", { class: "select" }, s.value || "–")), h("td", { "data-label": t("settings.source") }, source(s))))));
