// Small charts of an hour, drawn as SVG: a line with gaps where nothing is known.

import { svg } from "./dom.js";

const WIDTH = 96;
const HEIGHT = 20;

/** The path of some values between 0 and `most`. */
function path(values, most) {
  const step = WIDTH / Math.max(values.length - 1, 1);
  let pen = "M";
  let text = "";
  values.forEach((value, index) => {
    if (value === null) {
      pen = "M";
      return;
    }
    const y = HEIGHT - 1 - (Math.min(value, most) / most) * (HEIGHT - 2);
    text += `${pen}${(index * step).toFixed(1)} ${y.toFixed(1)}`;
    const alone = pen === "M" && (values[index + 1] ?? null) === null;
    if (alone) text += "m-1 0h2"; // a line needs two
    pen = "L";
  });
  return text;
}

/** A chart; the words say what a picture cannot to those who do not see it. */
export function spark(words) {
  const title = svg("title", {}, words);
  return svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", preserveAspectRatio: "none" }, title, svg("path", {}));
}

// What is hardly anything looks like hardly anything.
const LEAST_TOP = 20;

/** Draws percentages into it; the greatest is at its top. */
export function draw(chart, values) {
  const line = path(values, Math.max(LEAST_TOP, ...values));
  const drawn = chart.lastChild;
  if (drawn.getAttribute("d") !== line) drawn.setAttribute("d", line);
}
