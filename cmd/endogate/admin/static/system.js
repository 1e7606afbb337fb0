// The peers results go to, and the state of the gateway itself.
import { Fault, get, post } from "./api.js";
import { h, slot } from "./dom.js";
import { bytes, code, peerStatus, percent, plural, roles, thead, time, words } from "./format.js";
import { deliveries } from "./studies.js";

export function destinationsView() {
  const grid = slot("div", { class: "grid" });
  const answers = new Map(); // last echo by destination, kept over redraws

  async function echo(name, out, button) {
    button.disabled = true;
    out.className = "muted";
    out.textContent = "Asking…";
    try {
      const r = await post(`/api/v1/destinations/${encodeURIComponent(name)}/echo`);
      answers.set(name, r.ok ? ["good", `✓ Answered in ${r.milliseconds.toFixed(1)} ms (${peerStatus(r.status)})`] : ["bad", `! ${[peerStatus(r.status), r.reason].filter(Boolean).join(": ")}`]);
    } catch (e) {
      if (!(e instanceof Fault)) throw e;
      answers.set(name, ["bad", `! ${e.what}: ${e.why}`]);
    }
    say(name, out);
    button.disabled = false;
  }
  async function retry(name, out, button) {
    button.disabled = true;
    try {
      const r = await post(`/api/v1/destinations/${encodeURIComponent(name)}/retry`);
      answers.set(name, ["good", `✓ ${r.retried} put back in the queue`]);
    } catch (e) {
      if (!(e instanceof Fault)) throw e;
      answers.set(name, ["bad", `! ${e.what}: ${e.why}`]);
    }
    say(name, out);
    button.disabled = false;
  }
  function say(name, out) {
    const [tone, text] = answers.get(name) || ["muted", ""];
    out.className = `wrap ${tone}`;
    out.textContent = text;
  }

  return {
    title: () => "Destinations", interval: () => 5000,
    el: h("div", null, h("div", { class: "head" }, h("h1", null, "Destinations"), h("p", { class: "muted" }, "Where results go. Each has a queue of its own: one that is down delays no other.")), grid.el),
    async read(signal) {
      const { destinations } = await get("/api/v1/destinations", signal);
      grid.show(destinations, () => destinations.length ? destinations.map((d) => {
        const out = h("p", { role: "status", "aria-live": "polite" });
        const button = h("button", { class: "button", id: `echo-${d.name}`, onclick: () => echo(d.name, out, button) }, d.kind === "dicom" ? "Test with C-ECHO" : "Test the connection");
        const again = d.retriable_count ? h("button", { class: "button", id: `retry-${d.name}`, onclick: () => retry(d.name, out, again) }, `Send ${d.retriable_count} parked again`) : null;
        say(d.name, out);
        return h("section", { class: "card" }, h("h2", null, d.name),
          h("dl", { class: "facts" }, d.ae_title ? fact("AE title", h("code", null, d.ae_title)) : null, fact("Address", h("code", null, d.address)), fact("Kind", d.kind), fact("Last confirmed", time(d.last_at))),
          deliveries(d.counts),
          d.last_error ? h("div", { class: "notice warn wrap" }, h("strong", null, "Waiting. "), d.last_error) : null,
          h("div", { class: "row" }, button, again, h("a", { class: "button quiet", href: `#/outbox?${new URLSearchParams({ destination: d.name, state: "pending" })}` }, `${d.counts.pending} waiting`)), out);
      }) : h("div", { class: "empty" }, h("h2", null, "No destination"), h("p", null, "Results stay here until destinations are configured.")));
    },
  };
}

const fact = (name, value) => h("div", null, h("dt", null, name), h("dd", null, value === "" || value === undefined ? "–" : value));

export function systemView() {
  const checks = slot("section", { class: "card" }), load = slot("section", { class: "card" }), build = slot("section", { class: "card" }), away = slot("div"), models = slot("div");
  return {
    title: () => "System", interval: () => 5000,
    el: h("div", null, h("div", { class: "head" }, h("h1", null, "System")), h("div", { class: "grid" }, checks.el, load.el, build.el), away.el, models.el),
    async read(signal) {
      const [s, v, m] = await Promise.all([get("/api/v1/status", signal), get("/api/v1/version", signal), get("/api/v1/models", signal)]);
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
      models.show(m, () => m.models.map(modelCard));
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

function modelCard(m) {
  return h("section", { class: "card" }, h("h2", null, `Model ${m.name} ${m.version}`), h("p", null, m.intended_use),
    h("dl", { class: "facts" }, fact("Made by", m.manufacturer), fact("Kind", m.kind), fact("Input", `${m.columns} × ${m.rows}`), fact("Explanation", `${m.method}, layer ${m.layer}`),
      fact("Network SHA-256", h("code", { class: "uid select" }, m.digest))),
    h("table", { class: "list small" }, thead("Class", "Role", "#Threshold", "Finding", "Site"),
      h("tbody", null, m.classes.map((c) => h("tr", null, h("th", { scope: "row", "data-label": "Class" }, words(c.name)), h("td", { "data-label": "Role" }, roles[c.role] || c.role),
        h("td", { class: "num", "data-label": "Threshold" }, percent(c.threshold)), h("td", { "data-label": "Finding" }, code(c.finding)), h("td", { "data-label": "Site" }, code(c.site)))))));
}
