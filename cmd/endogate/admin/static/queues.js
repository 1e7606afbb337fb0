// Work on its way, and work that waits for a person.
import { Fault, get, post } from "./api.js";
import { ask, h, slot } from "./dom.js";
import { absolute, chip, deliveryStates, peerStatus, personName, plural, purpose, shortUID, thead, time } from "./format.js";
import { pager } from "./studies.js";
import { progress } from "./tasks.js";

const pageSize = 100;

export function outboxView({ params }) {
  const rows = slot("div");
  const offset = Math.max(0, Number(params.get("offset")) || 0);
  const state = params.has("state") ? params.get("state") : "pending";
  const form = h("form", { class: "filters", onsubmit: (e) => { e.preventDefault(); go(); } },
    h("label", null, h("span", null, "Destination"), h("input", { name: "destination", value: params.get("destination") || "", maxlength: 64, autocomplete: "off" })),
    h("label", null, h("span", null, "State"), h("select", { name: "state", onchange: () => go() }, h("option", { value: "" }, "All"),
      Object.entries(deliveryStates).map(([s, [, , text]]) => h("option", { value: s, selected: s === state }, text)))),
    h("div", { class: "row" }, h("button", { class: "button primary" }, "Search")));
  const go = () => { location.hash = `#/outbox?${new URLSearchParams(new FormData(form))}`; };
  return {
    title: () => "Outbox", interval: () => 5000,
    el: h("div", null, h("div", { class: "head" }, h("h1", null, "Outbox"), h("p", { class: "muted" }, "Every object and the destination it goes to. What a destination does not confirm stays here and is tried again.")), form, rows.el),
    async read(signal) {
      const query = new URLSearchParams({ limit: pageSize, offset });
      if (state) query.set("state", state);
      if (params.get("destination")) query.set("destination", params.get("destination"));
      const answer = await get(`/api/v1/outbox?${query}`, signal);
      rows.show(answer, () => answer.deliveries.length ? [table(answer.deliveries), pager(params, answer, "#/outbox")]
        : h("div", { class: "empty" }, h("h2", null, "Nothing here"), h("p", null, state === "pending" ? "Every destination has what it should have." : "No delivery matches.")));
    },
  };
}

const study = (uid) => h("a", { class: "nowrap", href: `#/studies/${encodeURIComponent(uid)}` }, "Open study");

function table(list) {
  return h("table", { class: "list" },
    thead("Object", "Destination", "State", "Peer's answer", "#Attempts", "When", "Study"),
    h("tbody", null, list.map((d) => h("tr", null,
      h("th", { scope: "row", "data-label": "Object" }, h("div", null, purpose(d.purpose)), shortUID(d.sop_instance_uid)),
      h("td", { "data-label": "Destination" }, d.destination), h("td", { "data-label": "State" }, chip(deliveryStates, d.state)),
      h("td", { "data-label": "Peer's answer" }, peerStatus(d.status) || h("span", { class: "muted" }, "none yet"), d.reason ? h("div", { class: "muted wrap" }, d.reason) : null),
      h("td", { class: "num", "data-label": "Attempts" }, d.attempts),
      h("td", { "data-label": "When" }, d.state === "pending" && d.next_at ? `next try ${absolute(d.next_at)}` : time(d.ended_at)),
      h("td", { "data-label": "Study" }, study(d.study_instance_uid))))));
}

