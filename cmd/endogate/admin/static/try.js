// Try an image: a file that is part of no record, looked into as a frame is. The gateway keeps nothing of it, nor does the browser.
import { tryPicture } from "./api.js";
import { h, slot } from "./dom.js";
import { frameView } from "./dissect.js";

const most = 32 << 20; // bytes, as the gateway takes

export function tryView() {
  let inner;
  const fault = slot("div", { role: "alert" }), place = h("div"), status = h("p", { class: "muted", role: "status" });
  const field = h("input", { type: "file", id: "file", accept: ".png,.jpg,.jpeg,.dcm,image/png,image/jpeg,application/dicom", onchange: () => take(field.files[0]) });
  const drop = h("div", { class: "drop", ondragover: (e) => { e.preventDefault(); drop.classList.add("over"); }, ondragleave: () => drop.classList.remove("over"),
    ondrop: (e) => { e.preventDefault(); drop.classList.remove("over"); take(e.dataTransfer.files[0]); } },
  h("p", null, "Drop a PNG, JPEG or DICOM file here, or choose one. Of several frames the first is taken."), h("label", { for: "file" }, "File"), field, status);

  async function take(file) {
    if (!file) return;
    inner?.stop();
    place.replaceChildren();
    fault.show(null, () => []);
    if (file.size > most) return fault.show(file.name, () => h("div", { class: "notice bad" }, h("strong", null, "The file is too large."), " No more than 32 MiB are taken."));
    status.textContent = "Reading …";
    try {
      const bitmap = await tryPicture(file);
      inner = frameView({ uid: "", sop: "", number: 1, params: new URLSearchParams(), tried: { file, bitmap, name: file.name } });
      place.replaceChildren(inner.el);
      await inner.read();
      status.textContent = "";
    } catch (e) {
      status.textContent = "";
      fault.show([file.name, e.why], () => h("div", { class: "notice bad" }, h("strong", null, e.what || "The file was not read"), " ", e.why));
    }
  }

  return {
    title: () => "Try an image", interval: () => 60000, stop: () => inner?.stop(), read: async () => {},
    el: h("div", null, h("p", { class: "back" }, h("a", { href: "#/studies" }, "← Studies")), h("div", { class: "head" }, h("h1", null, "Try an image"), h("p", { class: "muted" }, "What would the network say of it, and why? The file is part of no record: it is in the gateway's memory while it answers, and kept nowhere. That somebody tried one is in the audit trail.")), drop, fault.el, place),
  };
}
