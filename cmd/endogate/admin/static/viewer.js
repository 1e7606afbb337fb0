// The viewer: a source frame with its heatmap on top or beside it, and the contours of hot regions, boxes and masks.
import { h, svg } from "./dom.js";
import { percent, worded } from "./format.js";
import { hatched, layer, legend, outline } from "./map.js";
import { shaped } from "./shape.js";
import { t } from "./words.js";

const unanalysed = 24; // frames shown of a multi-frame instance that no model has seen

// framesOf lists what can be looked at: every analysed frame, or the first ones where nothing was analysed.
// Of a video that are its key frames, and the one that is asked for by its key.
export function framesOf(study, asked = "") {
  return study.instances.flatMap((instance, at) => {
    const videos = (study.videos || []).filter((v) => v.sop_instance_uid === instance.sop_instance_uid); // of which the frames to look at are shown
    const numbers = new Set(videos.length ? videos.flatMap((v) => v.key_frames.map((k) => k.frame)) : instance.analyses.flatMap((a) => a.frames.map((f) => f.frame)));
    if (videos.length && asked.startsWith(`${at + 1}-`)) numbers.add(Math.min(Math.max(1, Number(asked.split("-")[1]) || 1), Math.max(1, ...videos.map((v) => v.frames))));
    const most = videos.length || instance.state === "not-analysed" ? 1 : unanalysed;
    if (!numbers.size) for (let n = 1; n <= Math.min(Math.max(1, instance.number_of_frames), most); n++) numbers.add(n);
    return [...numbers].sort((a, b) => a - b).map((n) => frameOf(instance, at, n));
  });
}

function frameOf(instance, at, number) {
  const analyses = instance.analyses.map((a) => {
    const result = a.frames.find((f) => f.frame === number);
    return { model: a.model, state: a.state, reason: a.reason, retracted: a.retracted, inferredAt: a.inferred_at, madeBy: a.made_by, attempts: a.attempts,
      scores: result?.scores || {}, findings: (result?.findings || []).map((f) => ({ ...f, by: a.made_by?.name ? `${a.made_by.name} ${a.made_by.version}` : a.model })), notes: result?.notes || [], rows: result?.rows, columns: result?.columns };
  });
  const all = analyses.flatMap((a) => a.retracted ? [] : a.findings);
  const best = [...all].sort((a, b) => (b.role === "finding") - (a.role === "finding") || b.probability - a.probability)[0];
  return {
    key: `${at + 1}-${number}`, study: instance.study_instance_uid, instance: instance.sop_instance_uid, entry: instance.entry, number, analyses, conflict: instance.state === "conflict",
    label: frameLabel(instance, at, number),
    source: instance.released ? "" : `/api/v1/instances/${encodeURIComponent(instance.entry || instance.sop_instance_uid)}/frames/${number}`,
    notAnalysed: instance.reason, remarks: instance.remarks,
    state: analyses.some((a) => a.state === "open") ? t("frame.analysing") : analyses.some((a) => a.state === "parked") ? t("frame.parked")
      : instance.state === "conflict" ? t("frame.conflict") : analyses.some((a) => a.state === "done") ? t("frame.nothing-over") : t("frame.not-analysed"),
    top: best && { text: `${worded(best)} ${percent(best.probability)}`, role: best.role, probability: best.probability, threshold: best.threshold },
    weight: best ? (best.role === "finding") + best.probability : 0, classes: all.map((f) => f.class),
  };
}

// frameLabel is what a frame is called: its image, and its number where that has several.
export function frameLabel(instance, at, frame) {
  const number = String(instance.instance_number || at + 1);
  return instance.number_of_frames > 1 ? t("frame.of-image", { number, frame: String(frame) }) : t("frame.image", { number });
}

// lookInto is the page that looks into a frame, for a model and a class.
export const lookInto = (f, asked = {}) => `#/frame/${[f.study, f.instance, f.number].map(encodeURIComponent).join("/")}?${new URLSearchParams(asked)}`;

const said = (f) => `${worded(f)}, ${percent(f.probability)}, ${f.by}`;

