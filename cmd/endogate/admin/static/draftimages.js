// The film strip of a draft and its key images: a frame is dragged onto a finding or among the key images, or taken by key or button.
import { h, slot } from "./dom.js";
import { percent } from "./format.js";
import { t } from "./words.js";
import { called, imageName } from "./draftchanges.js";

const most = 24; // frames shown of a multi-frame instance beside those in which something was flagged
const refOf = (k) => ({ ...(k.finding ? { finding: k.finding } : {}), instance: k.frame.instance.sop_instance_uid, frame: k.frame.span.first });
const same = (a, b) => a.instance === b.instance && a.frame === b.frame && (a.finding || "") === (b.finding || "");

// createImages returns strip and key images; edit takes edits, current is the finding that a key or a button chooses for.
export function createImages({ edit, current }) {
  const strip = slot("div", { class: "filmstrip across", role: "listbox", "aria-label": t("report.strip"), "aria-orientation": "horizontal" });
  const chosen = slot("div", { class: "filmstrip across", role: "listbox", "aria-label": t("report.key-images"), "aria-orientation": "horizontal", ondragover: (e) => { if (dragged && editable) { e.preventDefault(); chosen.el.classList.add("over"); } }, ondragleave: () => chosen.el.classList.remove("over"), ondrop: (e) => { e.preventDefault(); chosen.el.classList.remove("over"); letGo(e); } });
  const tools = slot("div", { class: "row" }), own = slot("div", { class: "row" });
  let doc, editable = false, frames = [], keys = [], at = 0, key = 0, picked = null, follow = false, dragged = null; // picked is the key image at key

  const framesOf = () => doc.examination.instances.flatMap((i) => {
    const uid = i.instance.sop_instance_uid, flagged = doc.findings.flatMap((f) => f.frames.filter((x) => x.instance.sop_instance_uid === uid).map((x) => ({ number: x.span.first, name: called(f), probability: x.probability })));
    const numbers = new Set(flagged.map((x) => x.number));
    for (let n = 1; n <= Math.min(i.frames || 1, most); n++) numbers.add(n);
    return [...numbers].sort((a, b) => a - b).map((n) => ({ instance: uid, frame: n, label: imageName({ instance_number: i.instance_number, span: { first: n } }), flagged: flagged.filter((x) => x.number === n), key: doc.key_images.some((k) => k.frame.instance.sop_instance_uid === uid && k.frame.span.first === n) }));
  });

  const choose = (f, finding) => f && editable && edit({ op: "choose", instance: f.instance, frame: f.frame, ...(finding ? { finding } : {}) });
  function drop() { const k = keys[key]; if (k && editable) edit({ op: "drop", ...refOf(k) }); }
  function move(from, to) {
    if (!editable || from === to || !keys[from] || to < 0 || to >= keys.length) return;
    const images = keys.map(refOf), [taken] = images.splice(from, 1);
    images.splice(to, 0, taken);
    picked = taken;
    follow = chosen.el.contains(document.activeElement);
    edit({ op: "order", images });
  }
  // letGo is where a frame, or a key image, falls among the key images.
  function letGo(e) {
    const over = [...chosen.el.querySelectorAll("[role=option]")].indexOf(e.target.closest("[role=option]"));
    if (dragged?.from !== undefined) move(dragged.from, over < 0 ? keys.length - 1 : over);
    else if (dragged) choose(dragged, "");
    dragged = null;
  }
  function point(list, n, focus) {
    if (list === strip) at = Math.max(0, Math.min(frames.length - 1, n)); else key = Math.max(0, Math.min(keys.length - 1, n));
    picked = keys[key] ? refOf(keys[key]) : null;
    draw();
    const el = list.el.querySelectorAll("[role=option]")[list === strip ? at : key];
    el?.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (focus) el?.focus({ preventScroll: true });
  }
  const keyed = (list) => (e) => {
    const now = list === strip ? at : key, by = { ArrowRight: 1, ArrowLeft: -1, Home: -1e6, End: 1e6 }[e.key];
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (by && e.shiftKey && list === chosen) move(now, now + by);
    else if (by) point(list, now + by, true);
    else if (e.key === "Enter" && list === strip) choose(frames[at], e.shiftKey ? "" : current()?.id);
    else if (/^(Delete|Backspace)$/.test(e.key) && list === chosen) drop();
    else return;
    e.preventDefault();
  };
  strip.el.addEventListener("keydown", keyed(strip));
  chosen.el.addEventListener("keydown", keyed(chosen));

  const thumb = (id, image, n, selected, list, data, ...text) => h("button", {
    class: "thumb", id, role: "option", "aria-selected": String(selected), tabindex: selected ? 0 : -1, draggable: String(editable), onclick: () => point(list, n, true),
    ondragstart: (e) => { dragged = data; e.dataTransfer.setData("text/plain", id); e.dataTransfer.effectAllowed = "copyMove"; }, ondragend: () => { dragged = null; },
  }, h("img", { src: `/api/v1/instances/${encodeURIComponent(image.instance)}/frames/${image.frame}.jpg?width=240`, alt: "", loading: "lazy", draggable: "false", width: 110, height: 82 }), h("span", { class: "thumb-text" }, text));

  function draw() {
    const f = current();
    strip.show([frames, at, editable], () => frames.map((x, n) => thumb(`frame-${n}`, x, n, n === at, strip, x, h("span", null, x.label, x.key ? ` ★` : "", x.key ? h("span", { class: "hidden" }, ` ${t("report.key-image")}`) : null), x.flagged[0] ? h("span", { class: "tag finding" }, `${x.flagged[0].name} ${percent(x.flagged[0].probability)}`) : null)));
    tools.show([editable, f?.id, f && called(f), frames.length], () => !editable || !frames.length ? [] : [
      f ? h("button", { class: "button small", id: "choose", onclick: () => choose(frames[at], f.id) }, t("report.choose", { finding: called(f) })) : null,
      h("button", { class: "button small", id: "choose-alone", onclick: () => choose(frames[at], "") }, t("report.choose-alone"))]);
    chosen.show([keys, key, editable, doc.findings.map((x) => [x.id, x.decision])], () => keys.length ? keys.map((k, n) => thumb(`key-${n}`, refOf(k), n, n === key, chosen, { ...refOf(k), from: n }, h("span", null, `${n + 1}. ${imageName(k.frame)}`), h("span", { class: "muted" }, called(doc.findings.find((x) => x.id === k.finding) || {}) || t("report.of-study"))))
      : h("p", { class: "muted", role: "option", "aria-selected": "false", tabindex: 0 }, t("report.no-key-image")));
    own.show([editable, keys.length, key], () => !editable || !keys.length ? [] : [
      h("button", { class: "button small", id: "earlier", disabled: key === 0, onclick: () => move(key, key - 1) }, t("report.earlier")),
      h("button", { class: "button small", id: "later", disabled: key === keys.length - 1, onclick: () => move(key, key + 1) }, t("report.later")),
      h("button", { class: "button small", id: "drop", onclick: drop }, t("report.drop"))]);
  }

  return {
    el: h("section", { class: "card images", "aria-label": t("report.images") },
      h("div", { class: "two" }, h("div", null, h("div", { class: "row" }, h("h2", null, t("report.strip")), tools.el), strip.el), h("div", null, h("div", { class: "row" }, h("h2", null, t("report.key-images")), own.el), chosen.el))),
    show(to, may) {
      [doc, editable] = [to, may];
      frames = framesOf();
      keys = doc.key_images;
      const found = picked ? keys.findIndex((k) => same(refOf(k), picked)) : -1;
      key = found >= 0 ? found : Math.max(0, Math.min(key, keys.length - 1));
      at = Math.max(0, Math.min(at, frames.length - 1));
      draw();
      if (follow) chosen.el.querySelectorAll("[role=option]")[key]?.focus({ preventScroll: true });
      follow = false;
    },
    redraw: draw,
    dragged() { const d = dragged; dragged = null; return d; },
    choose,
    // into puts the focus into the strip, at a frame.
    into(frame) { point(strip, Math.max(0, frames.findIndex((f) => f.instance === frame?.instance.sop_instance_uid && f.frame === frame.span.first)), true); },
  };
}
