// Elements are built, never parsed: text from DICOM or HL7 becomes a text node whatever it holds.
import { t } from "./words.js";

const svgNS = "http://www.w3.org/2000/svg";

function fill(el, props, children) {
  for (const [key, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) el.addEventListener(key.slice(2), value);
    else if (key === "style") for (const [k, v] of Object.entries(value)) el.style.setProperty(k, v);
    else if (key === "value" || key === "checked" || key === "disabled" || key === "selected") el[key] = value;
    else el.setAttribute(key, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    el.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return el;
}

export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);
export const svg = (tag, props, ...children) => fill(document.createElementNS(svgNS, tag), props, children);

// A slot keeps its element and rebuilds its content only when what it shows has changed, so that polling
// moves no focus, resets no slider and loads no image again.
export function slot(tag, props) {
  const el = h(tag, props);
  let shown;
  return {
    el,
    show(data, build) {
      const now = JSON.stringify(data);
      if (now === shown) return;
      shown = now;
      const focused = el.contains(document.activeElement) ? document.activeElement.id : "";
      el.replaceChildren(...[build()].flat(Infinity).filter(Boolean));
      if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    },
  };
}

// asking says that a modal is open: what asks meanwhile is a second click on what has asked, and is answered as if it were not meant.
export const asking = () => !!document.querySelector("dialog[open]");

// question shows a modal with one field and resolves to what was written; to nothing where it was not.
export function question(title, text, label, type) {
  if (asking()) return Promise.resolve("");
  return new Promise((resolve) => {
    const field = h("input", { id: "dialog-field", type, required: true, maxlength: 256, autocomplete: type === "password" ? "current-password" : "off" });
    const dialog = h("dialog", { class: "dialog", "aria-labelledby": "dialog-title" },
      h("form", { method: "dialog" }, h("h2", { id: "dialog-title" }, title), h("p", null, text), h("label", { for: "dialog-field" }, label), field,
        h("div", { class: "row end" },
          h("button", { class: "button", type: "button", onclick: () => dialog.close("") }, t("frame.cancel")),
          h("button", { class: "button primary", id: "dialog-yes", value: "yes" }, t("frame.go-on")))));
    dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue === "yes" ? field.value : ""); });
    document.body.append(dialog);
    dialog.showModal();
    field.focus();
  });
}

// ask shows a modal question and resolves to whether it was confirmed.
export function ask(title, text, yes) {
  if (asking()) return Promise.resolve(false);
  return new Promise((resolve) => {
    const dialog = h("dialog", { class: "dialog", "aria-labelledby": "dialog-title" },
      h("h2", { id: "dialog-title" }, title), h("p", null, text),
      h("div", { class: "row end" },
        h("button", { class: "button", onclick: () => dialog.close("no") }, t("frame.cancel")),
        h("button", { class: "button danger", onclick: () => dialog.close("yes") }, yes)));
    dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue === "yes"); });
    document.body.append(dialog);
    dialog.showModal();
  });
}
