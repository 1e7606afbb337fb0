// One study: its frames with what the models saw, the objects made of it, where they went and when.
import { get } from "./api.js";
import { h, slot } from "./dom.js";
import { absolute, chip, clock, date, deliveryStates, examStates, notAnalysed, peerStatus, percent, personName, plural, purpose, shortUID, studyChip, studyStatuses, thead, time, urgentMark, words, worded } from "./format.js";
import { framesOf, createViewer, lookInto } from "./viewer.js";
import { draftCard } from "./draft.js";
import { findings } from "./findings.js";
import { stuck } from "./queues.js";
import { pager } from "./studies.js";

export function studyView({ uid, params }) {
  const offset = Math.max(0, Number(params.get("offset")) || 0); // into each list of a study that is too long for one page
  let study, draft = {}, models = [], palette, frames = [], selected = params.get("frame") || "";
  const only = { sort: params.get("sort") === "importance" ? "importance" : "", class: params.get("class") || "", model: params.get("model") || "" }; // of the film strip
  const sieve = slot("div", { class: "filters sieve" });
  const head = slot("div"), strip = slot("div", { class: "filmstrip", role: "listbox", "aria-label": "Frames", "aria-orientation": "vertical" });
  const panel = slot("aside", { class: "panel", "aria-label": "AI results" });
  const report = slot("section", { class: "card tall", id: "draft", tabindex: 0, "aria-label": "Report draft" });
  const sent = slot("section", { class: "card tall", tabindex: 0, "aria-label": "Deliveries" }), made = slot("section", { class: "card tall", tabindex: 0, "aria-label": "Objects" }), line = slot("section", { class: "card tall line", tabindex: 0, "aria-label": "Timeline" });
  const lineState = { only: false, all: false };
  const viewer = createViewer({ step });
  const images = new Map(); // thumbnails outlive redraws, so that nothing flickers or loads twice

  function frame() { return frames.find((f) => f.key === selected) || frames[0]; }

  // shown are the frames of the strip: those with a class, or of a model, as they were taken or the weightiest first.
  function shown() {
    const list = frames.filter((f) => (!only.model || f.analyses.some((a) => a.model === only.model)) && (!only.class || f.classes.includes(only.class)));
    return only.sort ? list.sort((a, b) => b.weight - a.weight) : list;
  }

  function sift(part) {
    Object.assign(only, part);
    pick(shown().some((f) => f.key === frame()?.key) ? frame().key : shown()[0]?.key || selected);
  }

  function pick(key) {
    selected = key;
    const q = new URLSearchParams(Object.entries({ frame: key, ...only, offset: offset || "" }).filter(([, v]) => v));
    history.replaceState(null, "", `#/studies/${encodeURIComponent(uid)}?${q}`);
    const inside = strip.el.contains(document.activeElement);
    draw();
    const chosen = strip.el.querySelector("[aria-selected=true]");
    chosen?.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (inside) chosen?.focus({ preventScroll: true });
  }

  function step(by) {
    const list = shown(), at = list.indexOf(frame());
    if (list[at + by]) pick(list[at + by].key);
  }

  function draw() {
    if (!study) return;
    const f = frame();
    head.show([study.status, study.urgent, study.patient_name, study.patient_id, study.accession_number, study.study_description, study.conflict_count, study.not_analysed_count, study.not_analysed_why, study.parked_count, study.instance_count, analysed(study), study.totals, study.gate, study.videos, study.segments], () => header(study));
    const list = shown(), classes = [...new Map(frames.flatMap((x) => x.analyses.flatMap((a) => a.findings)).map((x) => [x.class, worded(x)]))], of = [...new Set(frames.flatMap((x) => x.analyses.map((a) => a.model)))];
    sieve.show([only, classes, of, list.length, frames.length], () => frames.length > 1 ? [
      choice("sort", "Order", only.sort, [["", "as taken"], ["importance", "most important first"]], (v) => sift({ sort: v })),
      classes.length ? choice("only-class", "Class", only.class, [["", "all"], ...classes], (v) => sift({ class: v })) : null,
      of.length > 1 ? choice("only-model", "Model", only.model, [["", "all"], ...of.map((m) => [m, m])], (v) => sift({ model: v })) : null,
      h("span", { class: "muted", role: "status" }, list.length < frames.length ? `${list.length} of ${plural(frames.length, "frame")}` : plural(frames.length, "frame"))] : []);
    strip.show([list.map((x) => [x.key, x.top, x.state]), f?.key], () => list.length ? list.map((x) => thumbnail(x, x === f, pick, images)) : h("p", { class: "muted", role: "presentation" }, "No frame is like that."));
    viewer.show(f, list.length, list.indexOf(f), palette);
    panel.show([f, models], () => findings(f, models, viewer));
    report.show(draft, () => draftCard(uid, draft));
    sent.show(study.deliveries, () => deliveryCard(study));
    made.show([study.exams, study.objects], () => objectCard(study));
    drawLine();
  }

  function drawLine() {
    line.show([study.timeline, lineState, lineState.only ? frame()?.key : ""], () => timeline(study, frame(), lineState, drawLine));
  }

  const keys = (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName) || document.querySelector("dialog")) return;
    if (e.key === "ArrowRight" || e.key === "ArrowDown" && strip.el.contains(e.target)) { e.preventDefault(); step(1); }
    if (e.key === "ArrowLeft" || e.key === "ArrowUp" && strip.el.contains(e.target)) { e.preventDefault(); step(-1); }
  };
  document.addEventListener("keydown", keys);

  return {
    title: () => study ? personName(study.patient_name) : "Study",
    interval: () => study && ["done", "not-analysed", "partly-analysed"].includes(study.status) ? 15000 : 4000,
    stop: () => document.removeEventListener("keydown", keys),
    el: h("div", { class: "study" },
      h("a", { class: "back", href: "#/studies" }, "← Studies"), head.el, sieve.el,
      h("div", { class: "workbench" }, strip.el, viewer.el, panel.el),
      h("div", { class: "columns" }, h("div", null, report.el, sent.el, made.el), line.el)),
    async read(signal) {
      if (!models.length) ({ models, palette } = await get("/api/v1/models", signal));
      study = await get(`/api/v1/studies/${encodeURIComponent(uid)}?${new URLSearchParams({ offset })}`, signal);
      draft = await readDraft(uid, study, signal);
      frames = framesOf(study);
      draw();
    },
  };
}

