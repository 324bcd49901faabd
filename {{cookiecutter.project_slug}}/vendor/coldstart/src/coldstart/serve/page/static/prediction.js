// The prediction, where it lies among others, and what each feature contributes to it.

import { inWords as certaintyInWords } from "./certainty.js";
import { make, shown } from "./form.js";

const FEW = 8;
const percent = (share) => `${(100 * share).toFixed(share > 0.1 && share < 0.9 ? 0 : 1)}%`;
const draw = (tag, attributes) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

// A short description of a column is its name in words.
export const inWords = ({ name, description }) =>
  (description && description.length < 60 ? description : name.replaceAll("_", " "));
// A class as the contract's labels have it, a number with its unit.
export const valueText = ({ labels, unit }, value) =>
  (typeof value === "number" ? `${shown(value)} ${unit}`.trim() : labels[value] ?? value);

export function headline(about, prediction) {
  const { label, value, probability } = prediction;
  const certainty = certaintyInWords(prediction, (one) => valueText(about, one));
  return [
    inWords({ name: about.target, description: about.description }),
    make("strong", {}, valueText(about, label ?? value)),
    label === undefined ? "" : `Probability ${percent(probability)}`,
    certainty && make("div", { class: "note" }, certainty),
  ];
}

function distribution(about, { subject, value, reference, prediction }) {
  const { classes, threshold } = about;
  const { low, high, counts, mean, below, rows } = reference;
  const show = (number) => (classes.length ? percent(number) : valueText(about, number));
  const what = classes.length ? `probability of “${valueText(about, subject)}”` : "prediction";
  // What is beyond the others is shown there, unless that would leave them no room.
  const width = high - low || 1, top = low + width;
  const first = Math.max(Math.min(low, value), low - width), last = Math.min(Math.max(top, value), top + width);
  const at = (number) => 300 * Math.min(1, Math.max(0, (number - first) / (last - first)));
  const most = Math.max(...counts);
  const text = `The ${what} is ${show(value)}: higher than for ${percent(below)} of ${shown(rows)} training rows. `
    + `Their mean is ${show(mean)}.`;
  const picture = draw("svg", { viewBox: "0 0 300 100", preserveAspectRatio: "none", role: "img", "aria-label": `Histogram. ${text}` });
  if (typeof prediction.low === "number")
    picture.append(draw("rect", { class: "interval", x: at(prediction.low), width: at(prediction.high) - at(prediction.low), y: 0, height: 98 }));
  counts.forEach((count, i) => {
    const height = count ? Math.max(2, (90 * count) / most) : 0;
    const [x, end] = [i, i + 1].map((bin) => at(low + (width * bin) / counts.length));
    picture.append(draw("rect", { class: "bar", x: x + 0.5, width: end - x - 1, y: 98 - height, height }));
  });
  const upright = (kind, x) => draw("line", { class: kind, x1: x, x2: x, y1: 0, y2: 98 });
  picture.append(draw("line", { class: "floor", x1: 0, x2: 300, y1: 98, y2: 98 }));
  if (threshold !== null) picture.append(upright("limit", at(threshold)));
  picture.append(upright("here", Math.min(299, Math.max(1, at(value)))));
  const band = picture.querySelector(".interval") ? " The prediction interval is shaded." : "";
  const limit = threshold === null ? "" : ` The dashed line is the decision threshold, ${percent(threshold)}.`;
  return make("section", {}, make("h2", {}, "Compared with training rows"), picture,
    make("div", { class: "scale" }, make("span", {}, show(first)), make("span", {}, show(last === top ? high : last))),
    make("p", { class: "note" }, text + band + limit));
}

// Formats numbers of which the largest is this, to four digits of it.
function alike(largest) {
  const tens = Math.floor(Math.log10(largest));
  if (tens > 5 || tens < -3) return new Intl.NumberFormat("en", { notation: tens > 5 ? "compact" : "scientific", maximumSignificantDigits: 3 });
  const decimals = Math.max(0, 3 - tens);
  return new Intl.NumberFormat("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

function contributionList(about, { subject, contributions }, open) {
  const { classes, unit } = about;
  const sorted = Object.entries(contributions.by_feature).sort(([, a], [, b]) => Math.abs(b) - Math.abs(a));
  const most = Math.abs(sorted[0][1]) || 1;
  const digits = alike(most);
  const words = Object.fromEntries(about.columns.map((column) => [column.name, inWords(column)]));
  const line = ([name, by]) => {
    const bar = make("i", { class: by < 0 ? "down" : "" });
    const width = (50 * Math.abs(by)) / most;
    bar.style.width = `${width}%`;
    bar.style.left = `${by < 0 ? 50 - width : 50}%`;
    const number = classes.length ? Math.abs(100 * by).toFixed(1) : digits.format(Math.abs(by));
    const sign = Number(number.replaceAll(",", "")) === 0 ? "" : by < 0 ? "−" : "+";
    return make("li", {}, make("span", {}, words[name]),
      make("span", { class: "track", "aria-hidden": "true" }, bar), make("span", {}, sign + number));
  };
  const section = make("section", {}, make("h2", {}, "Feature contributions"),
    make("ul", { class: "contributions" }, ...sorted.slice(0, FEW).map(line)));
  if (sorted.length > FEW)
    section.append(make("details", { open }, make("summary", {}, `${sorted.length - FEW} smaller contributions`),
      make("ul", { class: "contributions" }, ...sorted.slice(FEW).map(line))));
  const what = classes.length ? `the probability of “${valueText(about, subject)}”` : "the prediction";
  const inUnits = classes.length ? ", in percentage points" : unit ? `, in ${unit}` : "";
  section.append(make("p", { class: "note" }, `A bar is ${what} minus its mean when this feature alone takes the values of `
    + `${contributions.rows} training rows${inUnits}. Features also interact, so the bars need not add up.`));
  return section;
}

function topClasses(about, { probabilities }) {
  const top = Object.entries(probabilities).sort(([, a], [, b]) => b - a).slice(0, 5);
  return make("section", {}, make("h2", {}, "Most probable classes"), make("ul", { class: "contributions classes" }, ...top.map(([label, share]) => {
    const bar = make("i");
    bar.style.left = 0;
    bar.style.width = `${100 * share}%`;
    return make("li", {}, make("span", {}, valueText(about, label)), make("span", { class: "track whole", "aria-hidden": "true" }, bar), make("span", {}, percent(share)));
  })));
}

export function explain(place, about, explanation) {
  const parts = [];
  if (about.classes.length > 2) parts.push(topClasses(about, explanation.prediction));
  if (explanation.reference)
    parts.push(distribution(about, explanation), contributionList(about, explanation, place.querySelector("details")?.open ?? false));
  place.replaceChildren(...parts);
  place.hidden = !parts.length;
}
