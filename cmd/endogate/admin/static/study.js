// One study: its frames with what the models saw, the objects made of it, where they went and when.
import { get } from "./api.js";
import { h, slot } from "./dom.js";
import { absolute, chip, clock, date, deliveryStates, examStates, notAnalysed, peerStatus, percent, personName, purpose, shortUID, studyChip, studyStatuses, thead, time, urgentMark, words, worded } from "./format.js";
import { named, parts, t } from "./words.js";
import { framesOf, frameLabel, createViewer } from "./viewer.js";
import { draftCard } from "./draft.js";
import { findings } from "./findings.js";
import { stuck } from "./queues.js";
import { pager } from "./studies.js";

export function studyView({ uid, params }) {
  const offset = Math.max(0, Number(params.get("offset")) || 0); // into each list of a study that is too long for one page
  let study, draft = {}, models = [], palette, frames = [], selected = params.get("frame") || "";
  const only = { sort: params.get("sort") === "importance" ? "importance" : "", class: params.get("class") || "", model: params.get("model") || "" }; // of the film strip
  const sieve = slot("div", { class: "filters sieve" });
  const head = slot("div"), strip = slot("div", { class: "filmstrip", role: "listbox", "aria-label": t("study.frames"), "aria-orientation": "vertical" });
  const panel = slot("aside", { class: "panel", "aria-label": t("study.results") });
  const report = slot("section", { class: "card tall", id: "draft", tabindex: 0, "aria-label": t("study.draft") });
  const sent = slot("section", { class: "card tall", tabindex: 0, "aria-label": t("study.deliveries") }), made = slot("section", { class: "card tall", tabindex: 0, "aria-label": t("study.objects") }), line = slot("section", { class: "card tall line", tabindex: 0, "aria-label": t("study.timeline") });
  const lineState = { only: false, all: false };
  const viewer = createViewer({ step });
  const images = new Map(); // thumbnails outlive redraws, so that nothing flickers or loads twice

  // seek goes to a frame of a video, which need not be one of those in the strip.
  function seek(sop, number) {
    const at = study.instances.findIndex((i) => i.sop_instance_uid === sop);
    if (at < 0) return;
    only.class = only.model = "";
    selected = `${at + 1}-${number}`;
    frames = framesOf(study, selected);
    pick(selected);
  }

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
    work.hidden = false;
    const f = frame();
    head.show([study.status, study.urgent, study.patient_name, study.patient_id, study.accession_number, study.study_description, study.conflict_count, study.not_analysed_count, study.not_analysed_why, study.parked_count, study.instance_count, analysed(study), study.totals, study.gate, study.videos, study.segments, study.viewer_url], () => header(study, seek));
    const list = shown(), classes = [...new Map(frames.flatMap((x) => x.analyses.flatMap((a) => a.findings)).map((x) => [x.class, worded(x)]))], of = [...new Set(frames.flatMap((x) => x.analyses.map((a) => a.model)))];
    sieve.show([only, classes, of, list.length, frames.length], () => frames.length > 1 ? [
      choice("sort", t("study.order"), only.sort, [["", t("study.as-taken")], ["importance", t("study.important-first")]], (v) => sift({ sort: v })),
      classes.length ? choice("only-class", t("study.class"), only.class, [["", t("study.all")], ...classes], (v) => sift({ class: v })) : null,
      of.length > 1 ? choice("only-model", t("study.model"), only.model, [["", t("study.all")], ...of.map((m) => [m, m])], (v) => sift({ model: v })) : null,
      h("span", { class: "muted", role: "status" }, list.length < frames.length ? t("frame.some", { some: list.length, n: frames.length }) : t("frame.count", { n: frames.length }))] : []);
    strip.show([list.map((x) => [x.key, x.top, x.state]), f?.key], () => list.length ? list.map((x) => thumbnail(x, x === f, pick, images)) : h("p", { class: "muted", role: "presentation" }, t("study.no-such-frame")));
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

  const work = h("div", { hidden: true }, // until there is a study
    h("div", { class: "workbench" }, strip.el, viewer.el, panel.el),
    h("div", { class: "columns" }, h("div", null, report.el, sent.el, made.el), line.el));

  return {
    title: () => study ? personName(study.patient_name) : t("study.title"),
    interval: () => study && ["done", "not-analysed", "partly-analysed"].includes(study.status) ? 15000 : 4000,
    stop: () => document.removeEventListener("keydown", keys),
    el: h("div", { class: "study" },
      h("a", { class: "back", href: "#/studies" }, t("frame.back-to-studies")), head.el, sieve.el,
      work),
    async read(signal) {
      if (!models.length) ({ models, palette } = await get("/api/v1/models", signal));
      study = await get(`/api/v1/studies/${encodeURIComponent(uid)}?${new URLSearchParams({ offset })}`, signal);
      draft = await readDraft(uid, study, signal);
      frames = framesOf(study, selected);
      draw();
    },
  };
}

