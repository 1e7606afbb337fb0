// Work on its way, and work that waits for a person.
import { Fault, get, post, send } from "./api.js";
import { author as whoReleases } from "./author.js";
import { ask, h, question, slot } from "./dom.js";
import { absolute, chip, deliveryStates, listed, peerStatus, personName, purpose, shortUID, thead, time } from "./format.js";
import { pager } from "./studies.js";
import { progress } from "./tasks.js";
import { named, t } from "./words.js";

const pageSize = 100;
const offsetIn = (params) => Math.max(0, Number(params.get("offset")) || 0);
const wrong = (e) => { if (!(e instanceof Fault)) throw e; return `${e.what}: ${e.why}. ${e.next}`; };

export function outboxView({ params }) {
  const rows = slot("div");
  const state = params.has("state") ? params.get("state") : "pending";
  const form = h("form", { class: "filters", onsubmit: (e) => { e.preventDefault(); go(); } },
    h("label", null, h("span", null, t("outbox.destination")), h("input", { name: "destination", value: params.get("destination") || "", maxlength: 64, autocomplete: "off" })),
    h("label", null, h("span", null, t("outbox.state")), h("select", { name: "state", onchange: () => go() }, h("option", { value: "" }, t("outbox.all")),
      Object.entries(deliveryStates).map(([s, [, , text]]) => h("option", { value: s, selected: s === state }, text)))),
    h("div", { class: "row" }, h("button", { class: "button primary" }, t("outbox.search"))));
  const go = () => { location.hash = `#/outbox?${new URLSearchParams(new FormData(form))}`; };
  return {
    title: () => t("nav.outbox"), interval: () => 5000,
    el: h("div", null, h("div", { class: "head" }, h("h1", null, t("nav.outbox")), h("p", { class: "muted" }, t("outbox.about"))), form, rows.el),
    async read(signal) {
      const query = new URLSearchParams({ limit: pageSize, offset: offsetIn(params) });
      if (state) query.set("state", state);
      if (params.get("destination")) query.set("destination", params.get("destination"));
      const answer = await get(`/api/v1/outbox?${query}`, signal);
      rows.show(answer, () => answer.deliveries.length ? [table(answer.deliveries), pager(params, answer, "#/outbox")]
        : h("div", { class: "empty" }, h("h2", null, t("outbox.none")), h("p", null, state === "pending" ? t("outbox.none-pending") : t("outbox.no-match"))));
    },
  };
}

const study = (uid) => h("a", { class: "nowrap", href: `#/studies/${encodeURIComponent(uid)}` }, t("outbox.open-study"));

function table(list) {
  return h("table", { class: "list" },
    thead(t("outbox.object"), t("outbox.destination"), t("outbox.state"), t("outbox.answer"), `#${t("outbox.attempts")}`, t("outbox.when"), t("outbox.study")),
    h("tbody", null, list.map((d) => h("tr", null,
      h("th", { scope: "row", "data-label": t("outbox.object") }, h("div", null, purpose(d.purpose)), shortUID(d.sop_instance_uid)),
      h("td", { "data-label": t("outbox.destination") }, d.destination), h("td", { "data-label": t("outbox.state") }, chip(deliveryStates, d.state)),
      h("td", { "data-label": t("outbox.answer") }, peerStatus(d.status) || h("span", { class: "muted" }, t("outbox.no-answer")), d.reason ? h("div", { class: "muted wrap" }, d.reason) : null),
      h("td", { class: "num", "data-label": t("outbox.attempts") }, d.attempts),
      h("td", { "data-label": t("outbox.when") }, d.state === "pending" && d.next_at ? t("outbox.next-try", { at: absolute(d.next_at) }) : time(d.ended_at)),
      h("td", { "data-label": t("outbox.study") }, study(d.study_instance_uid))))));
}