// stuck is what a study has parked, to be put back or given up from its own page.
export function stuck(s) {
  if (!s.parked_count) return null;
  const said = h("span", { role: "status", "aria-live": "polite" });
  const act = async (action, title, text) => {
    const of = `study_uid=${encodeURIComponent(s.study_instance_uid)}`;
    try {
      const would = await post(`/api/v1/parked/${action}?${of}&dry_run=true`);
      const kept = would.kept ? ` ${plural(would.kept, "item")} of which each is a decision of its own will stay: see Parked.` : "";
      if (!await ask(title(plural(would.done, "item")), `${text}${kept}`, action === "retry" ? "Retry" : "Discard")) return;
      const done = await post(`/api/v1/parked/${action}?${of}`);
      said.replaceChildren(` ${plural(done.done, "item")} ${action === "retry" ? "put back in the queue" : "discarded"}.`);
    } catch (e) {
      if (!(e instanceof Fault)) throw e;
      said.replaceChildren(` ${e.what}: ${e.why}. ${e.next}`);
    }
    document.dispatchEvent(new Event("acted"));
  };
  return h("div", { class: "notice bad row" }, h("span", null, `${plural(s.parked_count, "item")} of this study wait for a person: `, h("a", { href: "#/parked" }, "Parked")), said,
    h("button", { class: "button", id: "retry-study", onclick: () => act("retry", (n) => `Put ${n} of this study back?`, "Each goes back into its queue and is tried again.") }, "Retry"),
    h("button", { class: "button quiet", id: "discard-study", onclick: () => act("discard", (n) => `Give up ${n} of this study?`, "Its frames will not be analysed, its objects will not be sent, and what was received and kept is deleted. This cannot be undone.") }, "Discard"));
}

const retriable = (p) => p.kind !== "instance" && p.kind !== "gate"; // sending it again takes the one up, a decision the other

const kinds = { "": "All", job: "Analyses", exam: "Reports", delivery: "Deliveries", instance: "Received, kept", draft: "Drafts", gate: "Results, held" };

