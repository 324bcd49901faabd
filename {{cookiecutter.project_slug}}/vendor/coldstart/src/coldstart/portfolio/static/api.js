// In place of the API: the model itself where the browser runs it, or else predictions that were
// recorded when this page was made.

import { certain } from "./certainty.js";

const RECORDED = "Your browser does not run the model, so this page shows recorded predictions. You can change one field at a time of each example below, to a recorded value.";
let recorded, live;

// What lies beside this page has the addresses that it has in the API.
const load = async (path) => {
  const found = await fetch(`page/${path}`);
  if (!found.ok) throw new Error(`${path} is missing`);
  return found;
};

export async function get(path, options = {}) {
  if (path.startsWith("plots") || path === "card") return load(path);
  recorded ??= await (await load("recorded.json")).json();
  if (recorded.live) live ??= import("./live.js").then(({ start }) => start(load)).catch(withoutModel);
  const model = await live;
  if (path === "about") return new Response(JSON.stringify((model ?? recorded).about));
  const row = JSON.parse(options.body);
  return new Response(JSON.stringify(model ? await model.explain(row) : explain(row)));
}

function withoutModel() {
  document.getElementById("served").textContent = RECORDED;
}

function explain(row) {
  const names = recorded.about.columns.map(({ name }) => name);
  const near = recorded.rows.map((own, at) => ({ at, other: names.filter((name) => own[name] !== row[name]) }));
  for (const { at, other } of near) {
    const { own, changed } = recorded.explanations[at];
    if (!other.length) return whole(own, names);
    const found = other.length === 1 && changed[other[0]]?.find(([value]) => value === row[other[0]]);
    if (found) return whole(found[1], names);
  }
  const one = near.find(({ other }) => other.length === 1);
  if (!one) throw new Error("this page has recorded predictions for one change at a time. To start again, choose an example or reload the page. To predict any input, run make serve in the project.");
  const [name] = one.other;
  const values = (recorded.explanations[one.at].changed[name] ?? []).map(([value]) => value ?? "unknown");
  const there = values.length ? `for these values: ${values.join(", ")}` : "for one value";
  throw new Error(`${name.replaceAll("_", " ")} was recorded ${there}.`);
}

// An explanation as the API returns it; see `shortened` in _recording.py.
function whole([values, label, place, below, by], names) {
  const { about, references, reference_rows: rows } = recorded;
  const { classes, target, fingerprint } = about;
  const prediction = classes.length
    ? { label: classes[label], probability: values[label], probabilities: Object.fromEntries(classes.map((name, i) => [name, values[i]])) }
    : { value: values[0] };
  const explanation = { prediction: certain(about, prediction), fingerprint, subject: classes[place] ?? target, value: values[place] };
  if (!by.length) return explanation;
  const by_feature = Object.fromEntries(names.map((name, i) => [name, by[i]]));
  return { ...explanation, reference: { ...references[place], below }, contributions: { rows, by_feature } };
}
