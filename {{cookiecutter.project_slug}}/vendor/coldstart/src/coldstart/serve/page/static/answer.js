// The answer: what is said, where it lies among others, and what moved it.

import { make, shown } from "./form.js";

const FEW = 8;
const percent = (share) => `${(100 * share).toFixed(share > 0.1 && share < 0.9 ? 0 : 1)}\u00a0%`;
const draw = (tag, attributes) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

export const said = ({ classes, target, unit }, prediction) => [
  `${target} `,
  make("strong", {}, classes.length ? prediction.label : `${shown(prediction.value)} ${unit}`),
  classes.length ? `with a probability of ${percent(prediction.probability)}` : "",
];

function others({ classes, threshold, unit }, { subject, value, reference }) {
  const { low, high, counts, mean, below, rows } = reference;
  const show = (number) => (classes.length ? percent(number) : `${shown(number)} ${unit}`);
  const what = classes.length ? `probability of ${subject}` : subject;
  // What is beyond the others is shown there, unless that would leave them no room.
  const width = high - low || 1, top = low + width;
  const first = Math.max(Math.min(low, value), low - width), last = Math.min(Math.max(top, value), top + width);
  const at = (number) => 300 * Math.min(1, Math.max(0, (number - first) / (last - first)));
  const most = Math.max(...counts);
  const told = `The ${what} is ${show(value)}: higher than for ${percent(below)} of ${shown(rows)} rows `
    + `that the model learned from, whose mean is ${show(mean)}.`;
  const picture = draw("svg", { viewBox: "0 0 300 100", preserveAspectRatio: "none", role: "img", "aria-label": `Histogram. ${told}` });
  counts.forEach((count, i) => {
    const height = count ? Math.max(2, (90 * count) / most) : 0;
    const [x, end] = [i, i + 1].map((bin) => at(low + (width * bin) / counts.length));
    picture.append(draw("rect", { class: "bar", x: x + 0.5, width: end - x - 1, y: 98 - height, height }));
  });
  const upright = (kind, x) => draw("line", { class: kind, x1: x, x2: x, y1: 0, y2: 98 });
  picture.append(draw("line", { class: "floor", x1: 0, x2: 300, y1: 98, y2: 98 }));
  if (threshold !== null) picture.append(upright("limit", at(threshold)));
  picture.append(upright("here", Math.min(299, Math.max(1, at(value)))));
  const limit = threshold === null ? "" : ` From ${percent(threshold)} on (dashed) the answer is ${subject}.`;
  return make("section", {}, make("h2", {}, "Among others"), picture,
    make("div", { class: "scale" }, make("span", {}, show(first)), make("span", {}, show(last === top ? high : last))),
    make("p", { class: "note" }, told + limit));
}

// Formats numbers of which the largest is this, to four digits of it.
function alike(largest) {
  const tens = Math.floor(Math.log10(largest));
  if (tens > 5 || tens < -3) return new Intl.NumberFormat("en", { notation: tens > 5 ? "compact" : "scientific", maximumSignificantDigits: 3 });
  const decimals = Math.max(0, 3 - tens);
  return new Intl.NumberFormat("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

function moves({ classes, unit }, { subject, moved }, open) {
  const sorted = Object.entries(moved.by).sort(([, a], [, b]) => Math.abs(b) - Math.abs(a));
  const most = Math.abs(sorted[0][1]) || 1;
  const digits = alike(most);
  const line = ([name, by]) => {
    const bar = make("i", { class: by < 0 ? "down" : "" });
    const width = (50 * Math.abs(by)) / most;
    bar.style.width = `${width}%`;
    bar.style.left = `${by < 0 ? 50 - width : 50}%`;
    const number = classes.length ? Math.abs(100 * by).toFixed(1) : digits.format(Math.abs(by));
    const sign = Number(number.replaceAll(",", "")) === 0 ? "" : by < 0 ? "−" : "+";
    return make("li", {}, make("span", {}, name.replaceAll("_", " ")),
      make("span", { class: "track", "aria-hidden": "true" }, bar), make("span", {}, sign + number));
  };
  const section = make("section", {}, make("h2", {}, "What moved it"),
    make("ul", { class: "moved" }, ...sorted.slice(0, FEW).map(line)));
  if (sorted.length > FEW)
    section.append(make("details", { open }, make("summary", {}, `${sorted.length - FEW} that moved it less`),
      make("ul", { class: "moved" }, ...sorted.slice(FEW).map(line))));
  const what = classes.length ? `the probability of ${subject}, in percentage points` : `${subject}${unit ? `, in ${unit}` : ""}`;
  section.append(make("p", { class: "note" }, `How far ${what}, is above or below its mean when this input alone is, `
    + `in turn, that of ${moved.rows} rows the model learned from. What inputs do together is not in it, so the bars need not add up.`));
  return section;
}

function chances({ probabilities }) {
  const likeliest = Object.entries(probabilities).sort(([, a], [, b]) => b - a).slice(0, 5);
  return make("section", {}, make("h2", {}, "The likeliest"), make("ul", { class: "moved" }, ...likeliest.map(([label, share]) => {
    const bar = make("i");
    bar.style.left = 0;
    bar.style.width = `${100 * share}%`;
    return make("li", {}, make("span", {}, label), make("span", { class: "track whole", "aria-hidden": "true" }, bar), make("span", {}, percent(share)));
  })));
}

export function why(place, about, answer) {
  const parts = [];
  if (about.classes.length > 2) parts.push(chances(answer.prediction));
  if (answer.reference) parts.push(others(about, answer), moves(about, answer, place.querySelector("details")?.open ?? false));
  place.replaceChildren(...parts);
  place.hidden = !parts.length;
}
