// The state of the gateway itself.
import { get } from "./api.js";
import { h, slot } from "./dom.js";
import { bytes, plural, thead, time, words } from "./format.js";
import { fact, within } from "./operations.js";

export function systemView() {
  const checks = slot("section", { class: "card" }), load = slot("section", { class: "card" }), build = slot("section", { class: "card" }), away = slot("div");
  return {
    title: () => "System", interval: () => 5000,
    el: h("div", null, within("system"), h("div", { class: "grid" }, checks.el, load.el, build.el), away.el),
    async read(signal) {
      const [s, v] = await Promise.all([get("/api/v1/status", signal), get("/api/v1/version", signal)]);
      checks.show(s.checks, () => [h("h2", null, s.ready ? "Accepting frames" : "Not accepting frames"),
        h("ul", { class: "checks" }, s.checks.map((c) => h("li", { class: c.ok ? "good" : "bad" }, h("span", { class: "sign", "aria-hidden": "true" }, c.ok ? "✓" : "!"),
          h("span", null, h("strong", null, words(c.name)), h("span", { class: "hidden" }, c.ok ? ": ok" : ": failing"), c.reason ? h("div", { class: "wrap" }, c.reason) : null))))]);
      const g = s.gauges;
      load.show(g, () => [h("h2", null, "Queues and room"), h("dl", { class: "facts" },
        fact("Open jobs", g.open_jobs), fact("Not yet taken by a worker", g.queue_lag), fact("Oldest job", g.open_jobs ? `${Math.round(g.oldest_job_seconds)} s` : "–"),
        fact("Spool entries not in the ledger", g.spool_lag), fact("Spool", `${plural(g.spool_entries, "entry").replace("entrys", "entries")}, ${bytes(g.spool_bytes)}, ${bytes(g.spool_disk_bytes)} on disk`),
        fact("Disk", `${bytes(g.disk_free_bytes)} free, ${bytes(g.disk_reserve_bytes)} in reserve`), fact("Parked", plural(g.parked_jobs + g.parked_exams + g.parked_deliveries + g.held_instances + g.held_studies, "item")), fact("Not taken in", g.refused_entries ? `${plural(g.refused_entries, "received data set")}: see the log` : "none"))]);
      away.show(g.turned_away, () => g.turned_away.length ? turnedAway(g.turned_away) : null);
      build.show(v, () => [h("h2", null, "This node"), h("dl", { class: "facts" }, fact("AE title", h("code", null, v.ae_title)), fact("Version", v.version), fact("Commit", h("code", null, v.commit)),
        fact("Go", v.go), fact("Started", time(v.started)), fact("API", h("a", { href: "/api/v1/openapi.json" }, "OpenAPI description")), fact("Metrics", h("a", { href: "/metrics" }, "Prometheus")))]);
    },
  };
}

const notListed = { address: "title is listed, not with this address", title: "address is listed, not with this title", both: "neither is listed" };

function turnedAway(all) {
  return h("section", { class: "card" }, h("h2", null, "Turned away"),
    h("p", { class: "muted" }, "Who asked for an association and is not in dicom.peers, since the start."),
    h("table", { class: "list small" }, thead("AE title", "Address", "Why", "#Times", "Last"),
      h("tbody", null, all.map((a) => h("tr", null, h("th", { scope: "row", "data-label": "AE title" }, h("code", null, a.ae_title)), h("td", { "data-label": "Address" }, h("code", null, a.address)),
        h("td", { "data-label": "Why" }, notListed[a.why] || a.why), h("td", { class: "num", "data-label": "Times" }, a.count), h("td", { "data-label": "Last" }, time(a.last_at)))))));
}