export function parkedView({ params }) {
  const rows = slot("div"), said = h("div", { role: "status", "aria-live": "polite" });
  const kind = params.get("kind") || "";
  const chosen = h("select", { id: "kind", onchange: () => { location.hash = chosen.value ? `#/parked?kind=${chosen.value}` : "#/parked"; } },
    Object.entries(kinds).map(([k, text]) => h("option", { value: k, selected: k === kind }, text)));
  let items = [], again = () => {}, stop = () => {};

  async function act(list, action, done) {
    let ok = 0;
    for (const p of list) {
      try { await post(`/api/v1/parked/${encodeURIComponent(p.id)}/${action}`); ok++; } catch (e) {
        if (!(e instanceof Fault)) throw e;
        said.replaceChildren(h("div", { class: "notice bad" }, `${e.what}: ${e.why}. ${e.next}`));
        again();
        return;
      }
    }
    said.replaceChildren(h("div", { class: "notice good" }, `${plural(ok, "item")} ${done}.`));
    again();
    document.dispatchEvent(new Event("acted"));
  }
  const retry = (list) => act(list, "retry", "put back in the queue");
  const retryOne = async (p) => {
    const text = `Two data sets were received under one SOP Instance UID, and this is the second. Destination ${p.destination} may replace the first by it, keep the first, or show one for the other. Send it only when that destination is to have this one.`;
    if (!p.conflict || await ask("Send in spite of the UID conflict?", text, "Send")) await retry([p]);
  };
  const discard = async (p) => {
    const text = {
      job: "The frame will not be analysed by this model. This cannot be undone.",
      instance: "The gateway will delete the instance as it was received; it may be the only copy. This cannot be undone.",
    }[p.kind] || `The object will not be sent to ${p.destination}. This cannot be undone.`;
    if (await ask("Give up this work?", text, "Discard")) await act([p], "discard", "discarded");
  };

  // all acts on everything that is parked, not only on what the page shows, after it has said how much that is.
  const all = async (action, title, text) => {
    try {
      const of = kind ? `kind=${kind}&` : "";
      const would = await post(`/api/v1/parked/${action}?${of}dry_run=true`);
      const kept = would.kept ? ` ${plural(would.kept, "item")} of which each is a decision of its own will stay.` : "";
      if (!await ask(title(would.done), `${text}${kept}`, action === "retry" ? "Retry" : "Discard")) return;
      stop();
      stop = progress(await post(`/api/v1/parked/${action}?${of}task=true`), said, (done) => {
        again();
        return h("div", { class: "notice good" }, `${plural(done.done, "item")} ${action === "retry" ? "put back in the queue" : "discarded"}.`);
      });
    } catch (e) {
      if (!(e instanceof Fault)) throw e;
      said.replaceChildren(h("div", { class: "notice bad" }, `${e.what}: ${e.why}. ${e.next}`));
    }
    again();
    document.dispatchEvent(new Event("acted"));
  };
  const retryEverything = () => all("retry", (n) => `Put all ${plural(n, "parked item")} back?`, "Each goes back into its queue and is tried again, also what this page does not show.");
  const discardEverything = () => all("discard", (n) => `Give up all ${plural(n, "parked item")}?`, "Frames will not be analysed, objects will not be sent, and instances that were received and kept are deleted, also what this page does not show. This cannot be undone.");

  return {
    title: () => "Parked", interval: () => 5000, stop: () => stop(),
    el: h("div", null, h("div", { class: "head" }, h("h1", null, "Parked"), h("p", { class: "muted" }, "Work that will not succeed by trying again as it is. Remove the cause, then retry; or discard it. An instance that no route has work for is taken up when the route is fixed and it is sent again.")),
      h("form", { class: "filters", onsubmit: (e) => e.preventDefault() }, h("label", null, h("span", null, "Kind"), chosen)), said, rows.el),
    async read(signal, now) {
      again = now;
      const query = new URLSearchParams({ limit: pageSize, offset: Math.max(0, Number(params.get("offset")) || 0) });
      if (kind) query.set("kind", kind);
      const answer = await get(`/api/v1/parked?${query}`, signal);
      items = answer.parked;
      const bulk = items.filter((p) => p.bulk); // each of the others is a decision of its own
      rows.show(answer, () => items.length ? [
        h("div", { class: "row between above" }, h("span", { class: "muted" }, plural(answer.total, "item")), bulk.length ? h("button", { class: "button", id: "retry-all", onclick: () => retry(bulk) }, `Retry all ${bulk.length}`) : null,
          answer.total > items.length ? h("button", { class: "button", id: "retry-everything", onclick: retryEverything }, `Retry all ${answer.total}, on every page`) : null,
          items.length > 1 ? h("button", { class: "button quiet", id: "discard-everything", onclick: discardEverything }, `Discard all ${answer.total}`) : null),
        h("table", { class: "list" }, thead("What", "Why", "#Attempts", "Since", "Study", "Action"),
          h("tbody", null, items.map((p) => h("tr", null,
            h("th", { scope: "row", "data-label": "What" }, h("div", null, { job: `Analysis by ${p.model}`, exam: `Report by ${p.model}`, instance: "Received, kept", draft: "Report draft, not made", gate: "Results, held" }[p.kind] || `${purpose(p.purpose)} → ${p.destination}`), shortUID(p.sop_instance_uid || p.study_instance_uid)),
            h("td", { class: "wrap", "data-label": "Why" }, p.status ? h("div", null, peerStatus(p.status)) : null, p.reason),
            h("td", { class: "num", "data-label": "Attempts" }, p.attempts), h("td", { "data-label": "Since" }, time(p.at)), h("td", { "data-label": "Study" }, h("div", null, [personName(p.patient_name), p.patient_id, p.accession_number].filter(Boolean).join(" · ")), study(p.study_instance_uid)),
            h("td", null, h("div", { class: "row tight" },
              retriable(p) ? h("button", { class: "button", id: `retry-${p.id}`, onclick: () => retryOne(p) }, "Retry") : null,
              ["exam", "draft", "gate"].includes(p.kind) ? null : h("button", { class: "button quiet", id: `discard-${p.id}`, onclick: () => discard(p) }, "Discard"))))))),
        answer.total > items.length ? pager(params, answer, "#/parked") : null,
      ] : h("div", { class: "empty" }, h("h2", null, "Nothing is parked"), h("p", null, "No work waits for a person.")));
    },
  };
}