// readDraft returns the newest draft, or why there is none.
async function readDraft(uid, study, signal) {
  if (!study.exams.length) return { why: t("study.no-model") };
  try {
    return await get(`/api/v1/studies/${encodeURIComponent(uid)}/draft`, signal);
  } catch (e) {
    if (e.name === "AbortError") throw e;
    return { why: e.why || e.what };
  }
}

const analysed = (s) => s.instances.some((i) => i.analyses.length);

function header(s, seek) {
  const fact = (name, value) => h("div", null, h("dt", null, name), h("dd", null, value || "–"));
  return h("div", { class: "study-head" },
    h("div", { class: "row" }, h("h1", null, personName(s.patient_name)), urgentMark(s), studyChip(s), s.conflict_count ? chip(studyStatuses, "conflict") : null, notAnalysed(s) ? h("span", { class: "warn" }, notAnalysed(s)) : null,
      s.viewer_url ? h("a", { class: "button", id: "viewer", href: s.viewer_url, target: "_blank", rel: "noopener noreferrer" }, t("study.viewer")) : null),
    h("dl", { class: "facts" },
      fact(t("studies.patient-id"), s.patient_id), fact(t("studies.accession"), s.accession_number), fact(t("studies.study"), `${date(s.study_date)} ${clock(s.study_time)}`),
      fact(t("study.description"), s.study_description), fact(t("studies.study-uid"), h("code", { class: "uid select" }, s.study_instance_uid))),
    pages(s),
    gate(s.gate),
    stuck(s),
    (s.videos || []).map((v, n) => video(s, v, n, seek)),
    analysed(s) ? h("div", { class: "notice ai", role: "note" }, h("strong", null, t("study.ai")), " ", t("study.ai-why")) : null);
}

const seconds = (s) => `${String(Math.floor(s / 60)).padStart(2, "0")}:${(s % 60).toFixed(1).padStart(4, "0")}`;

// video says how far one is, or what was looked at of it and where in it something persists.
function video(s, v, n, seek) {
  if (v.state === "working") return h("p", { class: "muted", role: "status" }, t("study.video-so-far", { model: v.model, some: v.analysed, n: v.to_analyse }));
  const own = s.segments.filter((x) => x.sop_instance_uid === v.sop_instance_uid && x.model === v.model);
  const here = (x) => h("button", { class: "link", type: "button", onclick: () => seek(v.sop_instance_uid, x) }, String(x));
  const why = Object.entries(v.discounted_why).map(([reason, n]) => `${n} ${reason}`).join(", ");
  return h("details", { open: true }, h("summary", null, h("strong", null, t("study.video", { model: v.model })), " ",
    h("span", { class: "muted" }, `${t("study.video-analysed", { some: v.analysed, n: v.frames, selected: v.selected, skipped: v.skipped, discounted: v.discounted })}${why ? `: ${why}` : ""}`)),
  v.timeline ? overTime(s, v, n, seek) : null,
  own.length ? h("table", { class: "list small" }, thead(t("study.class"), t("study.from"), t("study.to"), t("study.frames"), t("study.probability")),
    h("tbody", null, own.map((x) => h("tr", null,
      h("th", { scope: "row", "data-label": t("study.class") }, x.class), h("td", { "data-label": t("study.from") }, seconds(x.start_s)), h("td", { "data-label": t("study.to") }, seconds(x.end_s)),
      h("td", { "data-label": t("study.frames") }, parts("study.span", { from: x.first_frame, to: x.last_frame, peak: here(x.peak_frame) })),
      h("td", { "data-label": t("study.probability") }, percent(x.probability)))))) : h("p", { class: "muted" }, t("study.nothing-persists")),
  v.key_frames.length ? h("details", null, h("summary", null, t("video.key-frames", { n: v.key_frames.length })), h("table", { class: "list small" }, thead(t("video.frame"), t("video.time"), t("study.class"), t("video.reason"), t("study.probability")),
    h("tbody", null, v.key_frames.map((k) => h("tr", null, h("th", { scope: "row", "data-label": t("video.frame") }, here(k.frame)), h("td", { "data-label": t("video.time") }, seconds(k.time_s)), h("td", { "data-label": t("study.class") }, k.class),
      h("td", { "data-label": t("video.reason") }, k.reason), h("td", { "data-label": t("study.probability") }, percent(k.probability))))))) : null,
  v.poor.length ? h("details", null, h("summary", null, t("video.poor")), h("ul", null, v.poor.map((p) => h("li", null, t("video.poor-stretch", { from: seconds(p.start_s), to: seconds(p.end_s), first: p.first_frame, last: p.last_frame, why: p.why }))))) : null,
  course(v.course, here), sheets(s, v));
}