// readDraft returns the newest draft, or why there is none.
async function readDraft(uid, study, signal) {
  if (!study.exams.length) return { why: "No model looks at this study." };
  try {
    return await get(`/api/v1/studies/${encodeURIComponent(uid)}/draft`, signal);
  } catch (e) {
    if (e.name === "AbortError") throw e;
    return { why: e.why || e.what };
  }
}

const analysed = (s) => s.instances.some((i) => i.analyses.length);

function header(s) {
  const fact = (name, value) => h("div", null, h("dt", null, name), h("dd", null, value || "–"));
  return h("div", { class: "study-head" },
    h("div", { class: "row" }, h("h1", null, personName(s.patient_name)), urgentMark(s), studyChip(s), s.conflict_count ? chip(studyStatuses, "conflict") : null, notAnalysed(s) ? h("span", { class: "warn" }, notAnalysed(s)) : null),
    h("dl", { class: "facts" },
      fact("Patient ID", s.patient_id), fact("Accession", s.accession_number), fact("Study", `${date(s.study_date)} ${clock(s.study_time)}`),
      fact("Description", s.study_description), fact("Study Instance UID", h("code", { class: "uid select" }, s.study_instance_uid))),
    pages(s),
    gate(s.gate),
    stuck(s),
    (s.videos || []).map((v) => video(s, v)),
    analysed(s) ? h("div", { class: "notice ai", role: "note" }, h("strong", null, "AI – not verified."), " Made by software without a physician's review. Draft for the endoscopist; not a diagnosis.") : null);
}

const seconds = (s) => `${String(Math.floor(s / 60)).padStart(2, "0")}:${(s % 60).toFixed(1).padStart(4, "0")}`;

