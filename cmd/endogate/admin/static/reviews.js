// Findings of which a report of another system and a model say different things: what each says side by side, and who is right.
import { Fault, get, send } from "./api.js";
import { author as whoDecides } from "./author.js";
import { h, slot } from "./dom.js";
import { absolute, chip, listed, percent, personName, shortUID, term, thead, words } from "./format.js";
import { pager } from "./studies.js";
import { named, t } from "./words.js";

const pageSize = 20, months = 12; // of which figures are shown
const kinds = {
  missed: ["bad", "!", t("review.missed")], "not-mentioned": ["warn", "?", t("review.not-mentioned")], uncertain: ["info", "~", t("review.uncertain")],
  "not-seen": ["plain", "–", t("review.not-seen")], agree: ["good", "✓", t("review.agree")],
};
const states = { open: ["info", "◔", t("review.open")], confirmed: ["bad", "✓", t("review.confirmed")], rejected: ["good", "×", t("review.rejected")], withdrawn: ["plain", "–", t("review.withdrawn")], agreed: ["good", "✓", t("review.agreed")] };
const suspicions = ["0", "1", "2", "3", "4", "5"].map((s) => named("suspicion", s));
let asker; // who decides

export function reviewsView({ params }) {
  const list = slot("div"), figures = slot("div");
  const state = params.get("state") || "open", offset = Math.max(0, Number(params.get("offset")) || 0);
  const written = new Map(); // what is being written, by review: it stays while the list is read again
  let shown = [], now, place = 0, counted = false, by = "month", again = () => {}; // now is the id of what is selected, place where it stands or stood
  const filter = h("form", { class: "filters", onsubmit: (e) => { e.preventDefault(); } },
    h("label", null, h("span", null, t("reviews.state")), h("select", { id: "review-state", onchange: (e) => { location.hash = `#/reviews?state=${e.target.value}`; } },
      Object.entries(states).map(([s, [, , text]]) => h("option", { value: s, selected: s === state }, text)))));
  const keys = state === "open" ? h("p", { class: "muted" }, t("reviews.keys"), " ", [["j", t("reviews.key-next")], ["k", t("reviews.key-previous")], ["1", t("reviews.key-to")], ["5", t("reviews.key-suspicion")], ["m", t("reviews.key-comment")], ["c", t("review.confirmed")], ["r", t("review.rejected")]]
    .map(([key, what]) => [h("kbd", null, key), ` ${what} `])) : null;
  const card = (id) => [...list.el.querySelectorAll(".review")].find((el) => el.dataset.id === id);

  // select marks a review; none where it has gone: a key must not decide another one that has come to its place.
  function select(id) {
    now = id;
    const at = shown.findIndex((r) => r.id === id);
    if (at >= 0) place = at;
    for (const el of list.el.querySelectorAll(".review")) el.dataset.id === id ? el.setAttribute("aria-current", "true") : el.removeAttribute("aria-current");
  }
  function go(by) {
    if (!shown.length) return;
    const to = shown.some((r) => r.id === now) ? place + by : by > 0 ? place : place - 1;
    select(shown[Math.max(0, Math.min(shown.length - 1, to))].id);
    const el = card(now);
    el?.focus({ preventScroll: true });
    el?.scrollIntoView({ block: "start" });
  }
  async function decide(review, what) {
    const said = card(review.id)?.querySelector("[role=alert]"), { suspicion = 0, comment = "" } = written.get(review.id) || {};
    try {
      asker ||= await get("/api/v1/me");
      const author = asker.signed_in ? "" : await whoDecides(t("reviews.who"), t("reviews.who-why"));
      if (!asker.signed_in && !author) return;
      await send("POST", `/api/v1/reviews/${encodeURIComponent(review.id)}/${what}`, { suspicion: Number(suspicion), comment, ...(asker.signed_in ? {} : { author }) });
      written.delete(review.id);
      counted = false;
      again();
    } catch (e) {
      if (!(e instanceof Fault)) throw e;
      said?.replaceChildren(`${e.what}: ${e.why}. ${e.next}`);
    }
  }
  const onKey = (e) => {
    if (e.repeat || e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input, textarea, select, dialog") || document.querySelector("dialog[open]")) return;
    const review = shown.find((r) => r.id === now);
    if (e.key === "j" || e.key === "k") go(e.key === "j" ? 1 : -1);
    else if (!review || review.state !== "open") return;
    else if (e.key === "c") decide(review, "confirm");
    else if (e.key === "r") decide(review, "reject");
    else if (e.key === "m") card(review.id)?.querySelector("[data-comment]").focus();
    else if (/^[1-5]$/.test(e.key)) {
      const field = card(review.id)?.querySelector("select");
      if (!field) return;
      field.value = e.key;
      field.dispatchEvent(new Event("change"));
    } else return;
    e.preventDefault();
  };
  document.addEventListener("keydown", onKey);

  return {
    title: () => t("nav.reviews"), interval: () => 10000, stop() { document.removeEventListener("keydown", onKey); },
    el: h("div", null, h("div", { class: "head" }, h("h1", null, t("nav.reviews")),
      h("p", { class: "muted" }, t("reviews.what"))), filter, keys, list.el, figures.el),
    async read(signal, soon) {
      again = soon;
      if (!list.el.firstChild) list.el.append(h("p", { class: "muted", role: "status" }, t("reviews.reading")));
      const answer = await get(`/api/v1/reviews?${new URLSearchParams({ state, limit: pageSize, offset })}`, signal);
      shown = answer.reviews;
      list.show(answer, () => shown.length ? [shown.map(draw), pager(params, answer, "#/reviews")]
        : h("div", { class: "empty" }, h("h2", null, t("reviews.nothing")), h("p", null, state === "open" ? t("reviews.none-open") : t("reviews.none-so"))));
      select(now ?? shown[0]?.id);
      if (counted) return; // they are of all that was compared in months: not at every turn
      const from = new Date();
      from.setUTCMonth(from.getUTCMonth() - months, 1);
      from.setUTCHours(0, 0, 0, 0);
      const counts = await get(by === "physician" ? `/api/v1/reviews/physicians?${new URLSearchParams({ from: from.toISOString() })}`
        : `/api/v1/reviews?${new URLSearchParams({ list: "counts", from: from.toISOString() })}`, signal);
      counted = true;
      figures.show([by, counts], () => counts.counts.length ? table(counts, by, (chosen) => { by = chosen; counted = false; soon(); }) : null);
    },
  };

  function draw(r) {
    const keep = (field) => (e) => written.set(r.id, { ...written.get(r.id), [field]: e.target.value });
    const before = written.get(r.id) || {};
    return h("article", { class: "card review", tabindex: "-1", "data-id": r.id, "aria-labelledby": `review-${r.id}`, onfocusin: () => select(r.id), onclick: () => select(r.id) },
      pictures(r),
      h("div", null,
        h("h2", { id: `review-${r.id}` }, words(r.finding), chip(kinds, r.kind), r.state === "open" ? null : chip(states, r.state)),
        r.report.status ? [h("p", { class: "muted" }, t("reviews.the-report", { status: r.report.status })), quoted(r.report), h("p", { class: "muted wrap" }, t("reviews.by-rule", { rule: r.report.rule }))]
          : h("p", null, t("reviews.silent")),
        h("p", null, r.frames ? t("reviews.model-sees", { model: `${r.model} ${r.model_version}`, class: r.class, n: r.frames, threshold: percent(r.threshold), probability: percent(r.probability) })
          : t("reviews.model-not", { model: `${r.model} ${r.model_version}` })),
        h("p", null, h("a", { href: `#/studies/${encodeURIComponent(r.study_uid)}` }, t("reviews.open-study")), " ", shortUID(r.study_uid)),
        r.author ? h("p", null, t("reviews.says", { decision: states[r.state][2], who: `${r.author}${r.unauthenticated ? ` ${t("reviews.unproved")}` : ""}`, at: absolute(r.decided_at) }), r.suspicion ? `; ${t("reviews.with-suspicion", { suspicion: suspicions[r.suspicion] })}` : "", r.comment ? h("span", { class: "wrap" }, `: ${r.comment}`) : "") : null,
        r.state === "open" ? [h("div", { class: "decide" },
          h("label", null, h("span", null, t("reviews.suspicion")), h("select", { id: `suspicion-${r.id}`, onchange: keep("suspicion") }, suspicions.map((text, n) => h("option", { value: n, selected: String(n) === String(before.suspicion ?? 0) }, text)))),
          h("label", { class: "grow" }, h("span", null, t("reviews.comment")), h("input", { id: `comment-${r.id}`, "data-comment": true, maxlength: 250, autocomplete: "off", value: before.comment || "", oninput: keep("comment") })),
          h("button", { class: "button primary", id: `confirm-${r.id}`, onclick: () => decide(r, "confirm") }, t("review.confirmed"), " ", h("kbd", null, "c")),
          h("button", { class: "button", id: `reject-${r.id}`, onclick: () => decide(r, "reject") }, t("review.rejected"), " ", h("kbd", null, "r"))),
          h("p", { class: "bad wrap", role: "alert" })] : null));
  }
}

function pictures(r) {
  const top = r.sources[0];
  if (!top) return h("p", { class: "empty" }, t("reviews.no-frame"));
  const picture = (instance, frame, alt, caption) => {
    const img = h("img", { alt, loading: "lazy", src: `/api/v1/instances/${encodeURIComponent(instance)}/frames/${frame}.jpg` });
    img.addEventListener("error", () => img.replaceWith(h("div", { class: "broken" }, t("viewer.broken"))));
    return h("figure", null, img, h("figcaption", null, caption));
  };
  return h("div", { class: "pair" }, picture(top.sop_instance_uid, top.frame, t("reviews.source-alt", { class: r.class }), t("reviews.source", { probability: percent(top.probability) })),
    top.heatmap_uid ? picture(top.heatmap_uid, 1, t("viewer.heatmap-for", { what: r.class }), t("viewer.heatmap")) : h("figure", null, h("div", { class: "broken" }, t("reviews.no-heatmap"))));
}

// quoted is the sentence of the report; its marks are counted in bytes.
function quoted(report) {
  const bytes = new TextEncoder().encode(report.sentence), text = (a, b) => new TextDecoder().decode(bytes.slice(a, b)), parts = [];
  let at = 0;
  for (const m of report.marks || []) {
    if (m.start < at) continue;
    parts.push(text(at, m.start), h("mark", null, text(m.start, m.end)));
    at = m.end;
  }
  return h("blockquote", { class: "quoted wrap" }, parts, text(at));
}

const rate = (r) => r.none ? "–" : `${percent(r.value)} [${percent(r.low)}–${percent(r.high)}]`;

// who is a physician, as far as the report says.
const who = (p) => listed([p.name && personName(p.name), p.id]) || t("reviews.not-known");

function table({ counts, by_physician }, by, choose) {
  const first = by === "physician" ? t("reviews.reported-by") : t("reviews.month");
  return h("section", null, h("h2", null, t("reviews.how-often")),
    h("p", { class: "muted" }, t("reviews.of-what", { n: months }), " ",
      by === "physician" ? t("reviews.of-physicians") : t("reviews.of-nobody")),
    by_physician ? h("div", { class: "filters" }, h("label", null, h("span", null, t("reviews.counted-by")), h("select", { id: "counted-by", onchange: (e) => choose(e.target.value) },
      [["month", t("reviews.month")], ["physician", t("reviews.physician")]].map(([v, text]) => h("option", { value: v, selected: v === by }, text))))) : null,
    h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": t("reviews.figures") }, h("table", { class: "list small" }, thead(first, t("reviews.model"), t("reviews.finding"), t("reviews.site"), ...["threshold", "compared", "agreed", "open", "model-right", "report-right", "misses"].map((k) => `#${named("reviews", k)}`)),
      h("tbody", null, counts.map((n) => h("tr", null, h("th", { scope: "row", "data-label": first }, n.physician ? who(n.physician) : n.month), h("td", { "data-label": t("reviews.model") }, `${n.model} ${n.model_version}`), h("td", { "data-label": t("reviews.finding") }, words(n.finding)),
        h("td", { "data-label": t("reviews.site") }, n.site.value ? term(n.site) : "–"), h("td", { class: "num", "data-label": t("reviews.threshold") }, n.threshold ? percent(n.threshold) : "–"), h("td", { class: "num", "data-label": t("reviews.compared") }, n.compared),
        h("td", { class: "num", "data-label": t("reviews.agreed") }, `${n.agreed} · ${rate(n.agreement)}`), h("td", { class: "num", "data-label": t("reviews.open") }, n.open),
        h("td", { class: "num", "data-label": t("reviews.model-right") }, `${n.confirmed} · ${rate(n.confirmation)}`), h("td", { class: "num", "data-label": t("reviews.report-right") }, n.rejected),
        h("td", { class: "num", "data-label": t("reviews.misses") }, `${n.missed} · ${rate(n.miss)}`)))))));
}
