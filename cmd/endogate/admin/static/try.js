// Try an image: a file that is part of no record, looked into as a frame is. The gateway keeps nothing of it, nor does the browser.
import { tryPicture } from "./api.js";
import { h, slot } from "./dom.js";
import { frameView } from "./dissect.js";
import { t } from "./words.js";

const most = 32 << 20; // bytes, as the gateway takes

export function tryView() {
  let inner;
  const fault = slot("div", { role: "alert" }), place = h("div"), status = h("p", { class: "muted", role: "status" });
  const field = h("input", { type: "file", id: "file", accept: ".png,.jpg,.jpeg,.dcm,image/png,image/jpeg,application/dicom", onchange: () => take(field.files[0]) });
  const drop = h("div", { class: "drop", ondragover: (e) => { e.preventDefault(); drop.classList.add("over"); }, ondragleave: () => drop.classList.remove("over"),
    ondrop: (e) => { e.preventDefault(); drop.classList.remove("over"); take(e.dataTransfer.files[0]); } },
  h("p", null, t("try.drop")), h("label", { for: "file" }, t("try.file")), field, status);

  async function take(file) {
    if (!file) return;
    inner?.stop();
    place.replaceChildren();
    fault.show(null, () => []);
    if (file.size > most) return fault.show(file.name, () => h("div", { class: "notice bad" }, h("strong", null, t("try.too-large")), " ", t("try.most")));
    status.textContent = t("try.reading");
    try {
      const bitmap = await tryPicture(file);
      inner = frameView({ uid: "", sop: "", number: 1, params: new URLSearchParams(), tried: { file, bitmap, name: file.name } });
      place.replaceChildren(inner.el);
      await inner.read();
      status.textContent = "";
    } catch (e) {
      status.textContent = "";
      fault.show([file.name, e.why], () => h("div", { class: "notice bad" }, h("strong", null, e.what || t("try.unread")), " ", e.why));
    }
  }

  return {
    title: () => t("studies.try"), interval: () => 60000, stop: () => inner?.stop(), read: async () => {},
    el: h("div", null, h("p", { class: "back" }, h("a", { href: "#/studies" }, t("frame.back-to-studies"))), h("div", { class: "head" }, h("h1", null, t("studies.try")), h("p", { class: "muted" }, t("try.what"))), drop, fault.el, place),
  };
}