// overTime is the picture of the timeline; a place in it, or on the slider below it, is a frame of those that were analysed.
function overTime(s, v, n, seek) {
  const of = s.instances.find((i) => i.sop_instance_uid === v.sop_instance_uid)?.analyses.find((a) => a.model === v.model)?.frames || [];
  const at = (f) => f.span.start_ns / 1e9;
  const go = (i) => of[i] && seek(v.sop_instance_uid, of[i].frame);
  const near = (when) => of.reduce((best, f, i) => Math.abs(at(f) - when) < Math.abs(at(of[best]) - when) ? i : best, 0);
  const named = (f) => t("video.at", { time: seconds(at(f)), frame: f.frame, found: f.findings.map((x) => `${worded(x)} ${percent(x.probability)}`).join(", ") || "–" });
  const told = h("output", { for: `seek-${n}`, class: "muted" }, of.length ? named(of[0]) : "");
  const tell = (i) => { told.textContent = named(of[i]); slider.setAttribute("aria-valuetext", named(of[i])); };
  const slider = h("input", { type: "range", id: `seek-${n}`, min: 0, max: Math.max(0, of.length - 1), value: 0, "aria-label": t("video.slider", { model: v.model }), oninput: () => tell(Number(slider.value)), onchange: () => go(Number(slider.value)) });
  const picture = h("img", {
    class: "over-time", src: `/api/v1/studies/${encodeURIComponent(s.study_instance_uid)}/instances/${encodeURIComponent(v.sop_instance_uid)}/timeline.png?${new URLSearchParams({ model: v.model })}`,
    alt: t("video.picture", { model: v.model }),
    onclick: (e) => {
      const box = picture.getBoundingClientRect(), part = (e.clientX - box.left) / box.width;
      if (!of.length) return;
      const i = near(v.length_s * Math.min(1, Math.max(0, (part - v.timeline.left) / (v.timeline.right - v.timeline.left))));
      slider.value = i;
      tell(i);
      go(i);
    },
  });
  return h("figure", { class: "timeline-picture" }, picture, of.length ? h("figcaption", null, h("label", { class: "slider", for: `seek-${n}` }, t("video.go-to"), slider), told) : null);
}

// course says how the examination went, as far as frames tell.
function course(c, here) {
  if (!c) return null;
  const moment = (m) => [seconds(m.time_s), " (", t("video.frame"), " ", here(m.frame), ")"];
  const row = (name, ...value) => h("div", null, h("dt", null, name), h("dd", null, value));
  const estimate = (e) => [seconds(e.seconds), ": ", moment(e.from), " → ", moment(e.to)];
  const classes = [...new Set((c.preparation || []).map((p) => p.class))];
  return h("dl", { class: "facts course" },
    row(t("video.first"), moment(c.first)), row(t("video.last"), moment(c.last)),
    c.cecum ? row(t("video.cecum"), c.cecum.frames ? [moment(c.cecum.first), " → ", moment(c.cecum.last)] : t("video.cecum-unseen")) : null,
    c.insertion ? row(t("video.insertion"), estimate(c.insertion)) : null,
    c.withdrawal ? row(t("video.withdrawal"), estimate(c.withdrawal)) : null,
    classes.map((k) => row(t("video.preparation", { class: k }), c.preparation.filter((p) => p.class === k).map((p) => t("video.part", { from: seconds(p.start_s), to: seconds(p.end_s), some: p.flagged, all: p.frames })).join("; "))));
}

