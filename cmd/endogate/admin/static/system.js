// The state of the gateway itself.
import { get } from "./api.js";
import { h, slot } from "./dom.js";
import { bytes, thead, time } from "./format.js";
import { fact, within } from "./operations.js";
import { named, t } from "./words.js";

export function systemView() {
  const checks = slot("section", { class: "card" }), load = slot("section", { class: "card" }), build = slot("section", { class: "card" }), away = slot("div");
  return {
    title: () => t("operations.system"), interval: () => 5000,
    el: h("div", null, within("system"), h("div", { class: "grid" }, checks.el, load.el, build.el), away.el),
    async read(signal) {
      const [s, v] = await Promise.all([get("/api/v1/status", signal), get("/api/v1/version", signal)]);
      checks.show(s.checks, () => [h("h2", null, s.ready ? t("system.accepting") : t("system.not-accepting")),
        h("ul", { class: "checks" }, s.checks.map((c) => h("li", { class: c.ok ? "good" : "bad" }, h("span", { class: "sign", "aria-hidden": "true" }, c.ok ? "✓" : "!"),
          h("span", null, h("strong", null, named("check", c.name)), h("span", { class: "hidden" }, c.ok ? t("system.ok") : t("system.failing")), c.reason ? h("div", { class: "wrap" }, c.reason) : null))))]);
      const g = s.gauges;
      load.show(g, () => [h("h2", null, t("system.load")), h("dl", { class: "facts" },
        fact(t("system.open-jobs"), g.open_jobs), fact(t("system.not-taken"), g.queue_lag), fact(t("system.oldest"), g.open_jobs ? t("system.seconds", { n: Math.round(g.oldest_job_seconds) }) : "–"),
        fact(t("system.lag"), g.spool_lag), fact(t("operations.spool"), t("system.spool", { n: g.spool_entries, bytes: bytes(g.spool_bytes), disk: bytes(g.spool_disk_bytes) })),
        fact(t("system.disk"), t("system.free", { free: bytes(g.disk_free_bytes), reserve: bytes(g.disk_reserve_bytes) })), fact(t("operations.parked"), t("queues.items", { n: g.parked_jobs + g.parked_exams + g.parked_deliveries + g.held_instances + g.held_studies })),
        fact(t("system.refused"), g.refused_entries ? t("system.refused-sets", { n: g.refused_entries }) : t("frame.none")))]);
      away.show(g.turned_away, () => g.turned_away.length ? turnedAway(g.turned_away) : null);
      build.show(v, () => [h("h2", null, t("system.node")), h("dl", { class: "facts" }, fact(t("system.ae-title"), h("code", null, v.ae_title)), fact(t("system.version"), v.version), fact(t("system.commit"), h("code", null, v.commit)),
        fact("Go", v.go), fact(t("system.started"), time(v.started)), fact(t("system.api"), h("a", { href: "/api/v1/openapi.json" }, t("system.openapi"))), fact(t("system.metrics"), h("a", { href: "/metrics" }, "Prometheus")))]);
    },
  };
}

function turnedAway(all) {
  return h("section", { class: "card" }, h("h2", null, t("system.away")), h("p", { class: "muted" }, t("system.away-about")),
    h("table", { class: "list small" }, thead(t("system.ae-title"), t("system.address"), t("system.why"), `#${t("system.times")}`, t("system.last")),
      h("tbody", null, all.map((a) => h("tr", null, h("th", { scope: "row", "data-label": t("system.ae-title") }, h("code", null, a.ae_title)), h("td", { "data-label": t("system.address") }, h("code", null, a.address)),
        h("td", { "data-label": t("system.why") }, named("not-listed", a.why)), h("td", { class: "num", "data-label": t("system.times") }, a.count), h("td", { "data-label": t("system.last") }, time(a.last_at)))))));
}