// createViewer returns the viewer; step(by) is called to move to another frame.
export function createViewer({ step }) {
  const ui = { mode: "overlay", opacity: 0, contours: true, heatmap: "" };
  let palette;
  let frame, drawn;
  const position = h("span", { class: "position" }), look = h("a", { class: "button look", id: "look", hidden: true }, t("viewer.look"));
  const stage = h("div", { class: "stage" });
  const slider = h("input", { type: "range", id: "opacity", min: 0, max: 100, value: ui.opacity, "aria-label": t("viewer.opacity"), oninput: () => { ui.opacity = Number(slider.value); opacity(); } });
  const shown = h("output", { for: "opacity" });
  const contours = h("input", { type: "checkbox", id: "contours", checked: true, onchange: () => { ui.contours = contours.checked; draw(); } });
  const modes = ["overlay", "side", "source"].map((mode) => h("button", {
    class: "segment", id: `mode-${mode}`, "aria-pressed": String(mode === ui.mode), onclick: () => { ui.mode = mode; draw(); },
  }, { overlay: t("viewer.overlay"), side: t("viewer.side"), source: t("viewer.only-source") }[mode]));
  const segments = h("div", { class: "segments", role: "group", "aria-label": t("viewer.view") }, modes);
  const outlines = h("label", { class: "check" }, contours, t("viewer.outlines"));
  const strength = h("label", { class: "slider" }, t("viewer.heatmap"), slider, shown);

  function opacity() {
    shown.textContent = `${ui.opacity} %`;
    for (const img of stage.querySelectorAll(".stacked .heat")) img.style.setProperty("opacity", ui.opacity / 100);
  }

  // finding is the one whose heatmap is shown: the chosen one, else the first that has a heatmap.
  function finding() {
    const all = frame.analyses.flatMap((a) => a.findings);
    return all.find((f) => f.heatmap && f.heatmap === ui.heatmap) || all.find((f) => f.heatmap) || null;
  }

  function draw() {
    if (!frame) return stage.replaceChildren(h("div", { class: "empty" }, t("viewer.none")));
    modes.forEach((b) => b.setAttribute("aria-pressed", String(b.id === `mode-${ui.mode}`)));
    const hot = finding();
    const now = JSON.stringify([frame.key, frame.source, frame.analyses, hot, ui.mode, ui.contours, palette?.opacity]);
    strength.hidden = !hot?.drawn?.values || ui.mode !== "overlay";
    segments.hidden = !hot;
    outlines.hidden = !frame.analyses.some((a) => a.findings.some((f) => f.contours.length));
    if (now === drawn) return opacity();
    drawn = now;
    const picture = (src, alt, cls) => {
      const img = h("img", { class: cls, alt });
      img.addEventListener("load", () => img.parentElement?.classList.remove("loading"));
      img.addEventListener("error", () => { img.replaceWith(h("div", { class: "broken" }, t("viewer.broken"))); });
      img.src = src;
      return img;
    };
    const source = () => frame.source ? picture(`${frame.source}.jpg`, t("viewer.source-of", { frame: frame.label }), "plain")
      : h("div", { class: "broken" }, t("viewer.gone"));
    const heat = () => picture(`/api/v1/instances/${encodeURIComponent(hot.heatmap)}/frames/1.jpg`, t("viewer.heatmap-for", { what: said(hot) }), "heat");
    const lines = () => [hatched(frame, hot), ui.contours ? outline(frame, hot) : null];
    const figure = (cls, caption, ...content) => {
      const stack = h("div", { class: cls }, content);
      shaped(stack, frame.analyses.find((a) => a.columns));
      return h("figure", null, stack, h("figcaption", null, caption));
    };
    stage.dataset.mode = ui.mode;
    if (ui.mode === "source" || !hot) stage.replaceChildren(figure("stacked", t("viewer.source"), source(), ui.contours ? outline(frame, hot) : null));
    else if (ui.mode === "side") stage.replaceChildren(figure("stacked", t("viewer.source"), source(), lines()), figure("flat", legend(hot, palette), heat()));
    else if (hot.drawn?.values && palette) stage.replaceChildren(figure("stacked", legend(hot, palette), source(), layer(hot, frame, palette), lines()));
    else stage.replaceChildren(figure("flat", legend(hot, palette), heat())); // a map of pixels: as its object shows it
    opacity();
  }

  return {
    el: h("section", { class: "viewer", "aria-label": t("viewer.frame") },
      h("div", { class: "toolbar" },
        h("div", { class: "row" }, h("button", { class: "button", "aria-label": t("viewer.previous"), onclick: () => step(-1) }, "‹"), position,
          h("button", { class: "button", "aria-label": t("viewer.next"), onclick: () => step(1) }, "›")),
        segments, strength, outlines, look),
      stage),
    show(f, total, at, colours) {
      if (colours && !palette) slider.value = ui.opacity = Math.round(100 * colours.opacity);
      palette = colours;
      if (f?.key !== frame?.key) ui.heatmap = "";
      frame = f;
      look.hidden = !f?.source || f.conflict;
      if (f) look.href = lookInto(f);
      position.textContent = f ? t("viewer.at", { frame: f.label, some: at + 1, n: total }) : "";
      draw();
    },
    showHeatmap(uid) { ui.heatmap = uid; if (ui.mode === "source") ui.mode = "overlay"; draw(); },
    shownHeatmap: () => frame && finding()?.heatmap,
  };
}