// video says how far one is, or what was looked at of it and where in it something persists.
function video(s, v) {
  if (v.state === "working") return h("p", { class: "muted", role: "status" }, `Video, ${v.model}: ${v.analysed} of ${plural(v.to_analyse, "frame")} analysed so far`);
  const own = s.segments.filter((x) => x.sop_instance_uid === v.sop_instance_uid && x.model === v.model);
  const why = Object.entries(v.discounted_why).map(([reason, n]) => `${n} ${reason}`).join(", ");
  return h("details", { open: true }, h("summary", null, h("strong", null, `Video, ${v.model}`), " ",
    h("span", { class: "muted" }, `${v.analysed} of ${plural(v.frames, "frame")} analysed (${v.selected}), ${v.skipped} skipped, ${v.discounted} discounted${why ? `: ${why}` : ""}`)),
  own.length ? h("table", { class: "list small" }, thead("Class", "From", "To", "Frames", "Probability"),
    h("tbody", null, own.map((x) => h("tr", null,
      h("th", { scope: "row", "data-label": "Class" }, x.class), h("td", { "data-label": "From" }, seconds(x.start_s)), h("td", { "data-label": "To" }, seconds(x.end_s)),
      h("td", { "data-label": "Frames" }, `${x.first_frame} to ${x.last_frame}, peak `, h("a", { href: lookInto({ study: s.study_instance_uid, instance: v.sop_instance_uid, number: x.peak_frame }) }, String(x.peak_frame))),
      h("td", { "data-label": "Probability" }, percent(x.probability)))))) : h("p", { class: "muted" }, "Nothing persists over time."));
}

// gate says in what images, order and patient do not agree.
function gate(g) {
  if (!g.mismatches.length) return null;
  const then = g.held ? "Results are held until a person releases them, or says which order or patient the study belongs to: POST gate/release or gate/correct, see docs/hl7.md." : g.corrected ? "A person has corrected the study." : g.released ? "A person has released the results." : "Results are sent all the same.";
  return h("div", { class: g.held ? "notice bad" : "notice warn", role: "note" }, h("strong", null, g.held ? "Held: " : "Mismatch: "), `${g.mismatches.map((m) => m.text).join("; ")}. ${then}`);
}

// pages leads through a study that is too long for one page: the same part of each of its lists.
function pages(s) {
  const total = Math.max(...Object.values(s.totals));
  return total > s.limit ? h("div", null, h("p", { class: "muted" }, `${plural(s.totals.instances, "instance")}, ${plural(s.totals.objects, "object")}: in parts.`),
    pager(new URLSearchParams(), { total, limit: s.limit, offset: s.offset }, `#/studies/${encodeURIComponent(s.study_instance_uid)}`)) : null;
}

function choice(id, label, value, options, set) {
  return h("label", { for: id }, label, h("select", { id, onchange: (e) => set(e.target.value) }, options.map(([v, text]) => h("option", { value: v, selected: v === value }, text))));
}

function thumbnail(f, chosen, pick, images) {
  let img = images.get(f.key);
  if (!img) {
    img = h("img", { onerror: () => { const none = h("span", { class: "gone" }, "no preview"); images.set(f.key, none); img.replaceWith(none); }, src: f.source && `${f.source}.jpg?width=240`, alt: "", loading: "lazy", width: 120, height: 96 });
    images.set(f.key, img);
  }
  return h("button", {
    class: "thumb", id: `thumb-${f.key}`, role: "option", "aria-selected": String(chosen), tabindex: chosen ? 0 : -1, onclick: () => pick(f.key),
  }, f.source ? img : h("span", { class: "gone" }, "not kept"),
  h("span", { class: "thumb-text" }, h("span", null, f.label), f.top ? [h("span", { class: `tag ${f.top.role}` }, f.top.text), h("span", { class: `thumb-bar ${f.top.role}`, "aria-hidden": "true" }, h("span", { class: "bar-fill", style: { width: `${100 * f.top.probability}%` } }), h("span", { class: "mark", style: { left: `${100 * f.top.threshold}%` } }))] : h("span", { class: "muted" }, f.state)));
}

function deliveryCard(s) {
  const names = [...new Set(s.deliveries.map((d) => d.destination))].sort();
  return [h("h2", null, "Deliveries"), names.length ? names.map((name) => destination(name, s.deliveries.filter((d) => d.destination === name)))
    : h("p", { class: "muted" }, "Nothing has been made for a destination yet.")];
}

