// What becomes of a file that is sent: which route it takes, and why not another. Nothing of it is kept.
import { Fault, tryRoute } from "./api.js";
import { h } from "./dom.js";
import { named, t } from "./words.js";
import { within } from "./operations.js";

export function routesView() {
  const out = h("div", { id: "trial", "aria-live": "polite" });
  const calling = h("input", { id: "calling", maxlength: 16, autocomplete: "off", spellcheck: "false" });
  const file = h("input", { id: "trial-file", type: "file", onchange: () => go(file.files[0]) });
  const drop = h("label", { class: "drop", for: "trial-file", ondragover: (e) => { e.preventDefault(); drop.classList.add("over"); }, ondragleave: () => drop.classList.remove("over"),
    ondrop: (e) => { e.preventDefault(); drop.classList.remove("over"); go(e.dataTransfer.files[0]); } }, h("strong", null, t("routes.drop")), h("span", { class: "muted" }, t("routes.drop-about")), file);
  async function go(chosen) {
    if (!chosen) return;
    out.replaceChildren(h("p", { class: "muted" }, t("routes.trying")));
    try {
      out.replaceChildren(...trial(await tryRoute(chosen, calling.value.trim())));
    } catch (e) {
      if (!(e instanceof Fault)) throw e;
      out.replaceChildren(h("div", { class: "notice bad" }, h("strong", null, e.what), " ", e.why, h("div", { class: "muted" }, e.next)));
    }
    file.value = "";
  }
  return {
    title: () => t("operations.routes"), interval: () => 60000,
    el: h("div", null, within("routes", h("p", { class: "muted" }, t("routes.about"))), h("section", { class: "card fields" }, h("label", { for: "calling" }, h("span", null, t("routes.calling")), calling), drop), out),
    async read() {},
  };
}

function trial(r) {
  const taken = r.refusals.length ? h("div", { class: "notice bad" }, h("strong", null, t("routes.refused")), h("ul", null, r.refusals.map((why) => h("li", { class: "wrap" }, why))))
    : r.route ? h("div", { class: "notice good" }, t("routes.taken", { route: r.route })) : h("div", { class: "notice warn" }, t("routes.no-route"));
  return [h("section", { class: "card" }, h("h2", null, t("routes.result")), h("p", null, [r.sop_class, r.transfer_syntax, r.calling_ae].filter(Boolean).join(" · ")), taken, r.remarks ? h("p", { class: "warn wrap" }, r.remarks) : null,
    h("h3", null, t("operations.routes")), h("ul", { class: "checks", id: "trial-routes" }, r.routes.map((one) => h("li", { class: one.matches ? "good" : "plain" }, h("span", { class: "sign", "aria-hidden": "true" }, one.matches ? "✓" : "×"),
      h("span", null, h("strong", null, one.name), one.name === r.route ? ` ${t("routes.this-one")}` : one.matches ? ` ${t("routes.earlier")}` : null,
        one.unmet.map((u) => h("div", { class: "wrap" }, t("routes.unmet", { key: u.key, has: u.has || "–", wants: u.wants.join(", ") }))))))),
    r.models.length ? [h("h3", null, t("operations.models")), h("ul", { class: "checks" }, r.models.map((m) => h("li", { class: m.analyses ? "good" : "bad" }, h("span", { class: "sign", "aria-hidden": "true" }, m.analyses ? "✓" : "!"),
      h("span", null, h("strong", null, m.name), m.analyses ? ` ${t("routes.analyses")}` : h("div", { class: "wrap" }, m.why)))))] : null,
    r.destinations.length ? [h("h3", null, t("operations.destinations")), h("ul", { class: "checks" }, r.destinations.map((d) => h("li", null, h("span", { class: "sign", "aria-hidden": "true" }, "→"),
      h("span", null, h("strong", null, d.name), ` ${d.gets.map((g) => named("gets", g)).join(", ") || t("routes.nothing")}`))))] : null)];
}
