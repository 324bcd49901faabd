// In the place of the API: answers that it gave when this page was made.

let recorded;

// What lies beside this page has the addresses that it has in the API.
const load = async (path) => {
  const found = await fetch(`page/${path}`);
  if (!found.ok) throw new Error(`${path} is missing`);
  return found;
};

export async function get(path, options = {}) {
  if (!path.startsWith("plots") && path !== "card") recorded ??= await (await load("recorded.json")).json();
  if (path === "about") return new Response(JSON.stringify(recorded.about));
  if (path !== "explain") return load(path);
  return new Response(JSON.stringify(answer(JSON.parse(options.body))));
}

function answer(row) {
  const names = recorded.about.columns.map(({ name }) => name);
  const near = recorded.rows.map((own, at) => ({ at, other: names.filter((name) => own[name] !== row[name]) }));
  for (const { at, other } of near) {
    const { own, changed } = recorded.answers[at];
    if (!other.length) return whole(own, names);
    const found = other.length === 1 && changed[other[0]]?.find(([value]) => value === row[other[0]]);
    if (found) return whole(found[1], names);
  }
  const one = near.find(({ other }) => other.length === 1);
  if (!one) throw new Error("recorded for one change at a time. Choose a row (or reload the page) to begin again; of the project itself, make serve answers everything.");
  const [name] = one.other;
  const values = (recorded.answers[one.at].changed[name] ?? []).map(([value]) => value ?? "unknown");
  const there = values.length ? `for these values: ${values.join(", ")}` : "for one value";
  throw new Error(`${name.replaceAll("_", " ")} was recorded ${there}.`);
}

// An answer as the API writes it; see shortened in recording.py.
function whole([values, label, place, below, by], names) {
  const { about: { classes, target, seal }, references, moved } = recorded;
  const prediction = classes.length
    ? { label: classes[label], probability: values[label], probabilities: Object.fromEntries(classes.map((name, i) => [name, values[i]])) }
    : { value: values[0] };
  const told = { prediction, seal, subject: classes[place] ?? target, value: values[place] };
  if (!by.length) return told;
  return { ...told, reference: { ...references[place], below }, moved: { rows: moved, by: Object.fromEntries(names.map((name, i) => [name, by[i]])) } };
}