// sheets show the clips that a model which looks across time was explained by: those of its pictures that are of several frames.
function sheets(s, v) {
  return s.objects.filter((o) => o.source === v.sop_instance_uid && o.model === v.model && o.purpose === "heatmap" && o.span.count > 1 && !o.released).map((o) => {
    const what = t("clip.sheet", { first: o.span.first, last: o.span.first + o.span.count - 1 });
    const src = `/api/v1/instances/${encodeURIComponent(o.sop_instance_uid)}/frames/1.png`;
    return h("figure", { class: "sheet", tabindex: 0, role: "group", "aria-label": what }, h("a", { href: src }, h("img", { src, alt: what, loading: "lazy" })), h("figcaption", { class: "muted" }, what));
  });
}

// gate says in what images, order and patient do not agree.
function gate(g) {
  if (!g.mismatches.length) return null;
  const then = g.held ? t("study.held-why") : g.corrected ? t("study.corrected") : g.released ? t("study.released") : t("study.all-the-same");
  return h("div", { class: g.held ? "notice bad" : "notice warn", role: "note" }, h("strong", null, g.held ? t("study.held") : t("study.mismatch")), ` ${g.mismatches.map((m) => m.text).join("; ")}. ${then}`);
}

// pages leads through a study that is too long for one page: the same part of each of its lists.
function pages(s) {
  const total = Math.max(...Object.values(s.totals));
  return total > s.limit ? h("div", null, h("p", { class: "muted" }, t("study.in-parts", { instances: t("study.instances", { n: s.totals.instances }), objects: t("study.object-count", { n: s.totals.objects }) })),
    pager(new URLSearchParams(), { total, limit: s.limit, offset: s.offset }, `#/studies/${encodeURIComponent(s.study_instance_uid)}`)) : null;
}

function choice(id, label, value, options, set) {
  return h("label", { for: id }, label, h("select", { id, onchange: (e) => set(e.target.value) }, options.map(([v, text]) => h("option", { value: v, selected: v === value }, text))));
}

function thumbnail(f, chosen, pick, images) {
  let img = images.get(f.key);
  if (!img) {
    img = h("img", { onerror: () => { const none = h("span", { class: "gone" }, t("study.no-preview")); images.set(f.key, none); img.replaceWith(none); }, src: f.source && `${f.source}.jpg?width=240`, alt: "", loading: "lazy", width: 120, height: 96 });
    images.set(f.key, img);
  }
  return h("button", {
    class: "thumb", id: `thumb-${f.key}`, role: "option", "aria-selected": String(chosen), tabindex: chosen ? 0 : -1, onclick: () => pick(f.key),
  }, f.source ? img : h("span", { class: "gone" }, t("study.not-kept")),
  h("span", { class: "thumb-text" }, h("span", null, f.label), f.top ? [h("span", { class: `tag ${f.top.role}` }, f.top.text), h("span", { class: `thumb-bar ${f.top.role}`, "aria-hidden": "true" }, h("span", { class: "bar-fill", style: { width: `${100 * f.top.probability}%` } }), h("span", { class: "mark", style: { left: `${100 * f.top.threshold}%` } }))] : h("span", { class: "muted" }, f.state)));
}

function deliveryCard(s) {
  const names = [...new Set(s.deliveries.map((d) => d.destination))].sort();
  return [h("h2", null, t("study.deliveries")), names.length ? names.map((name) => destination(name, s.deliveries.filter((d) => d.destination === name)))
    : h("p", { class: "muted" }, t("study.nothing-made"))];
}

function destination(name, list) {
  const done = list.filter((d) => d.state === "done").length;
  const open = list.some((d) => d.state !== "done");
  return h("details", { open }, h("summary", null, h("strong", null, name), " ", h("span", { class: "muted" }, t("study.confirmed", { some: done, n: list.length }))),
    h("table", { class: "list small" },
      thead(t("study.object"), t("study.state"), t("study.answer"), t("study.when")),
      h("tbody", null, list.map((d) => h("tr", null,
        h("th", { scope: "row", "data-label": t("study.object") }, h("div", null, purpose(d.purpose)), shortUID(d.sop_instance_uid)),
        h("td", { "data-label": t("study.state") }, chip(deliveryStates, d.state), d.attempts > 1 ? h("div", { class: "muted" }, t("study.attempts", { n: d.attempts })) : null),
        h("td", { "data-label": t("study.answer") }, peerStatus(d.status) || h("span", { class: "muted" }, t("study.none-yet")), d.alternate ? h("div", { class: "muted" }, t("study.took-fallback")) : null, d.reason ? h("div", { class: "muted wrap" }, d.reason) : null),
        h("td", { "data-label": t("study.when") }, d.state === "pending" && d.next_at ? t("study.next-try", { at: absolute(d.next_at) }) : time(d.ended_at)))))));
}

