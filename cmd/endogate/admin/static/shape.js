// A frame whose pixels are not square comes in square ones, wider or higher than its columns and rows; what is laid over it is in its own pixels.
import { svg } from "./dom.js";

// shaped gives what lies over the picture that is the first in a stack the picture's shape, as soon as that is known, and calls then with
// by how much it is wider than its columns and rows are: only where it is.
export function shaped(stack, size, then) {
  const picture = stack.firstElementChild;
  if (!picture || !size?.columns) return;
  const known = () => {
    const wide = (picture.naturalWidth || picture.width) * size.rows / ((picture.naturalHeight || picture.height) * size.columns);
    if (!(Math.abs(wide - 1) > 0.01)) return;
    for (const over of [...stack.children].slice(1)) over instanceof SVGElement ? widened(over, size, wide) : stretched(over, wide);
    then?.(wide);
  };
  if (picture.tagName === "IMG" && !(picture.complete && picture.naturalWidth)) picture.addEventListener("load", known, { once: true });
  else known();
}

// sides are by how much it is wider and higher.
export const sides = (wide = 1) => [Math.max(1, wide), Math.max(1, 1 / wide)];

// widened has marks, which are in the frame's own pixels, drawn in the picture's.
export function widened(marks, { columns, rows }, wide) {
  const [x, y] = sides(wide), all = svg("g", { transform: `scale(${x} ${y})` });
  all.append(...marks.childNodes);
  marks.append(all);
  marks.setAttribute("viewBox", `0 0 ${columns * x} ${rows * y}`);
}

function stretched(canvas, wide) {
  const [x, y] = sides(wide), before = canvas.cloneNode();
  before.getContext("2d").drawImage(canvas, 0, 0);
  [canvas.width, canvas.height] = [Math.round(canvas.width * x), Math.round(canvas.height * y)];
  canvas.getContext("2d").drawImage(before, 0, 0, canvas.width, canvas.height);
}
