// What if the frame were another: parts made black, the dark border cut off; on this frame, and on all of the study. Nothing of it is kept.
import { h, slot } from "./dom.js";
import { decimal, percent, thead } from "./format.js";
import { overlayText } from "./overlaytext.js";
import { named, t } from "./words.js";

const most = 16; // boxes of a question

// whatIf returns the card. changed(change) is called with another change, drawing(wanted) when boxes are to be drawn; source() is the
// frame's picture, frames() are those of the study, beyond() the instances that are none of them, and ask(frame, change) what the network says of one.
export function whatIf({ changed, drawing, source, frames, beyond, ask, worded }) {
  let run = 0, change = { black: [], border: "" }, size = { columns: 1, rows: 1 }, draws = false, running, done = [], of = 0, tried = "";
  const list = slot("div"), outcome = slot("div", { role: "status" }), note = h("p", { class: "muted" });
  const pen = h("button", { class: "button", id: "draw-box", "aria-pressed": "false", onclick: () => draw(!draws) }, t("whatif.draw"));
  const border = h("input", { type: "checkbox", id: "crop-border", onchange: () => set({ border: border.checked ? "crop" : "" }) });
  const edges = ["left", "top", "right", "bottom"].map((edge) => h("input", { type: "number", id: `box-${edge}`, min: 0, required: true }));
  const text = h("button", { class: "button", id: "find-text", onclick: () => {
    const found = overlayText(source(), size);
    note.textContent = found.length ? t("whatif.text-found", { n: found.length }) : t("whatif.text-none");
    if (found.length) set({ black: [...change.black, ...found].slice(0, most) });
  } }, t("whatif.text"));
  const all = h("button", { class: "button primary", id: "try-all", onclick: tryAll }, t("whatif.all"));

  const active = () => change.black.length > 0 || change.border !== "";

  function set(part) {
    changed({ ...change, ...part });
  }

  function draw(wanted) {
    draws = wanted;
    pen.setAttribute("aria-pressed", String(wanted));
    drawing(wanted);
  }

  function show() {
    border.checked = change.border === "crop";
    all.disabled = !active();
    all.hidden = frames().length < 2;
    list.show(change, () => [
      change.black.length ? h("ul", { class: "boxes" }, change.black.map((box, i) => h("li", null, t("whatif.black", { left: box[0], right: box[2], top: box[1], bottom: box[3] }), " ",
        h("button", { class: "button small", onclick: () => set({ black: change.black.filter((_, j) => j !== i) }) }, t("whatif.remove", { n: i + 1 }))))) : null,
      active() ? h("button", { class: "button", id: "as-it-was", onclick: () => set({ black: [], border: "" }) }, t("whatif.as-it-was")) : h("p", { class: "muted" }, t("whatif.unchanged"))]);
    outcome.show([run, done.length, change, Boolean(running)], results); // rows are added alone: what they say need not be compared
  }

  // tryAll asks of every frame with the change and without, two at a time.
  async function tryAll() {
    running?.abort();
    running = new AbortController();
    const { signal } = running, waiting = frames().map((frame, at) => ({ frame, at })), share = { ...change, black: change.black.map((b) => [...b]) };
    const every = waiting.length;
    run++;
    done = [];
    of = every;
    tried = JSON.stringify(change);
    const work = async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        try {
          const [before, after] = [await ask(next.frame, null, signal), await ask(next.frame, scaled(share, next.frame), signal)];
          done.push({ ...next, before: before.probabilities, after: after.probabilities });
        } catch (e) {
          if (e.name === "AbortError") return;
          done.push({ ...next, fault: e.why || e.what });
        }
        show();
      }
    };
    show();
    await Promise.all([work(), work()]);
    if (running?.signal === signal) running = null;
    show();
  }

  // scaled brings boxes to a frame of another size.
  function scaled({ black, border }, frame) {
    const a = frame.analyses.find((x) => x.columns), x = a ? a.columns / size.columns : 1, y = a ? a.rows / size.rows : 1;
    return { border, black: black.map(([l, t, r, b]) => [Math.floor(l * x), Math.floor(t * y), Math.max(Math.round(r * x), Math.floor(l * x) + 1), Math.max(Math.round(b * y), Math.floor(t * y) + 1)]) };
  }

  function results() {
    if (!of) return null;
    const over = (list) => list.filter((p) => p.probability >= p.threshold).map((p) => p.class), rows = [...done].sort((a, b) => a.at - b.at), good = rows.filter((r) => !r.fault);
    const classes = [...new Set(good.flatMap((r) => [...over(r.before), ...over(r.after)]))];
    const count = (which, c) => good.filter((r) => over(r[which]).includes(c)).length;
    return [
      running ? h("div", { class: "computing" }, h("progress", { value: done.length, max: of, "aria-label": t("whatif.tried") }), t("whatif.progress", { some: done.length, n: of }), " ", h("button", { class: "button small", id: "stop-all", onclick: () => { running.abort(); running = null; show(); } }, t("whatif.stop"))) : null,
      h("p", null, tried !== JSON.stringify(change) ? h("span", { class: "muted" }, t("whatif.of-before"), " ") : null, classes.length ? classes.map((c) => h("span", { class: "count-change" }, h("strong", null, worded(c)), " ", t("whatif.count", { n: count("before", c), after: count("after", c) }), " ")) : running ? "" : t("whatif.no-class")),
      rows.length ? h("table", { class: "list small", id: "all-frames" }, thead(t("viewer.frame"), t("whatif.as-it-is"), t("whatif.if"), t("whatif.greatest")), h("tbody", null, rows.map((r) => {
        if (r.fault) return h("tr", null, h("th", { scope: "row" }, r.frame.label), h("td", { colspan: 3 }, t("whatif.not-tried", { why: r.fault })));
        const say = (list) => over(list).map((c) => `${worded(c)} ${percent(list.find((p) => p.class === c).probability)}`).join(", ") || t("whatif.nothing-over");
        const moved = r.before.map((p, i) => ({ class: p.class, by: r.after[i].probability - p.probability })).sort((a, b) => Math.abs(b.by) - Math.abs(a.by))[0];
        const other = over(r.before).join() !== over(r.after).join();
        return h("tr", { class: other ? "other" : "" }, h("th", { scope: "row", "data-label": t("viewer.frame") }, r.frame.label), h("td", { "data-label": t("whatif.as-it-is") }, say(r.before)),
          h("td", { "data-label": t("whatif.if") }, other ? h("strong", null, say(r.after)) : say(r.after)), h("td", { "data-label": t("whatif.greatest") }, `${worded(moved.class)} ${points(moved.by)}`));
      }))) : null,
      beyond() > 0 ? h("p", { class: "notice warn" }, t("whatif.beyond", { n: beyond() })) : null,
      h("p", { class: "muted" }, t("whatif.experiment")),
    ];
  }

  show();
  return {
    el: h("section", { class: "card", id: "what-if", "aria-labelledby": "what-if-title" }, h("h2", { id: "what-if-title" }, t("whatif.title")),
      h("p", { class: "muted" }, t("whatif.what")),
      h("div", { class: "row" }, pen, text, h("label", { class: "check" }, border, t("whatif.crop")), all), note,
      h("form", { class: "filters", onsubmit: (e) => { e.preventDefault(); add(edges.map((x) => Number(x.value))); } },
        edges.map((x) => h("label", { for: x.id }, named("edge", x.id.replace("box-", "")), x)), h("button", { class: "button" }, t("whatif.black-out"))),
      list.el, outcome.el),
    show(now, frameSize) { change = now; size = frameSize; show(); },
    add, draw: () => draw(!draws), stop() { running?.abort(); },
  };

  function add(box) {
    draw(false);
    const [left, top, right, bottom] = [Math.max(0, box[0]), Math.max(0, box[1]), Math.min(size.columns, box[2]), Math.min(size.rows, box[3])];
    if (left >= right || top >= bottom) note.textContent = t("whatif.edges", { columns: size.columns, rows: size.rows });
    else if (change.black.length >= most) note.textContent = t("whatif.most", { n: most });
    else { note.textContent = ""; set({ black: [...change.black, [left, top, right, bottom]] }); }
  }
}

// points is a change of a probability.
export const points = (by) => t("whatif.points", { change: `${by < 0 ? "−" : "+"}${decimal(Math.abs(100 * by), 1)}` });