function destination(name, list) {
  const done = list.filter((d) => d.state === "done").length;
  const open = list.some((d) => d.state !== "done");
  return h("details", { open }, h("summary", null, h("strong", null, name), " ", h("span", { class: "muted" }, `${done} of ${plural(list.length, "object")} confirmed`)),
    h("table", { class: "list small" },
      thead("Object", "State", "Peer's answer", "When"),
      h("tbody", null, list.map((d) => h("tr", null,
        h("th", { scope: "row", "data-label": "Object" }, h("div", null, purpose(d.purpose)), shortUID(d.sop_instance_uid)),
        h("td", { "data-label": "State" }, chip(deliveryStates, d.state), d.attempts > 1 ? h("div", { class: "muted" }, plural(d.attempts, "attempt")) : null),
        h("td", { "data-label": "Peer's answer" }, peerStatus(d.status) || h("span", { class: "muted" }, "none yet"), d.alternate ? h("div", { class: "muted" }, "took the fallback SOP class") : null, d.reason ? h("div", { class: "muted wrap" }, d.reason) : null),
        h("td", { "data-label": "When" }, d.state === "pending" && d.next_at ? `next try ${absolute(d.next_at)}` : time(d.ended_at)))))));
}

function objectCard(s) {
  return [h("h2", null, "Reports and objects"), s.exams.map((e) => h("div", { class: "exam" }, chip(examStates, e.state), " ",
    `${e.model} on route ${e.route}`, h("span", { class: "muted" }, e.revision ? ` · revision ${e.revision}` : e.open_jobs ? ` · ${plural(e.open_jobs, "open job")}` : " · waits for the exam to end"),
    e.reason ? h("div", { class: "muted wrap" }, e.reason) : null)),
  s.objects.length ? h("table", { class: "list small" }, thead("Object", "Model", "Of", "Made"),
    h("tbody", null, s.objects.map((o) => h("tr", null,
      h("th", { scope: "row", "data-label": "Object" }, h("div", null, purpose(o.purpose), o.revision > 1 ? ` rev. ${o.revision}` : "", o.twin_of ? h("span", { class: "muted" }, " fallback") : ""), shortUID(o.sop_instance_uid)),
      h("td", { "data-label": "Model" }, o.model || "–"), h("td", { "data-label": "Of" }, o.source ? sourceName(s, o) : "whole exam"), h("td", { "data-label": "Made" }, time(o.made_at))))))
    : s.exams.length ? null : h("p", { class: "muted" }, "None yet.")];
}

function sourceName(s, o) {
  const at = s.instances.findIndex((i) => i.sop_instance_uid === o.source);
  if (at < 0) return shortUID(o.source);
  const i = s.instances[at];
  return `Image ${i.instance_number || at + 1}${i.number_of_frames > 1 ? ` frame ${o.frame}` : ""}`;
}

const steps = 60;

function timeline(s, f, state, redraw) {
  const names = new Map(s.objects.map((o) => [o.sop_instance_uid, purpose(o.purpose)]));
  s.instances.forEach((i, n) => names.set(i.sop_instance_uid, `Image ${i.instance_number || n + 1}`));
  const mine = state.only && f ? new Set([f.instance, ...f.analyses.flatMap((a) => a.findings.map((x) => x.heatmap))]) : null;
  const events = s.timeline.filter((e) => !mine || mine.has(e.sop_instance_uid));
  const shown = state.all ? events : events.slice(-steps);
  return [
    h("div", { class: "row between" }, h("h2", null, "Timeline"),
      h("label", { class: "check" }, h("input", { type: "checkbox", id: "only", checked: state.only, onchange: (e) => { state.only = e.target.checked; redraw(); } }), "selected frame only")),
    shown.length < events.length ? h("button", { class: "button", id: "all", onclick: () => { state.all = true; redraw(); } }, `Show ${events.length - shown.length} earlier steps`) : null,
    h("ol", { class: "timeline" }, shown.map((e) => h("li", { class: /park|deferred|conflict|not-analysed/.test(e.step) ? "bad" : "" },
      h("span", { class: "when" }, time(e.at)),
      h("span", { class: "what" }, h("strong", null, words(e.step)), e.count > 1 ? h("span", { class: "muted" }, `${e.count}×, last ${absolute(e.last_at)}`) : null, e.destination ? ` → ${e.destination}` : "", e.status ? h("span", { class: "peer" }, peerStatus(e.status)) : null,
        h("span", { class: "muted" }, names.get(e.sop_instance_uid) || "", " ", e.sop_instance_uid ? shortUID(e.sop_instance_uid) : ""), e.detail ? h("span", { class: "muted wrap" }, e.detail) : null, e.message ? h("a", { href: `/api/v1/messages/${encodeURIComponent(e.message)}` }, "message") : null, e.by ? h("span", { class: "muted" }, `by ${e.by}`) : null)))),
  ];
}
