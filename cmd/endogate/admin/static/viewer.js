// The viewer: a source frame with its heatmap on top or beside it, and the contours of the hot regions.
import { h, svg } from "./dom.js";
import { percent, words } from "./format.js";

const unanalysed = 24; // frames shown of a multi-frame instance that no model has seen

// framesOf lists what can be looked at: every analysed frame, or the first ones where nothing was analysed.
export function framesOf(study) {
  return study.instances.flatMap((instance, at) => {
    const numbers = new Set(instance.analyses.flatMap((a) => a.frames.map((f) => f.frame)));
    const most = instance.state === "not-analysed" ? 1 : unanalysed;
    if (!numbers.size) for (let n = 1; n <= Math.min(Math.max(1, instance.number_of_frames), most); n++) numbers.add(n);
    return [...numbers].sort((a, b) => a - b).map((n) => frameOf(instance, at, n));
  });
}

function frameOf(instance, at, number) {
  const analyses = instance.analyses.map((a) => {
    const result = a.frames.find((f) => f.frame === number);
    return { model: a.model, state: a.state, reason: a.reason, retracted: a.retracted, inferredAt: a.inferred_at, madeBy: a.made_by, attempts: a.attempts,
      scores: result?.scores || {}, findings: result?.findings || [], notes: result?.notes || [], rows: result?.rows, columns: result?.columns };
  });
  const all = analyses.flatMap((a) => a.retracted ? [] : a.findings);
  const best = [...all].sort((a, b) => (b.role === "finding") - (a.role === "finding") || b.probability - a.probability)[0];
  return {
    key: `${at + 1}-${number}`, instance: instance.sop_instance_uid, entry: instance.entry, number, analyses, conflict: instance.state === "conflict",
    label: `Image ${instance.instance_number || at + 1}${instance.number_of_frames > 1 ? ` · frame ${number}` : ""}`,
    source: instance.released ? "" : `/api/v1/instances/${encodeURIComponent(instance.entry || instance.sop_instance_uid)}/frames/${number}`,
    notAnalysed: instance.reason, remarks: instance.remarks,
    state: analyses.some((a) => a.state === "open") ? "analysing" : analyses.some((a) => a.state === "parked") ? "not analysed: parked"
      : instance.state === "conflict" ? "UID conflict" : analyses.some((a) => a.state === "done") ? "no class over threshold" : "not analysed",
    top: best && { text: `${words(best.class)} ${percent(best.probability)}`, role: best.role },
  };
}

// createViewer returns the viewer; step(by) is called to move to another frame.
export function createViewer({ step }) {
  const ui = { mode: "overlay", opacity: 70, contours: true, heatmap: "" };
  let frame, drawn;
  const position = h("span", { class: "position" });
  const stage = h("div", { class: "stage" });
  const slider = h("input", { type: "range", id: "opacity", min: 0, max: 100, value: ui.opacity, "aria-label": "Heatmap opacity in percent", oninput: () => { ui.opacity = Number(slider.value); opacity(); } });
  const shown = h("output", { for: "opacity" });
  const contours = h("input", { type: "checkbox", id: "contours", checked: true, onchange: () => { ui.contours = contours.checked; draw(); } });
  const modes = ["overlay", "side", "source"].map((mode) => h("button", {
    class: "segment", id: `mode-${mode}`, "aria-pressed": String(mode === ui.mode), onclick: () => { ui.mode = mode; draw(); },
  }, { overlay: "Overlay", side: "Side by side", source: "Source only" }[mode]));
  const segments = h("div", { class: "segments", role: "group", "aria-label": "View" }, modes);
  const outlines = h("label", { class: "check" }, contours, "Contours");
  const strength = h("label", { class: "slider" }, "Heatmap", slider, shown);

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
    if (!frame) return stage.replaceChildren(h("div", { class: "empty" }, "No frame"));
    modes.forEach((b) => b.setAttribute("aria-pressed", String(b.id === `mode-${ui.mode}`)));
    const hot = finding();
    const now = JSON.stringify([frame.key, frame.source, frame.analyses, hot, ui.mode, ui.contours]);
    strength.hidden = !hot || ui.mode !== "overlay";
    segments.hidden = !hot;
    outlines.hidden = !frame.analyses.some((a) => a.findings.some((f) => f.contours.length));
    if (now === drawn) return opacity();
    drawn = now;
    const picture = (src, alt, cls) => {
      const img = h("img", { class: cls, alt });
      img.addEventListener("load", () => img.parentElement?.classList.remove("loading"));
      img.addEventListener("error", () => { img.replaceWith(h("div", { class: "broken" }, "This frame cannot be shown here. Open it at the archive.")); });
      img.src = src;
      return img;
    };
    const source = () => frame.source ? picture(`${frame.source}.jpg`, `Source frame, ${frame.label}`, "plain")
      : h("div", { class: "broken" }, "The gateway no longer keeps this frame: its work is done. Open it at the archive.");
    const heat = () => picture(`/api/v1/instances/${encodeURIComponent(hot.heatmap)}/frames/1.jpg`, `Heatmap for ${words(hot.class)}, ${percent(hot.probability)}`, "heat");
    const layer = () => ui.contours ? outline(frame, hot) : null;
    const figure = (cls, caption, ...content) => h("figure", null, h("div", { class: cls }, content), h("figcaption", null, caption));
    stage.dataset.mode = ui.mode;
    if (ui.mode === "source" || !hot) stage.replaceChildren(figure("stacked", "Source", source(), layer()));
    else if (ui.mode === "side") stage.replaceChildren(figure("stacked", "Source", source(), layer()), figure("flat", `Heatmap: ${words(hot.class)}`, heat()));
    else stage.replaceChildren(figure("stacked", `Source with heatmap: ${words(hot.class)} ${percent(hot.probability)}`, source(), heat(), layer()));
    opacity();
  }

  return {
    el: h("section", { class: "viewer", "aria-label": "Frame" },
      h("div", { class: "toolbar" },
        h("div", { class: "row" }, h("button", { class: "button", "aria-label": "Previous frame", onclick: () => step(-1) }, "‹"), position,
          h("button", { class: "button", "aria-label": "Next frame", onclick: () => step(1) }, "›")),
        segments, strength, outlines),
      stage),
    show(f, total, at) {
      if (f?.key !== frame?.key) ui.heatmap = "";
      frame = f;
      position.textContent = f ? `${f.label} (${at + 1} of ${total})` : "";
      draw();
    },
    showHeatmap(uid) { ui.heatmap = uid; if (ui.mode === "source") ui.mode = "overlay"; draw(); },
    shownHeatmap: () => frame && finding()?.heatmap,
  };
}

// Contours are in source pixels, so a view box of the frame's size puts them in place at any scale.
// They are those of the finding whose heatmap is shown, or of all where there is no heatmap.
function outline(frame, hot) {
  const wanted = (f) => f.contours.length && (!hot || f === hot);
  const a = frame.analyses.find((x) => x.columns && x.findings.some(wanted));
  if (!a) return null;
  return svg("svg", { class: "contours", viewBox: `0 0 ${a.columns} ${a.rows}`, "aria-hidden": "true" },
    a.findings.filter(wanted).flatMap((f) => f.contours.map((points) => svg("polygon", { points: points.map((p) => p.join(",")).join(" ") }))));
}
