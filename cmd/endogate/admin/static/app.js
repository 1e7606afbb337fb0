// The page: one view at a time, chosen by the part of the address behind #.
import { acting, get, leaving, poll } from "./api.js";
import { h, slot } from "./dom.js";
import { bytes } from "./format.js";
import { named, t } from "./words.js";
import { studiesView } from "./studies.js";
import { studyView } from "./study.js";
import { outboxView, parkedView } from "./queues.js";
import { systemView } from "./system.js";
import { destinationsView } from "./peers.js";
import { operationsView, places } from "./operations.js";
import { associationsView } from "./associations.js";
import { routesView } from "./routes.js";
import { modelsView } from "./models.js";
import { configurationView } from "./settings.js";
import { findView } from "./find.js";
import { auditView } from "./audit.js";
import { peopleView } from "./people.js";
import { reviewsView } from "./reviews.js";
import { forgotten, unsaved } from "./desk.js";
import { confirmed } from "./draftacts.js";
import { forgetAuthor } from "./author.js";
import { draftView } from "./draftpage.js";
import { frameView } from "./dissect.js";
import { tryView } from "./try.js";
import { liveView } from "./live.js";

const views = { studies: studiesView, study: studyView, outbox: outboxView, parked: parkedView, destinations: destinationsView, system: systemView, people: peopleView, reviews: reviewsView, frame: frameView, draft: draftView, try: tryView, live: liveView, find: findView,
  operations: operationsView, associations: associationsView, routes: routesView, models: modelsView, configuration: configurationView, audit: auditView };
const main = document.getElementById("main");
let current, title = "";

function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name = "studies", ...rest] = path.split("/").map(decode);
  const params = new URLSearchParams(query || "");
  if (name === "studies" && rest[0]) return { name: "study", nav: "studies", uid: rest[0], params };
  if (name === "frame" && rest.length === 3) return { name, nav: "studies", uid: rest[0], sop: rest[1], number: Number(rest[2]) || 1, params };
  if (name === "live") return { name, nav: name, rest, params };
  if (name === "draft" && rest[0]) return { name, nav: "studies", uid: rest[0], params };
  return { name: views[name] && !["study", "frame", "draft"].includes(name) ? name : "studies", nav: places.includes(name) ? "operations" : name || "studies", rest, params };
}

function decode(s) {
  try { return decodeURIComponent(s); } catch { return s; }
}

// show replaces the view. A view is {title, el, read(signal), interval()}: read fetches and draws.
function show() {
  if (location.hash === "#main") return; // the skip link
  current?.stop();
  const to = route();
  const fault = slot("div", { role: "alert" });
  const view = views[to.name](to);
  let first = true;
  main.replaceChildren(fault.el, view.el);
  for (const a of document.querySelectorAll("[data-nav]")) {
    a.dataset.nav === to.nav ? a.setAttribute("aria-current", "page") : a.removeAttribute("aria-current");
  }
  const polled = poll(async (signal) => {
    try {
      await view.read(signal, () => polled.now());
      fault.show(null, () => []);
    } catch (e) {
      if (e.name !== "AbortError" && e.status !== 0) fault.show([e.what, e.why, e.next], () => problem(e));
      throw e;
    } finally {
      if (first || document.title !== title) document.title = title = `${view.title()} – endogate`;
      first = false;
    }
  }, view.interval);
  current = { stop() { polled.stop(); view.stop?.(); } };
}

function problem(e) {
  return h("div", { class: "notice bad" }, h("strong", null, e.what || t("frame.went-wrong")), " ", e.why, e.next ? h("div", { class: "muted" }, e.next) : null);
}

// Live signals are there where they are configured.
get("/api/v1/live").then(({ signals }) => { document.getElementById("nav-live").hidden = !signals.length; }, () => {});

