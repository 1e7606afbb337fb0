// A live signal: its picture with the heatmap over it, what persists, and a key that captures the frame for an order.
import { get, send } from "./api.js";
import { h, slot } from "./dom.js";
import { percent } from "./format.js";
import { t } from "./words.js";

const stale = 2000; // ms without a frame after which the picture is called old

export const liveView = ({ rest, params }) => rest?.[0] ? signalView(rest[0], params) : listView();

function listView() {
  const rows = slot("div", { class: "grid" });
  return {
    title: () => t("live.signals"), interval: () => 5000,
    el: h("div", null, h("div", { class: "head" }, h("h1", null, t("live.signals"))), rows.el),
    async read(signal) {
      const { signals } = await get("/api/v1/live", signal);
      rows.show(signals, () => signals.length ? signals.map((s) => h("section", { class: "card" }, h("h2", null, h("a", { href: `#/live/${encodeURIComponent(s.name)}` }, s.name)),
        h("p", { class: "muted" }, t("live.watched", { model: s.model })), s.up ? null : h("p", { class: "wrap warn" }, t("live.gone", { why: s.why })))) : h("div", { class: "empty" }, h("p", null, t("live.none"))));
    },
  };
}

function signalView(name) {
  const path = `/api/v1/live/${encodeURIComponent(name)}`;
  const canvas = h("canvas", { class: "live-picture", role: "img", "aria-label": t("live.picture"), width: 640, height: 480 });
  const state = slot("div", { role: "status", class: "live-state" }), findings = slot("ul", { class: "live-findings" }), counts = h("p", { class: "muted" });
  const heatmap = h("input", { type: "checkbox", id: "live-heatmap", checked: true });
  const accession = h("input", { id: "live-accession", maxlength: 64, autocomplete: "off", spellcheck: "false" });
  const said = h("p", { role: "status", class: "wrap", id: "live-said" });
  let signal = null, at = 0, connected = true, drawing = false, ended = false;

  const source = new EventSource(`${path}/events`);
  source.addEventListener("open", () => { connected = true; show(); });
  source.addEventListener("error", () => { connected = false; show(); }); // it is opened again by itself, but where it was refused:
  source.addEventListener("signal", (e) => {
    signal = JSON.parse(e.data);
    if (!signal.up) accession.value = ""; // whose pictures come next need not be whose they were
    show();
  });
  source.addEventListener("frame", (e) => {
    const frame = JSON.parse(e.data);
    at = performance.now();
    findings.show(frame.findings.map((f) => [f.class, percent(f.probability)]), () => frame.findings.length
      ? frame.findings.map((f) => h("li", { class: f.role === "finding" ? "live-finding" : null }, h("strong", null, f.class), " ", percent(f.probability))) : h("li", { class: "muted" }, t("live.nothing")));
    counts.textContent = t("live.counts", { frame: frame.frame, latency: Math.round(frame.latency_ms), dropped: frame.dropped }) + (frame.discounted ? ` · ${t("live.discounted", { why: frame.discounted })}` : "");
    show();
    draw();
  });

  // draw fetches the newest picture, one at a time: a slow screen has fewer of them, and none of before.
  async function draw() {
    if (drawing || document.hidden || ended) return;
    drawing = true;
    try {
      const answer = await fetch(`${path}/picture.jpg?heatmap=${heatmap.checked ? "yes" : "no"}`, { cache: "no-store", redirect: "error" });
      if (answer.ok) {
        const bitmap = await createImageBitmap(await answer.blob());
        if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
        canvas.getContext("2d").drawImage(bitmap, 0, 0);
        canvas.dataset.frame = answer.headers.get("X-Endogate-Frame");
        bitmap.close();
      }
    } catch { /* the state says so */ }
    drawing = false;
  }

  function show() {
    const age = at ? performance.now() - at : 0, old = at && age > stale;
    const text = !connected ? t("live.reconnecting") : signal && !signal.up ? t("live.gone", { why: signal.why }) : old ? t("live.stale", { seconds: Math.round(age / 1000) }) : at ? "" : t("live.waiting");
    canvas.classList.toggle("stale", Boolean(text));
    state.show(text, () => text ? h("div", { class: "notice warn" }, text) : []);
  }
  const watch = setInterval(() => { if (source.readyState === EventSource.CLOSED && !ended) connected = false; show(); }, 1000);

  // capture takes the frame that is on the screen now, not the newest one.
  async function capture() {
    const seen = Number(canvas.dataset.frame ?? 0);
    if (!accession.value.trim()) { said.textContent = t("live.no-accession"); accession.focus(); return; }
    try {
      const made = await send("POST", `${path}/captures`, { accession: accession.value.trim(), frame: seen, author: name });
      said.textContent = t("live.captured", { frame: made.frame, accession: made.accession_number });
    } catch (e) {
      said.textContent = [e.what, e.why, e.next].filter(Boolean).join(" · ");
    }
  }
  const onKey = (e) => { if (e.key.toLowerCase() === "c" && !e.ctrlKey && !e.metaKey && !e.altKey && !e.repeat && !e.target.closest("input, button, select, textarea")) capture(); };
  document.addEventListener("keydown", onKey);

  return {
    title: () => name, interval: () => 60000, read: async () => {},
    stop() { ended = true; source.close(); clearInterval(watch); document.removeEventListener("keydown", onKey); },
    el: h("div", { class: "live" }, h("p", { class: "back" }, h("a", { href: "#/live" }, `← ${t("live.signals")}`)), h("div", { class: "head" }, h("h1", null, name)),
      h("p", { class: "live-mark" }, t("live.not-verified")), state.el, canvas,
      h("h2", null, t("live.findings")), findings.el, counts,
      h("div", { class: "row" }, h("label", { for: "live-heatmap" }, heatmap, " ", t("live.heatmap"))),
      h("form", { class: "row", onsubmit: (e) => { e.preventDefault(); capture(); } }, h("label", { for: "live-accession" }, t("live.accession")), accession, h("button", { class: "button primary", id: "live-capture" }, t("live.capture"))), said),
  };
}