// stuck is what a study has parked, to be put back or given up from its own page.
export function stuck(s) {
  if (!s.parked_count) return null;
  const said = h("span", { role: "status", "aria-live": "polite" });
  const act = async (action, title, text, yes, did) => {
    const of = `study_uid=${encodeURIComponent(s.study_instance_uid)}`;
    try {
      const would = await post(`/api/v1/parked/${action}?${of}&dry_run=true`);
      if (!await ask(title(would.done), text + (would.kept ? t("parked.study-kept", { n: would.kept }) : ""), yes)) return;
      said.replaceChildren(" ", did((await post(`/api/v1/parked/${action}?${of}`)).done));
    } catch (e) {
      said.replaceChildren(" ", wrong(e));
    }
    document.dispatchEvent(new Event("acted"));
  };
  return h("div", { class: "notice bad row" }, h("span", null, t("parked.stuck", { n: s.parked_count }), h("a", { href: "#/parked" }, t("nav.parked"))), said,
    h("button", { class: "button", id: "retry-study", onclick: () => act("retry", (n) => t("parked.study-retry.title", { n }), t("parked.study-retry.said"), t("parked.retry"), (n) => t("parked.retried", { n })) }, t("parked.retry")),
    h("button", { class: "button quiet", id: "discard-study", onclick: () => act("discard", (n) => t("parked.study-discard.title", { n }), t("parked.study-discard.said"), t("parked.discard"), (n) => t("parked.discarded", { n })) }, t("parked.discard")));
}

const retriable = (p) => p.kind !== "instance" && p.kind !== "gate"; // sending it again takes the one up, a decision the other
const what = (p) => ({
  job: () => t("parked-what.job", { model: p.model }), exam: () => t("parked-what.exam", { model: p.model }), instance: () => t("parked-what.instance"), draft: () => t("parked-what.draft"), gate: () => t("parked-what.gate"),
}[p.kind] || (() => t("parked-what.delivery", { purpose: purpose(p.purpose), destination: p.destination })))();
const kinds = ["job", "exam", "delivery", "instance", "draft", "gate"];

