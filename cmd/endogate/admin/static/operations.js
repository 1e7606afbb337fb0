// The gateway at a glance, and the way to all that keeps it running.
import { get } from "./api.js";
import { h, slot } from "./dom.js";
import { bytes, chip, thead, time } from "./format.js";
import { locale, named, t } from "./words.js";

export const places = ["operations", "associations", "routes", "models", "configuration", "audit", "system"];

// within is the head of a page of the operations, with the way to the others.
export const within = (place, ...more) => h("div", { class: "head" }, h("h1", null, named("operations", place)),
  h("nav", { class: "row tight places", "aria-label": t("operations.operations") }, places.map((p) =>
    h("a", { class: "button", href: `#/${p}`, "aria-current": p === place ? "page" : null }, named("operations", p)))), more);

export const fact = (name, value) => h("div", null, h("dt", null, name), h("dd", null, value === "" || value === undefined || value === null ? "–" : value));

// span is a number of seconds as people say it.
export function span(seconds) {
  const say = (n, unit) => new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 0 }).format(n);
  if (seconds < 120) return say(Math.round(seconds), "second");
  if (seconds < 7200) return say(Math.round(seconds / 60), "minute");
  return seconds < 172800 ? say(Math.round(seconds / 3600), "hour") : say(Math.round(seconds / 86400), "day");
}
const age = (seconds) => seconds > 0 ? span(seconds) : "–";

// expires says of a certificate until when it holds, and that this is soon.
export function expires(at, reason) {
  if (reason) return h("span", { class: "bad wrap" }, reason);
  if (!at) return h("span", { class: "muted" }, "–");
  const left = (new Date(at) - Date.now()) / 1000;
  return [time(at), left < 30 * 86400 ? h("div", { class: "bad" }, left < 0 ? t("operations.expired") : t("operations.expires-in", { span: span(left) })) : null];
}

// up says whether a destination answers, where it has been asked since the start.
export const up = (d) => d.up && !d.since ? chip({ unasked: ["plain", "·", t("operations.unasked")] }, "unasked") : d.up ? chip({ up: ["good", "✓", t("operations.up")] }, "up") : chip({ down: ["bad", "!", t("operations.down")] }, "down");

export function operationsView() {
  const flow = slot("section", { class: "card" }), waits = slot("section", { class: "card" }), room = slot("section", { class: "card" }), to = slot("section", { class: "card" }),
    workers = slot("section", { class: "card" }), certificates = slot("section", { class: "card" });
  let asked = 0;
  return {
    title: () => t("operations.operations"), interval: () => 5000,
    el: h("div", null, within("operations"), h("div", { class: "grid" }, flow.el, waits.el, room.el), to.el, workers.el, certificates.el),
    async read(signal) {
      const [d, status, all, models] = await Promise.all(["dashboard", "status", "destinations", "models"].map((path) => get(`/api/v1/${path}`, signal)));
      flow.show([d.hour, d.day], () => [h("h2", null, t("operations.flow")), h("table", { class: "list small", id: "flow" },
        thead(t("operations.since"), `#${t("operations.received")}`, `#${t("operations.analysed")}`, `#${t("operations.delivered")}`),
        h("tbody", null, [["hour", d.hour], ["day", d.day]].map(([name, f]) => h("tr", null, h("th", { scope: "row", "data-label": t("operations.since") }, named("operations", `last-${name}`)),
          ["received", "analysed", "delivered"].map((k) => h("td", { class: "num", "data-label": named("operations", k) }, f[k].toLocaleString(locale)))))))]);
      const g = status.gauges;
      const stuck = g.parked_jobs + g.parked_exams + g.parked_deliveries + g.held_instances + g.held_studies;
      waits.show([d.oldest_job_seconds, d.open_jobs, d.oldest_exam_seconds, d.oldest_held_seconds, stuck, g.spool_lag], () => [h("h2", null, t("operations.waits")), h("dl", { class: "facts" },
        models.models.map((m) => fact(`${m.name} ${m.version}`, t("operations.jobs-oldest", { n: d.open_jobs[m.name] ?? 0, age: age(d.oldest_job_seconds[m.name] ?? 0) }))),
        fact(t("operations.exams"), age(d.oldest_exam_seconds)), fact(t("operations.held"), age(d.oldest_held_seconds)),
        fact(t("operations.parked"), stuck ? h("a", { href: "#/parked" }, stuck.toLocaleString(locale)) : "0"), fact(t("operations.lag"), g.spool_lag.toLocaleString(locale)))]);
      room.show([g.disk_free_bytes, g.disk_reserve_bytes, g.spool_disk_bytes, g.spool_entries], () => [h("h2", null, t("operations.room")), h("dl", { class: "facts" },
        fact(t("operations.free"), bytes(g.disk_free_bytes)), fact(t("operations.reserve"), bytes(g.disk_reserve_bytes)),
        fact(t("operations.spool"), t("operations.spool-holds", { n: g.spool_entries, size: bytes(g.spool_disk_bytes) })))]);
      to.show([all, d.oldest_delivery_seconds], () => [h("h2", null, h("a", { href: "#/destinations" }, t("operations.destinations"))), all.destinations.length ? h("table", { class: "list small", id: "to" },
        thead(t("operations.name"), t("operations.state"), `#${t("operations.waiting")}`, `#${t("operations.parked")}`, t("operations.oldest"), t("operations.last-delivered"), t("operations.certificate")),
        h("tbody", null, all.destinations.map((one) => h("tr", null, h("th", { scope: "row", "data-label": t("operations.name") }, one.name),
          h("td", { "data-label": t("operations.state") }, up(one), one.up ? null : h("div", { class: "muted wrap" }, one.last_error)),
          h("td", { class: "num", "data-label": t("operations.waiting") }, one.counts.pending.toLocaleString(locale)), h("td", { class: "num", "data-label": t("operations.parked") }, one.counts.parked.toLocaleString(locale)),
          h("td", { "data-label": t("operations.oldest") }, age(d.oldest_delivery_seconds[one.name] ?? 0)), h("td", { "data-label": t("operations.last-delivered") }, time(one.last_at)),
          h("td", { "data-label": t("operations.certificate") }, expires(one.expires_at)))))) : h("p", { class: "muted" }, t("operations.no-destination"))]);
      certificates.show(d.certificates, () => d.certificates.length ? [h("h2", null, t("operations.certificates")), h("table", { class: "list small" }, thead(t("operations.name"), t("operations.until")),
        h("tbody", null, d.certificates.map((c) => h("tr", null, h("th", { scope: "row", "data-label": t("operations.name") }, h("code", null, c.name)), h("td", { "data-label": t("operations.until") }, expires(c.expires_at, c.reason))))))]
        : [h("h2", null, t("operations.certificates")), h("p", { class: "muted" }, t("operations.no-certificate"))]);
      if (Date.now() - asked > 15000) { // they are given a second to answer
        asked = Date.now();
        const there = await get("/api/v1/workers", signal);
        workers.show(there, () => [h("h2", null, t("operations.workers")), there.workers.length ? h("table", { class: "list small", id: "workers" },
          thead(t("operations.machine"), `#${t("operations.slots")}`, t("operations.models")), h("tbody", null, there.workers.map((w) => h("tr", null,
            h("th", { scope: "row", "data-label": t("operations.machine") }, w.machine || "–"), h("td", { class: "num", "data-label": t("operations.slots") }, w.slots), h("td", { "data-label": t("operations.models") }, w.models.join(", "))))))
          : h("p", { class: "bad" }, t("operations.no-worker"))]);
      }
    },
  };
}
