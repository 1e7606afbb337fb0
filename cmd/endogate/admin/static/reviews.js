// Findings of which a report of another system and a model say different things: what each says side by side, and who is right.
import { Fault, get, send } from "./api.js";
import { h, question, slot } from "./dom.js";
import { absolute, chip, percent, personName, plural, shortUID, thead, words } from "./format.js";
import { pager } from "./studies.js";

const pageSize = 20, months = 12; // of which figures are shown
const kinds = {
  missed: ["bad", "!", "Report denies it"], "not-mentioned": ["warn", "?", "Report does not mention it"], uncertain: ["info", "~", "Report is not sure"],
  "not-seen": ["plain", "–", "Model does not see it"], agree: ["good", "✓", "Both say the same"],
};
const states = { open: ["info", "◔", "Open"], confirmed: ["bad", "✓", "Model is right"], rejected: ["good", "×", "Report is right"], withdrawn: ["plain", "–", "Withdrawn"], agreed: ["good", "✓", "Agreed"] };
const suspicions = ["not said", "1 none", "2 low", "3 moderate", "4 high", "5 certain"];
let author = "", asker; // who decides where nobody has signed in

export function reviewsView({ params }) {
  const list = slot("div"), figures = slot("div");
  const state = params.get("state") || "open", offset = Math.max(0, Number(params.get("offset")) || 0);
  const written = new Map(); // what is being written, by review: it stays while the list is read again
  let shown = [], now, place = 0, counted = false, by = "month", again = () => {}; // now is the id of what is selected, place where it stands or stood
  const filter = h("form", { class: "filters", onsubmit: (e) => { e.preventDefault(); } },
    h("label", null, h("span", null, "State"), h("select", { id: "review-state", onchange: (e) => { location.hash = `#/reviews?state=${e.target.value}`; } },
      Object.entries(states).map(([s, [, , text]]) => h("option", { value: s, selected: s === state }, text)))));
  const keys = state === "open" ? h("p", { class: "muted" }, "Keys: ", [["j", "next"], ["k", "previous"], ["1", "to "], ["5", "suspicion"], ["m", "comment"], ["c", "model is right"], ["r", "report is right"]]
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
      if (!asker.signed_in && !author) author = (await question("Who decides?", "Nobody has to sign in here: the name is recorded as it is written.", "Your name", "text")).trim();
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
    title: () => "Second looks", interval: () => 10000, stop() { document.removeEventListener("keydown", onKey); },
    el: h("div", null, h("div", { class: "head" }, h("h1", null, "Second looks"),
      h("p", { class: "muted" }, "Findings of which a report of another system and a model say different things, the most urgent first. Nothing is changed by what is decided here.")), filter, keys, list.el, figures.el),
    async read(signal, soon) {
      again = soon;
      if (!list.el.firstChild) list.el.append(h("p", { class: "muted", role: "status" }, "Reading the worklist …"));
      const answer = await get(`/api/v1/reviews?${new URLSearchParams({ state, limit: pageSize, offset })}`, signal);
      shown = answer.reviews;
      list.show(answer, () => shown.length ? [shown.map(draw), pager(params, answer, "#/reviews")]
        : h("div", { class: "empty" }, h("h2", null, "Nothing here"), h("p", null, state === "open" ? "No report waits for a second look." : "No review is in this state.")));
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
        r.report.status ? [h("p", { class: "muted" }, `The report: ${r.report.status}`), quoted(r.report), h("p", { class: "muted wrap" }, `by rule ${r.report.rule}`)]
          : h("p", null, "The report does not speak of it."),
        h("p", null, r.frames ? `${r.model} ${r.model_version}: ${r.class} on ${plural(r.frames, "frame")} at or above ${percent(r.threshold)}, at most ${percent(r.probability)}.`
          : `${r.model} ${r.model_version} does not see it.`),
        h("p", null, h("a", { href: `#/studies/${encodeURIComponent(r.study_uid)}` }, "Open study"), " ", shortUID(r.study_uid)),
        r.author ? h("p", null, `${states[r.state][2]}, says ${r.author}${r.unauthenticated ? " (not signed in)" : ""}, ${absolute(r.decided_at)}`, r.suspicion ? `; suspicion ${suspicions[r.suspicion]}` : "", r.comment ? h("span", { class: "wrap" }, `: ${r.comment}`) : "") : null,
        r.state === "open" ? [h("div", { class: "decide" },
          h("label", null, h("span", null, "Suspicion"), h("select", { id: `suspicion-${r.id}`, onchange: keep("suspicion") }, suspicions.map((text, n) => h("option", { value: n, selected: String(n) === String(before.suspicion ?? 0) }, text)))),
          h("label", { class: "grow" }, h("span", null, "Comment"), h("input", { id: `comment-${r.id}`, "data-comment": true, maxlength: 250, autocomplete: "off", value: before.comment || "", oninput: keep("comment") })),
          h("button", { class: "button primary", id: `confirm-${r.id}`, onclick: () => decide(r, "confirm") }, "Model is right ", h("kbd", null, "c")),
          h("button", { class: "button", id: `reject-${r.id}`, onclick: () => decide(r, "reject") }, "Report is right ", h("kbd", null, "r"))),
          h("p", { class: "bad wrap", role: "alert" })] : null));
  }
}