export function parkedView({ params }) {
  const rows = slot("div"), said = h("div", { role: "status", "aria-live": "polite" });
  const kind = params.get("kind") || "";
  const chosen = h("select", { id: "kind", onchange: () => { location.hash = chosen.value ? `#/parked?kind=${chosen.value}` : "#/parked"; } },
    ["", ...kinds].map((k) => h("option", { value: k, selected: k === kind }, named("parked-kind", k || "all"))));
  let items = [], me, again = () => {}, stop = () => {};
  const tell = (tone, text) => said.replaceChildren(h("div", { class: `notice ${tone}` }, text));
  const over = () => { again(); document.dispatchEvent(new Event("acted")); };

  async function act(list, action, did) {
    let ok = 0;
    for (const p of list) {
      try { await post(`/api/v1/parked/${encodeURIComponent(p.id)}/${action}`); ok++; } catch (e) {
        tell("bad", wrong(e));
        return again();
      }
    }
    tell("good", did(ok));
    over();
  }
  const retry = (list) => act(list, "retry", (n) => t("parked.retried", { n }));
  const retryOne = async (p) => {
    if (!p.conflict || await ask(t("parked.conflict.title"), t("parked.conflict.said", { destination: p.destination }), t("parked.send"))) await retry([p]);
  };
  const discard = async (p) => {
    const text = { job: () => t("parked.discard.job"), instance: () => t("parked.discard.instance") }[p.kind] || (() => t("parked.discard.delivery", { destination: p.destination }));
    if (await ask(t("parked.discard.title"), text(), t("parked.discard"))) await act([p], "discard", (n) => t("parked.discarded", { n }));
  };

  // all acts on everything that is parked, not only on what the page shows, after it has said how much that is.
  const all = async (action, title, text, yes, did) => {
    try {
      const of = kind ? `kind=${kind}&` : "";
      const would = await post(`/api/v1/parked/${action}?${of}dry_run=true`);
      if (!await ask(title(would.done), text + (would.kept ? t("parked.kept", { n: would.kept }) : ""), yes)) return;
      stop();
      stop = progress(await post(`/api/v1/parked/${action}?${of}task=true`), said, (done) => { again(); return h("div", { class: "notice good" }, did(done.done)); });
    } catch (e) {
      tell("bad", wrong(e));
    }
    over();
  };
  const retryEverything = () => all("retry", (n) => t("parked.retry-all.title", { n }), t("parked.retry-all.said"), t("parked.retry"), (n) => t("parked.retried", { n }));
  const discardEverything = () => all("discard", (n) => t("parked.discard-all.title", { n }), t("parked.discard-all.said"), t("parked.discard"), (n) => t("parked.discarded", { n }));

  // release lets the results of one study go, or of all that are held, after it has said of how many and why they are held.
  const release = async (uid) => {
    const of = uid ? `study_uid=${encodeURIComponent(uid)}&` : "";
    try {
      const would = await post(`/api/v1/parked/release?${of}dry_run=true`);
      const why = h("span", null, t("parked.release.said"), h("ul", null, Object.entries(would.reasons).map(([reason, n]) => h("li", null, `${n} × ${reason}`))));
      const reason = await question(t("parked.release.title", { n: would.done }), why, t("parked.release.reason"), "text");
      if (!reason.trim()) return;
      const author = me.signed_in ? {} : { author: await whoReleases(t("parked.by"), t("reviews.who-why")) };
      if (author.author === "") return;
      stop();
      stop = progress(await send("POST", `/api/v1/parked/release?${of}task=true`, { reason: reason.trim(), ...author }), said, (done) => { again(); return h("div", { class: "notice good" }, t("parked.released", { n: done.done })); });
    } catch (e) {
      tell("bad", wrong(e));
    }
    over();
  };

  return {
    title: () => t("nav.parked"), interval: () => 5000, stop: () => stop(),
    el: h("div", null, h("div", { class: "head" }, h("h1", null, t("nav.parked")), h("p", { class: "muted" }, t("parked.about"))),
      h("form", { class: "filters", onsubmit: (e) => e.preventDefault() }, h("label", null, h("span", null, t("parked.kind")), chosen)), said, rows.el),
    async read(signal, now) {
      again = now;
      const query = new URLSearchParams({ limit: pageSize, offset: offsetIn(params) });
      if (kind) query.set("kind", kind);
      const [answer, asker] = await Promise.all([get(`/api/v1/parked?${query}`, signal), get("/api/v1/me", signal)]);
      items = answer.parked;
      me = asker;
      const may = me.rights.includes("report");
      const bulk = items.filter((p) => p.bulk); // each of the others is a decision of its own
      rows.show([answer, may], () => items.length ? [
        h("div", { class: "row between above" }, h("span", { class: "muted" }, t("queues.items", { n: answer.total })), bulk.length ? h("button", { class: "button", id: "retry-all", onclick: () => retry(bulk) }, t("parked.retry-page", { n: bulk.length })) : null,
          answer.total > items.length ? h("button", { class: "button", id: "retry-everything", onclick: retryEverything }, t("parked.retry-all", { n: answer.total })) : null,
          kind === "gate" && may && items.length > 1 ? h("button", { class: "button", id: "release-everything", onclick: () => release("") }, t("parked.release-all", { n: answer.total })) : null,
          items.length > 1 && kind !== "gate" ? h("button", { class: "button quiet", id: "discard-everything", onclick: discardEverything }, t("parked.discard-all", { n: answer.total })) : null),
        h("table", { class: "list" }, thead(t("parked.what"), t("parked.why"), `#${t("outbox.attempts")}`, t("parked.since"), t("outbox.study"), t("parked.action")),
          h("tbody", null, items.map((p) => h("tr", null,
            h("th", { scope: "row", "data-label": t("parked.what") }, h("div", null, what(p)), shortUID(p.sop_instance_uid || p.study_instance_uid)),
            h("td", { class: "wrap", "data-label": t("parked.why") }, p.status ? h("div", null, peerStatus(p.status)) : null, p.reason),
            h("td", { class: "num", "data-label": t("outbox.attempts") }, p.attempts), h("td", { "data-label": t("parked.since") }, time(p.at)),
            h("td", { "data-label": t("outbox.study") }, h("div", null, listed([personName(p.patient_name), p.patient_id, p.accession_number])), study(p.study_instance_uid)),
            h("td", null, h("div", { class: "row tight" },
              retriable(p) ? h("button", { class: "button", id: `retry-${p.id}`, onclick: () => retryOne(p) }, t("parked.retry")) : null,
              p.kind === "gate" && may ? h("button", { class: "button", id: `release-${p.id}`, onclick: () => release(p.study_instance_uid) }, t("parked.release")) : null,
              ["exam", "draft", "gate"].includes(p.kind) ? null : h("button", { class: "button quiet", id: `discard-${p.id}`, onclick: () => discard(p) }, t("parked.discard")))))))),
        answer.total > items.length ? pager(params, answer, "#/parked") : null,
      ] : h("div", { class: "empty" }, h("h2", null, t("parked.none")), h("p", null, t("parked.none-why"))));
    },
  };
}
