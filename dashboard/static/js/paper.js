// What paper has beside the page: when it was last brought up to date. A screen has that in its first line.

import { el, say } from "./dom.js";
import { watch } from "./loop.js";
import { moment, t } from "./words.js";

const line = el("p", { class: "paper" });
document.querySelector("footer").append(line);

watch(({ at }) => {
  if (at) say(line, t("paper.updated", { time: moment(new Date(at).toISOString()) }));
});