function pictures(r) {
  const top = r.sources[0];
  if (!top) return h("p", { class: "empty" }, "The model points at no frame.");
  const picture = (instance, frame, alt, caption) => {
    const img = h("img", { alt, loading: "lazy", src: `/api/v1/instances/${encodeURIComponent(instance)}/frames/${frame}.jpg` });
    img.addEventListener("error", () => img.replaceWith(h("div", { class: "broken" }, "This frame cannot be shown here. Open it at the archive.")));
    return h("figure", null, img, h("figcaption", null, caption));
  };
  return h("div", { class: "pair" }, picture(top.sop_instance_uid, top.frame, `Source frame, most probable for ${r.class}`, `Source · ${percent(top.probability)}`),
    top.heatmap_uid ? picture(top.heatmap_uid, 1, `Heatmap for ${r.class}`, "Heatmap") : h("figure", null, h("div", { class: "broken" }, "No heatmap was made.")));
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
const who = (p) => [p.name && personName(p.name), p.id].filter(Boolean).join(" · ") || "not known";

function table({ counts, by_physician }, by, choose) {
  const first = by === "physician" ? "Reported by" : "Month";
  return h("section", null, h("h2", null, "How often they agreed"),
    h("p", { class: "muted" }, `Of what was compared in the last ${months} months, with 95 % intervals (Wilson). They say nothing of what neither report nor model sees`,
      by === "physician" ? ", and do not tell good work from bad: who reports more, or harder examinations, has more misses." : ", and nothing of a person."),
    by_physician ? h("div", { class: "filters" }, h("label", null, h("span", null, "Counted by"), h("select", { id: "counted-by", onchange: (e) => choose(e.target.value) },
      [["month", "Month"], ["physician", "Reporting physician"]].map(([v, text]) => h("option", { value: v, selected: v === by }, text))))) : null,
    h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Figures" }, h("table", { class: "list small" }, thead(first, "Model", "Finding", "Site", "#Threshold", "#Compared", "#Agreed", "#Open", "#Model right", "#Report right", "#Confirmed misses"),
      h("tbody", null, counts.map((n) => h("tr", null, h("th", { scope: "row", "data-label": first }, n.physician ? who(n.physician) : n.month), h("td", { "data-label": "Model" }, `${n.model} ${n.model_version}`), h("td", { "data-label": "Finding" }, words(n.finding)),
        h("td", { "data-label": "Site" }, n.site.meaning || "–"), h("td", { class: "num", "data-label": "Threshold" }, n.threshold ? percent(n.threshold) : "–"), h("td", { class: "num", "data-label": "Compared" }, n.compared),
        h("td", { class: "num", "data-label": "Agreed" }, `${n.agreed} · ${rate(n.agreement)}`), h("td", { class: "num", "data-label": "Open" }, n.open),
        h("td", { class: "num", "data-label": "Model right" }, `${n.confirmed} · ${rate(n.confirmation)}`), h("td", { class: "num", "data-label": "Report right" }, n.rejected),
        h("td", { class: "num", "data-label": "Confirmed misses" }, `${n.missed} · ${rate(n.miss)}`)))))));
}
