// Why a network sees in a frame what it sees: any class, layer and method, by words of the address, so that a link is this very view.
import { get, keep, send, tryExplanation } from "./api.js";
import { ask as sure, h, question, slot } from "./dom.js";
import { figures, percent, words, worded } from "./format.js";
import { createLens, scale } from "./lens.js";
import { shows } from "./methods.js";
import { layers } from "./network.js";
import { beside } from "./beside.js";
import { faithful } from "./faithful.js";
import { points, whatIf } from "./whatif.js";
import { framesOf, lookInto } from "./viewer.js";
import { t } from "./words.js";

const modes = { overlay: t("viewer.overlay"), side: t("viewer.side"), wipe: t("dissect.wipe"), flicker: t("dissect.flicker"), source: t("viewer.only-source") };
const none = { black: [], border: "" };
const slow = 150; // milliseconds after which is said that something is computed

// frameView looks into a frame of a study, or into a picture that somebody tries: its file, bitmap and name.
export function frameView({ uid, sop, number, params, tried }) {
  const q = { model: params.get("model") || "", class: params.get("class") || "", against: params.get("against") || "", layer: params.get("layer") || "", method: params.get("method") || "" };
  let change = { black: params.getAll("black").map((b) => b.split(",").map(Number)), border: params.get("border") || "" };
  const ui = { mode: modes[params.get("view")] ? params.get("view") : "overlay", colours: params.get("colours") || "", opacity: within(params.get("opacity"), -1), wipe: within(params.get("wipe"), 50) };
  let frames = [], me, beyond = 0, frame, models = [], palette, network, answer, before, asking, waiting, sequence = 0;

  const lens = createLens({ read: (text) => { reading.textContent = text; }, moved: link, key, drawn: (box) => experiment.add(box) });
  const reading = h("output", { class: "reading", "aria-live": "off" });
  const head = slot("div"), bars = slot("div"), choices = slot("div"), network_ = slot("section", { "aria-label": t("dissect.layers") }), said = slot("section", { "aria-label": t("dissect.what-shows") }), tools = slot("div", { class: "toolbar" });
  const progress = h("div", { class: "computing", role: "status", hidden: true }), fault = slot("div", { role: "alert" }), sent = slot("div", { role: "status" });
  const more = beside({ title: t("dissect.beside"), tiles, pick: (choice) => choose(choice) });
  const worth = faithful({ url: () => `${base}/faithfulness.json?${query({ class: answer.class })}`, worded: (c) => worded_(c) });
  const experiment = whatIf({
    changed: (to) => { change = to; if (ui.mode === "overlay" && changed()) ui.mode = "side"; choose({ class: q.class || answer.class }); }, drawing: (wanted) => lens.draw(wanted), worded: (c) => worded_(c),
    source: () => tried?.bitmap || lens.el.querySelector("img"), frames: () => frames.filter((f) => f.source && !f.conflict), beyond: () => beyond,
    ask: (f, change, signal) => keep(`/api/v1/studies/${encodeURIComponent(uid)}/instances/${encodeURIComponent(f.instance)}/frames/${f.number}/explanation.json?${query({ model: answer.model, class: answer.class, against: "", layer: "", method: "", as: "none" }, change || none)}`, signal),
  });

  const base = `/api/v1/studies/${encodeURIComponent(uid)}/instances/${encodeURIComponent(sop)}/frames/${number}`;
  const model = () => models.find((m) => m.name === (answer?.model || q.model)) || models[0];
  const explanation = (query, signal) => (tried ? tryExplanation(tried.file, query, signal) : keep(`${base}/explanation.json?${query}`, signal));
  const worded_ = (name) => worded(model()?.classes.find((c) => c.name === name) ? { ...model().classes.find((c) => c.name === name), class: name } : { class: name });
  const colours = () => palette.named[ui.colours] || palette.colours;
  const query = (also, to = change) => new URLSearchParams([...Object.entries({ ...q, ...also, border: to.border }), ...to.black.map((b) => ["black", b.join(",")])].filter(([, v]) => v !== ""));
  const changed = () => change.black.length > 0 || change.border !== "";

  // ask puts the question; one that was put before and is not answered yet is dropped.
  async function ask() {
    link();
    asking?.abort();
    asking = new AbortController();
    const { signal } = asking, began = performance.now();
    clearInterval(waiting);
    const wait = () => {
      const seconds = (performance.now() - began) / 1000;
      progress.hidden = seconds * 1000 < slow;
      progress.replaceChildren(h("progress", { "aria-label": t("dissect.being-computed") }), h("span", null, seconds > 1 ? t("dissect.computing-for", { n: Math.floor(seconds) }) : t("dissect.computing")));
    };
    waiting = setInterval(wait, 100);
    try {
      const [now, then] = await Promise.all([explanation(query({ as: "map" }), signal), changed() ? explanation(query({ as: "map" }, none), signal) : null]);
      if (now.model !== network?.model) network = await get(`/api/v1/models/${encodeURIComponent(now.model)}/network`, signal);
      work.hidden = false;
      answer = now;
      before = then;
      sent.show(null, () => []);
      fault.show(null, () => []);
      draw();
      more.update(JSON.stringify([q, change]));
      worth.update(JSON.stringify([q, answer.class, change]));
      experiment.show(change, { columns: answer.map.columns, rows: answer.map.rows });
      performance.measure("explained", { start: began });
      lens.el.dataset.shown = ++sequence;
    } catch (e) {
      if (e.name === "AbortError") return;
      work.hidden = !answer && e.status === 404; // there is no such frame to choose anything of
      await offer(signal);
      fault.show([e.what, e.why], () => h("div", { class: "notice bad" }, h("strong", null, e.what), " ", e.why, " ", h("span", { class: "muted" }, e.next || ""), work.hidden ? h("p", null, h("a", { class: "back", href: `#/studies/${encodeURIComponent(uid)}` }, t("dissect.back"))) : null));
    } finally {
      if (asking.signal === signal) { clearInterval(waiting); progress.hidden = true; }
    }
  }

  // offer draws the choices of the model that was asked where it refused: another model or method may answer.
  async function offer(signal) {
    const name = q.model || models[0]?.name;
    if (!name) return;
    try {
      const of = name === network?.model ? network : await get(`/api/v1/models/${encodeURIComponent(name)}/network`, signal);
      choices.show(["refused", q, of.model], () => h("div", { class: "choices" }, ofModel(name),
        select("method", t("dissect.method"), q.method, [["", t("dissect.as-manifest")], ...of.methods.map((m) => [m.name, m.title])], (v) => choose({ method: v }))));
    } catch { // what is refused is said all the same
      choices.show(["refused", q], () => h("div", { class: "choices" }, ofModel(name)));
    }
  }

  const ofModel = (name) => models.length > 1 ? select("model", t("study.model"), name, models.map((m) => [m.name, `${m.name} ${m.version}`]), (v) => choose({ model: v })) : null;

  function choose(choice) {
    const other = choice.model && choice.model !== (q.model || answer?.model);
    Object.assign(q, other ? { class: "", against: "", layer: "", method: "" } : {}, choice);
    if (q.against && q.against === (q.class || answer?.class)) q.against = "";
    return ask();
  }

  // link writes the view into the address.
  function link() {
    if (tried) return; // it has no address
    const { zoom, x, y } = lens.at(), p = query({ view: ui.mode === "overlay" ? "" : ui.mode, colours: ui.colours, opacity: ui.opacity < 0 ? "" : ui.opacity, wipe: ui.mode === "wipe" ? ui.wipe : "" });
    if (zoom > 1) p.set("at", [zoom, x, y].map((v) => v.toFixed(3)).join(","));
    history.replaceState(null, "", `#/frame/${[uid, sop, number].map(encodeURIComponent).join("/")}?${p}`);
  }

  const opacity = () => (ui.opacity < 0 ? Math.round(100 * palette.opacity) : ui.opacity);

  function draw() {
    if (!answer) return;
    head.show([frame?.key, answer.class, answer.against, frames.length], header);
    tools.show([ui.mode, ui.colours, palette.opacity], toolbar);
    bars.show([answer.probabilities, before?.probabilities, answer.class], probabilities);
    choices.show([q, answer.model, answer.method, network.methods.length], controls);
    network_.show([network.model, answer.layer], () => layers(network, answer.layer, (layer) => choose({ layer })));
    said.show([answer.method, answer.layer, answer.notes, answer.class, answer.against, changed()], words_);
    picture();
    lens.set(opacity() / 100, ui.wipe);
  }

  function picture() {
    const what = subject();
    const pane = (caption, of) => ({
      size: { columns: answer.map.columns, rows: answer.map.rows }, map: of?.map, plain: !of, unseen: of?.map.unseen || [], black: of === answer ? change.black : [], regions: of?.regions || [], label: t("dissect.why-map", { what }), caption,
      image: () => tried ? drawn(tried.bitmap) : h("img", { class: "plain", alt: t("viewer.source-of", { frame: frame?.label || "" }), src: `${frame?.source || `/api/v1/instances/${encodeURIComponent(sop)}/frames/${number}`}.jpg`, draggable: "false" }),
    });
    const source = pane(t("viewer.source"), null), map = pane(legend(answer), answer), first = before ? pane([t("dissect.as-it-is"), " ", legend(before)], before) : source;
    lens.show({ mode: ui.mode, colours: colours(), opacity: opacity() / 100, wipe: ui.wipe, panes: { side: [first, map], source: [source] }[ui.mode] || [map] });
  }

  const subject = () => answer.against ? t("dissect.rather", { class: worded_(answer.class), other: worded_(answer.against) }) : worded_(answer.class);

  function legend(of) {
    const m = of.map;
    return [of === answer && changed() ? `${t("dissect.what-if")} ` : "", h("strong", null, t("frame.ai")), ` · ${subject()} · ${answer.model} ${answer.version} · ${answer.title}${answer.layer ? ` ${t("map.at", { layer: answer.layer })}` : ""}`, h("br"),
      m.width ? [m.signed ? `${t("dissect.against")} ` : "0 ", scale(m, colours()), " ", m.signed ? t("dissect.for-class") : t("dissect.greatest", { max: figures(m.max) })] : t("dissect.no-map"), m.unseen.length ? ` · ${t("dissect.hatched")}` : ""];
  }

  function header() {
    if (tried) {
      return h("div", { class: "row between" }, h("div", { class: "row" }, h("h2", { class: "big" }, t("dissect.why", { what: subject() })), h("span", { class: "chip warn" }, h("span", { class: "sign", "aria-hidden": "true" }, "!"), t("frame.ai"))), h("span", { class: "muted" }, t("dissect.of-no-record", { name: tried.name })));
    }
    return h("div", { class: "frame-head" },
      h("a", { class: "back", href: `#/studies/${encodeURIComponent(uid)}${frame ? `?frame=${frame.key}` : ""}` }, t("dissect.back")),
      h("div", { class: "row between" }, h("div", { class: "row" }, h("h1", null, t("dissect.why", { what: subject() })), h("span", { class: "chip warn" }, h("span", { class: "sign", "aria-hidden": "true" }, "!"), t("frame.ai"))),
      h("div", { class: "row" }, ...[[-1, "‹", t("viewer.previous")], [1, "›", t("viewer.next")]].map(([by, sign, name]) => {
        const to = neighbour(by);
        return to ? h("a", { class: "button", href: lookInto(to, query({})), "aria-label": name }, sign) : h("span", { class: "button off", "aria-hidden": "true" }, sign);
      }), h("span", { class: "position" }, frame ? t("viewer.at", { frame: frame.label, some: frames.indexOf(frame) + 1, n: frames.length }) : t("dissect.frame", { number: String(number) })))));
  }

  const neighbour = (by) => frames.filter((f) => f.source && !f.conflict)[frames.filter((f) => f.source && !f.conflict).indexOf(frame) + by];

  function toolbar() {
    const range = (id, label, value, set) => {
      const out = h("output", { for: id }, `${value} %`);
      return h("label", { class: "slider" }, label, h("input", { type: "range", id, min: 0, max: 100, value, oninput: (e) => { out.textContent = `${e.target.value} %`; set(Number(e.target.value)); lens.set(opacity() / 100, ui.wipe); link(); } }), out);
    };
    return [
      h("div", { class: "segments", role: "group", "aria-label": t("viewer.view") }, Object.entries(modes).map(([mode, name]) => h("button", { class: "segment", id: `mode-${mode}`, "aria-pressed": String(mode === ui.mode), onclick: () => show(mode) }, name))),
      ui.mode === "source" ? null : range("opacity", t("dissect.map"), opacity(), (v) => { ui.opacity = v; }),
      ui.mode === "wipe" ? range("wipe", t("dissect.wipe"), ui.wipe, (v) => { ui.wipe = v; }) : null,
      ui.mode === "flicker" ? h("button", { class: "button", id: "swap", onclick: () => lens.swap() }, t("dissect.swap")) : null,
      select("colours", t("dissect.colours"), ui.colours, [["", t("dissect.as-sent")], ...Object.keys(palette.named).map((n) => [n, words(n)])], (v) => { ui.colours = v; link(); draw(); }),
      h("div", { class: "row tight" }, [["+", t("dissect.zoom-in"), () => lens.go(lens.at().zoom * 1.25, lens.at().x, lens.at().y)], ["−", t("dissect.zoom-out"), () => lens.go(lens.at().zoom / 1.25, lens.at().x, lens.at().y)], ["1:1", t("dissect.whole"), () => lens.go(1, 0, 0)]]
        .map(([sign, name, go]) => h("button", { class: "button", "aria-label": name, onclick: go }, sign))),
    ];
  }

  function select(id, label, value, options, set) {
    return h("label", { class: "field" }, label, h("select", { id, onchange: (e) => set(e.target.value) }, options.map(([v, text]) => h("option", { value: v, selected: v === value }, text))));
  }

  function show(mode) {
    ui.mode = mode;
    link();
    draw();
  }

  // probabilities are bars, and the choice of the class.
  function probabilities() {
    const old = (i) => before?.probabilities[i].probability;
    return [h("h2", null, t("dissect.says")), h("p", { class: "muted" }, t("dissect.choose-class"), before ? ` ${t("dissect.before")}` : ""),
      h("div", { class: "bars classes", role: "group", "aria-label": t("dissect.class") }, answer.probabilities.map((p, i) => h("button", {
        class: `class-row ${p.probability >= p.threshold ? "over finding" : ""}`, id: `class-${i + 1}`, "aria-pressed": String(p.class === answer.class), onclick: () => choose({ class: p.class }),
      }, h("span", { class: "row between" }, h("span", null, worded_(p.class)), h("span", { class: "value" }, percent(p.probability))),
      before ? h("span", { class: "was" }, t("dissect.was", { probability: percent(old(i)), change: points(p.probability - old(i)) })) : null,
      h("span", { class: "bar-track", "aria-hidden": "true" }, before ? h("span", { class: "bar-was", style: { width: `${100 * old(i)}%` } }) : null, h("span", { class: "bar-fill", style: { width: `${100 * p.probability}%` } }), h("span", { class: "mark", style: { left: `${100 * p.threshold}%` } })),
      h("span", { class: "hidden" }, `, ${t("findings.threshold", { threshold: percent(p.threshold) })}`))))];
  }

  function controls() {
    const others = answer.probabilities.map((p) => p.class).filter((c) => c !== answer.class);
    return h("div", { class: "choices" },
      ofModel(answer.model),
      select("against", t("dissect.rather-than"), q.against, [["", t("dissect.any-other")], ...others.map((c) => [c, worded_(c)])], (v) => choose({ class: q.class || answer.class, against: v })),
      select("method", t("dissect.method"), answer.method, network.methods.map((m) => [m.name, m.runs ? t("dissect.slow", { method: m.title }) : m.title]), (v) => choose({ method: v })));
  }

  // words_ say what the map shows, what it does not, and what the gateway noted.
  function words_() {
    const [does, not] = shows(answer.method);
    return [h("h2", null, t("dissect.method-shows", { method: answer.title })), h("p", null, does), h("p", null, h("strong", null, t("dissect.does-not")), ` ${not} `, t("dissect.reason")),
      h("ul", { class: "notes" }, answer.notes.map((n) => h("li", null, n))),
      tried ? null : h("div", { class: "row" }, h("button", { class: "button", id: "copy", onclick: copy }, t("dissect.copy")),
        h("a", { class: "button", id: "download", download: `explanation-${answer.class}.png`, href: "#", onclick: (e) => { e.target.href = download(); } }, t("dissect.download")), me.rights.includes("report") ? h("button", { class: "button", id: "send-map", disabled: !sendable(), onclick: sendMap }, t("dissect.send")) : null), sent.el];
  }

  const sendable = () => !changed() && answer.map.width > 0;

  // sendMap has the map as it is shown made an object for the archive, after it was asked once more.
  async function sendMap(e) {
    const what = query({ class: answer.class, method: answer.method, layer: q.layer, model: answer.model, colours: ui.colours, opacity: ui.opacity < 0 ? "" : opacity() }), about = subject(), digest = answer.digest, button = e.target;
    if (!await sure(t("dissect.send-title"), t("dissect.send-text", { what: about, model: `${answer.model} ${answer.version}`, method: answer.title }), t("dissect.send"))) return;
    const author = me.signed_in ? "" : await question(t("dissect.send-title"), t("dissect.send-who"), t("dissect.send-name"), "text");
    if (!me.signed_in && !author) return;
    button.disabled = true;
    try {
      const done = await send("POST", `${base}/map?${what}`, author ? { author, digest } : { digest });
      sent.show(done, () => h("p", { class: "notice good" }, !done.made ? t("dissect.sent-before", { what: about }) : done.held ? t("dissect.send-held", { what: about }) : !done.destinations.length ? t("dissect.send-parked", { what: about }) : t("dissect.sent", { what: about, to: done.destinations.join(", ") })));
    } catch (no) {
      sent.show([no.what, no.why], () => h("p", { class: "notice bad" }, h("strong", null, no.what), " ", no.why, " ", h("span", { class: "muted" }, no.next || "")));
    }
    button.disabled = !sendable();
  }

  const download = () => `${base}/explanation.png?${query({ class: answer.class, colours: ui.colours, opacity: opacity() })}`;

  async function copy(e) {
    try {
      await navigator.clipboard.writeText(location.href);
      e.target.textContent = t("dissect.copied");
    } catch { // no clipboard without HTTPS: the address is the link
      e.target.textContent = t("dissect.copy-yourself");
    }
  }

  // tiles are the questions whose answers stand beside each other.
  function tiles() {
    const blocks = network.layers.filter((l) => l.block), has = (m) => network.methods.some((x) => x.name === m);
    const at = network.methods.find((m) => m.name === answer.method)?.at_layer ? answer.method : "gradcam";
    const tile = (title, choice) => ({ title, choice, ask: (signal) => explanation(query({ class: answer.class, ...choice, as: "map" }), signal), image: () => tried ? drawn(tried.bitmap) : h("img", { alt: "", src: `${frame?.source}.jpg?width=480` }), colours: colours(), opacity: palette.opacity });
    return [
      { name: "methods", title: t("dissect.three"), tiles: ["gradcam", "gradient", "guided-gradcam"].filter(has).map((method) => tile({ gradcam: "Grad-CAM", gradient: t("dissect.saliency"), "guided-gradcam": "Guided Grad-CAM" }[method], { method })) },
      { name: "blocks", title: t("dissect.by-block", { method: network.methods.find((m) => m.name === at)?.title || at }), tiles: has(at) ? blocks.map((l) => tile(t("dissect.layer-of", { name: l.name, size: `${l.columns}×${l.rows}`, n: l.channels }), { method: at, layer: l.name })) : [] },
    ];
  }

  // key is what the lens does not do itself.
  function key(e) {
    const cycle = (list, now, by) => list[(list.indexOf(now) + by + list.length) % list.length], back = e.shiftKey ? -1 : 1;
    const does = {
      ArrowLeft: () => leave(-1), ArrowRight: () => leave(1), v: () => show(cycle(Object.keys(modes), ui.mode, back)), m: () => choose({ method: cycle(network.methods.filter((x) => !x.runs).map((x) => x.name), answer.method, back) }),
      l: () => choose({ layer: cycle(network.layers.map((x) => x.name), answer.layer, back) }), c: () => { ui.colours = cycle(["", ...Object.keys(palette.named)], ui.colours, back); link(); draw(); },
      x: () => answer.against && choose({ class: answer.against, against: answer.class }), "[": () => more_(-5), "]": () => more_(5), b: () => experiment.draw(), d: () => document.getElementById("download")?.click(),
    }[e.key.length === 1 ? e.key.toLowerCase() : e.key];
    const n = Number(e.key) && answer?.probabilities[Number(e.key) - 1];
    if (!answer || (!does && !n)) return;
    e.preventDefault();
    if (n) choose({ class: n.class });
    else does();
  }

  function more_(by) {
    ui.opacity = Math.min(100, Math.max(0, opacity() + by));
    const s = document.getElementById("opacity");
    if (s) { s.value = ui.opacity; s.nextSibling.textContent = `${ui.opacity} %`; }
    lens.set(opacity() / 100, ui.wipe);
    link();
  }

  function leave(by) {
    const to = neighbour(by);
    if (to) location.hash = lookInto(to, query({}));
  }

  const work = h("div", { hidden: true }, // until it is known of what
    h("div", { class: "dissecting" },
      h("section", { class: "viewer", "aria-label": t("viewer.frame") }, tools.el, lens.el, h("div", { class: "under" }, reading, progress),
        h("p", { class: "muted keys", id: "lens-keys" }, t("dissect.keys"))),
      h("aside", { class: "panel", tabindex: 0, "aria-label": t("dissect.choices") }, bars.el, choices.el, network_.el, said.el)),
    h("div", { class: "columns" }, experiment.el, tried ? null : worth.el), more.el);

  return {
    title: () => answer ? t("dissect.why", { what: subject() }) : t("viewer.frame"),
    interval: () => 60000, // until it is answered
    stop: () => { asking?.abort(); clearInterval(waiting); lens.stop(); more.stop(); worth.stop(); experiment.stop(); },
    el: h("div", { class: "dissect" }, head.el, fault.el, work),
    async read(signal) {
      if (answer) return;
      const [m, who, s] = await Promise.all([get("/api/v1/models", signal), get("/api/v1/me", signal), tried ? null : get(`/api/v1/studies/${encodeURIComponent(uid)}?limit=1000`, signal)]);
      ({ models, palette } = m);
      me = who;
      frames = s ? framesOf(s) : [];
      beyond = s ? s.instance_count - s.instances.length : 0;
      frame = frames.find((f) => f.instance === sop && f.number === number);
      if (!q.model && models.length > 1) q.model = (models.find((m) => frame?.analyses.some((a) => a.model === m.name)) || models[0]).name;
      const [zoom, x, y] = (params.get("at") || "").split(",").map(Number);
      work.hidden = false;
      await ask();
      if (zoom > 1) lens.go(zoom, x || 0, y || 0);
      if (document.activeElement === document.getElementById("main") || document.activeElement === document.body) lens.el.focus({ preventScroll: true });
    },
  };
}

// drawn is a bitmap as an element.
function drawn(bitmap) {
  const canvas = h("canvas", { class: "plain", width: bitmap.width, height: bitmap.height, role: "img", "aria-label": t("dissect.picture") });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  return canvas;
}

const within = (text, absent) => (text !== null && text !== "" && Number(text) >= 0 && Number(text) <= 100 ? Number(text) : absent);