function objectCard(s) {
  return [h("h2", null, t("study.reports")), s.exams.map((e) => h("div", { class: "exam" }, chip(examStates, e.state), " ",
    t("study.on-route", { model: e.model, route: e.route }), h("span", { class: "muted" }, " · ", e.revision ? t("study.revision", { n: e.revision }) : e.open_jobs ? t("frame.open-jobs", { n: e.open_jobs }) : t("study.waits-for-end")),
    e.reason ? h("div", { class: "muted wrap" }, e.reason) : null)),
  s.objects.length ? h("table", { class: "list small" }, thead(t("study.object"), t("study.model"), t("study.of"), t("study.made")),
    h("tbody", null, s.objects.map((o) => h("tr", null,
      h("th", { scope: "row", "data-label": t("study.object") }, h("div", null, purpose(o.purpose), o.revision > 1 ? [" ", t("study.rev", { n: o.revision })] : "", o.twin_of ? h("span", { class: "muted" }, " ", t("study.fallback")) : ""), shortUID(o.sop_instance_uid)),
      h("td", { "data-label": t("study.model") }, o.model || "–"), h("td", { "data-label": t("study.of") }, o.source ? sourceName(s, o) : t("study.whole-exam")), h("td", { "data-label": t("study.made") }, time(o.made_at))))))
    : s.exams.length ? null : h("p", { class: "muted" }, t("study.no-objects"))];
}

function sourceName(s, o) {
  const at = s.instances.findIndex((i) => i.sop_instance_uid === o.source);
  if (at < 0) return shortUID(o.source);
  const i = s.instances[at];
  return frameLabel(i, at, o.frame);
}

// stepped is what a step of the timeline is called.
function stepped(step) {
  const said = named("step", step);
  return said === step ? words(step) : said;
}

const steps = 60;

function timeline(s, f, state, redraw) {
  const names = new Map(s.objects.map((o) => [o.sop_instance_uid, purpose(o.purpose)]));
  s.instances.forEach((i, n) => names.set(i.sop_instance_uid, t("frame.image", { number: String(i.instance_number || n + 1) })));
  const mine = state.only && f ? new Set([f.instance, ...f.analyses.flatMap((a) => a.findings.map((x) => x.heatmap))]) : null;
  const events = s.timeline.filter((e) => !mine || mine.has(e.sop_instance_uid));
  const shown = state.all ? events : events.slice(-steps);
  return [
    h("div", { class: "row between" }, h("h2", null, t("study.timeline")),
      h("label", { class: "check" }, h("input", { type: "checkbox", id: "only", checked: state.only, onchange: (e) => { state.only = e.target.checked; redraw(); } }), t("study.selected-only"))),
    shown.length < events.length ? h("button", { class: "button", id: "all", onclick: () => { state.all = true; redraw(); } }, t("study.earlier", { n: events.length - shown.length })) : null,
    h("ol", { class: "timeline" }, shown.map((e) => h("li", { class: /park|deferred|conflict|not-analysed/.test(e.step) ? "bad" : "" },
      h("span", { class: "when" }, time(e.at)),
      h("span", { class: "what" }, h("strong", null, stepped(e.step)), e.count > 1 ? h("span", { class: "muted" }, t("study.times", { n: e.count, at: absolute(e.last_at) })) : null, e.destination ? ` → ${e.destination}` : "", e.status ? h("span", { class: "peer" }, peerStatus(e.status)) : null,
        h("span", { class: "muted" }, names.get(e.sop_instance_uid) || "", " ", e.sop_instance_uid ? shortUID(e.sop_instance_uid) : ""), e.detail ? h("span", { class: "muted wrap" }, e.detail) : null, e.message ? h("a", { href: `/api/v1/messages/${encodeURIComponent(e.message)}` }, t("study.message")) : null, e.by ? h("span", { class: "muted" }, t("study.by", { who: e.by })) : null)))),
  ];
}