// Who has signed in can sign out; what the role may not is refused by the gateway, not by the page.
let person = "";
get("/api/v1/me").then((me) => {
  person = me.name;
  acting(person);
  document.getElementById("nav-people").hidden = !me.rights.includes("administer");
  document.getElementById("nav-reviews").hidden = !me.rights.includes("identify");
  if (!me.signed_in) return;
  document.getElementById("who-name").textContent = `${me.name} (${named("role", me.role)})`;
  document.getElementById("who").hidden = false;
}, () => {});

// The strip tells at a glance whether the gateway takes in frames, how much waits and how much room is left.
const strip = slot("span", { class: "strip-in" });
document.getElementById("strip").append(strip.el);
const offline = document.getElementById("offline");

function badge(id, n) {
  const el = document.getElementById(id);
  el.hidden = !n;
  el.textContent = n > 999 ? "999+" : n;
}

function drawStrip(s) {
  const failing = s.checks.filter((c) => !c.ok);
  const g = s.gauges;
  const low = g.disk_free_bytes < 2 * g.disk_reserve_bytes;
  strip.show([failing, g.open_jobs, bytes(g.disk_free_bytes), low], () => [
    h("span", { class: `state ${s.ready ? "good" : "bad"}`, title: failing.map((c) => `${named("check", c.name)}: ${c.reason}`).join("\n") },
      h("span", { class: "dot", "aria-hidden": "true" }), s.ready ? t("frame.accepting") : t("frame.not-accepting", { checks: failing.map((c) => named("check", c.name)).join(", ") })),
    s.ready && failing.length ? h("span", { class: "stat warn", title: failing.map((c) => c.reason).join("\n") }, t("frame.look-at", { checks: failing.map((c) => named("check", c.name)).join(", ") })) : null,
    h("span", { class: "stat" }, t("frame.open-jobs", { n: g.open_jobs })),
    h("span", { class: `stat ${low ? "warn" : ""}` }, t("frame.free", { size: bytes(g.disk_free_bytes) })),
  ]);
  badge("badge-parked", g.parked_jobs + g.parked_exams + g.parked_deliveries + g.held_instances);
  badge("badge-outbox", Object.values(g.pending_by_destination).reduce((a, b) => a + b, 0));
}

const status = poll(async (signal) => {
  try {
    drawStrip(await get("/api/v1/status", signal));
    offline.hidden = true;
  } catch (e) {
    if (e.name === "AbortError") throw e;
    offline.textContent = e.status === 0 ? t("frame.offline")
      : t("frame.state-unread", { why: e.why });
    offline.hidden = false;
    throw e;
  }
}, () => 5000);
document.addEventListener("acted", () => status.now());

get("/api/v1/version").then((v) => {
  document.getElementById("version").textContent = `${v.ae_title} · endogate ${v.version}`;
}).catch(() => {});

// Another language is of the same view.
for (const a of document.querySelectorAll(".languages a")) a.addEventListener("click", () => { a.hash = location.hash; });

// What somebody looks for is found from every page.
document.getElementById("find").addEventListener("submit", (e) => {
  e.preventDefault();
  const text = document.getElementById("find-study").value.trim();
  if (text) location.hash = `#/find?${new URLSearchParams({ q: text })}`;
});

// What somebody wrote and has not saved goes when the tab is closed, from whichever view, which is asked about, or when they sign out: who comes next at this browser finds nothing.
addEventListener("beforeunload", (e) => { if (unsaved(person) && !leaving) e.preventDefault(); });
document.getElementById("who").addEventListener("submit", async (e) => {
  e.preventDefault();
  const form = e.target;
  if (unsaved(person) && !await confirmed({ title: t("report.discard.title"), said: [t("report.discard.said")], yes: t("frame.sign-out"), danger: true })) return;
  current?.stop();
  forgotten(person);
  forgetAuthor();
  form.submit();
});

addEventListener("hashchange", () => { show(); main.focus({ preventScroll: true }); scrollTo(0, 0); });
show();
