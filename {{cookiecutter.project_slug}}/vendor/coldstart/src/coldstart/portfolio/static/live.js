// The model itself, in the browser: encodes a row as the API does, and runs the graph. See _live.py.

import { certain } from "./certainty.js";

const LARGEST = 3.4028234663852886e38; // of float32
const WIDE = /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\u{17000}-\u{18cff}\u{1aff0}-\u{1b2ff}\u{20000}-\u{3fffd}]/u;
const DAY = 86_400_000;

const number = (value) => (value === null ? NaN : Number(value));
const functions = {
  add: (a, b) => a + b, subtract: (a, b) => a - b, multiply: (a, b) => a * b, divide: (a, b) => a / b,
  power: Math.pow, maximum: Math.max, minimum: Math.min, hypot: Math.hypot, arctan2: Math.atan2,
  negative: (a) => -a, positive: (a) => a, absolute: Math.abs, sign: Math.sign, square: (a) => a * a,
  sqrt: Math.sqrt, cbrt: Math.cbrt, floor: Math.floor, ceil: Math.ceil, exp: Math.exp, expm1: Math.expm1,
  log: Math.log, log1p: Math.log1p, log2: Math.log2, log10: Math.log10, sin: Math.sin, cos: Math.cos,
  tan: Math.tan, tanh: Math.tanh,
};

export async function start(read) {
  const [model, graph, packed, { InferenceSession, Tensor, env }] = await Promise.all([
    read("live.json").then((found) => found.json()), read("model.onnx").then((found) => found.arrayBuffer()),
    read("onnxruntime.wasm.gzip").then((found) => found.blob()), import("./onnxruntime.mjs"),
  ]);
  env.wasm.numThreads = 1;
  const plain = packed.stream().pipeThrough(new DecompressionStream("gzip"));
  env.wasm.wasmBinary = await new Response(plain).arrayBuffer();
  const session = await InferenceSession.create(graph, { executionProviders: ["wasm"] });
  const predict = async (rows) => {
    const feeds = {};
    for (const matrix of session.inputNames) {
      const width = rows[0][matrix].length, values = rows.flatMap((row) => row[matrix]);
      feeds[matrix] = matrix === "numbers"
        ? new Tensor("float32", Float32Array.from(values), [rows.length, width])
        : new Tensor("string", values, [rows.length, width]);
    }
    const { data } = (await session.run(feeds))[session.outputNames[0]];
    const width = data.length / rows.length;
    return rows.map((_, at) => Array.from(data.slice(at * width, (at + 1) * width)));
  };
  let last = Promise.resolve(); // one run at a time: a session takes no second
  const inTurn = (rows) => (last = last.catch(() => {}).then(() => predict(rows)));
  return { about: model.about, predict: inTurn, encode: (row) => encode(model, row), explain: (row) => explain(model, inTurn, row) };
}

// Texts without blanks around them; null where one is missing.
function text(value, { missing }, blanks) {
  if (value === null) return null;
  let [start, end] = [0, value.length];
  while (start < end && blanks.includes(value[start])) start += 1;
  while (end > start && blanks.includes(value[end - 1])) end -= 1;
  const stripped = value.slice(start, end);
  return missing.includes(stripped) ? null : stripped;
}

function date(value, { time, elapsed }) {
  const width = 3 + time + elapsed;
  if (value === null) return Array(width).fill(NaN);
  const [, year, month, day, hour = 0, minute = 0] = value.match(/^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d))?/);
  const days = (new Date(0).setUTCFullYear(year, month - 1, day) - Date.UTC(2000, 0, 1)) / DAY;
  const first = (new Date(0).setUTCFullYear(year, 0, 1) - Date.UTC(2000, 0, 1)) / DAY;
  const angle = (2 * Math.PI * (days - first + 1)) / 365.25;
  const parts = [Math.sin(angle), Math.cos(angle), ((((days + 5) % 7) + 7) % 7)];
  if (time) parts.push(Number(hour) + Number(minute) / 60);
  if (elapsed) parts.push(days / 365.25);
  return parts;
}

// Each word of a text and each pair of adjacent ones; see `words_and_pairs` in _text.py.
function words(value) {
  const spelled = (letter) => {
    const code = letter.codePointAt(0);
    if (code < 128) return letter;
    const name = `u${code.toString(16)}`;
    if (/\p{Lo}/u.test(letter) && WIDE.test(letter)) return ` ${name} `;
    return /[\p{L}\p{N}]/u.test(letter) ? name : /\p{So}/u.test(letter) ? ` ${name} ` : " ";
  };
  const letters = [...value.toLowerCase().replaceAll("ß", "ss").normalize("NFKD")].filter((one) => !/\p{Mn}/u.test(one));
  const found = letters.map(spelled).join("").match(/[a-z0-9]+/g) ?? [];
  const pairs = found.slice(1).map((word, at) => `${found[at]}_${word}`);
  return [...new Set([...found, ...pairs])].join(" ") || "_wordless";
}

const encoders = {
  number: (value, { sentinels }) => [value === null || sentinels.includes(value) ? NaN : value],
  boolean: (value) => [number(value)],
  date,
  category: (value, column, { blanks, missing }) => [text(value, column, blanks) ?? missing],
  text: (value, column, { blanks }) => { const found = text(value, column, blanks); return [found ? words(found) : "_missing"]; },
};

function compute(tree, columns) {
  if (!Array.isArray(tree)) return tree;
  const [name, ...parts] = tree;
  return name === "column" ? columns[parts[0]] : functions[name](...parts.map((one) => compute(one, columns)));
}

function encode(model, row) {
  const encoded = { numbers: [], strings: [] }, named = {};
  for (const column of model.features) {
    const values = encoders[column.type](row[column.name] ?? null, column, model);
    values.forEach((value, at) => { named[column.columns[at]] = value; });
    encoded[column.matrix].push(...values);
  }
  for (const tree of Object.values(model.derived)) {
    const value = compute(tree, named);
    encoded.numbers.push(isFinite(value) ? value : NaN);
  }
  encoded.numbers = encoded.numbers.map((value) => Math.fround(Math.max(-LARGEST, Math.min(LARGEST, value))));
  return encoded;
}

// What the API would refuse, as it refuses it.
function problem({ type, nullable, minimum, maximum, categories, missing }, value, blanks) {
  if (value === null) return nullable ? "" : "A value is needed";
  if (type === "number" && !Number.isFinite(value)) return "Input should be a valid number";
  if (minimum !== null && value < minimum) return `Input should be greater than or equal to ${minimum}`;
  if (maximum !== null && value > maximum) return `Input should be less than or equal to ${maximum}`;
  if (categories.length && !categories.includes(value)) return `Input should be one of ${categories.join(", ")}`;
  if (!nullable && typeof value === "string" && text(value, { missing }, blanks) === null) return "A value is needed";
  return "";
}

async function explain(model, predict, row) {
  const { about, decision: { threshold, weights }, features, others, references } = model;
  const { classes, target, fingerprint } = about;
  const problems = features.map((column) => ({ loc: ["body", column.name], msg: problem(column, row[column.name] ?? null, model.blanks) }));
  const wrong = problems.filter(({ msg }) => msg);
  if (wrong.length) throw Object.assign(new Error(""), { status: 422, problems: wrong });

  const own = encode(model, row), rows = [own];
  const places = { numbers: 0, strings: 0 };
  for (const { name, matrix, columns } of features) {
    for (const values of others[name] ?? []) {
      const changed = [...own[matrix]];
      changed.splice(places[matrix], columns.length, ...values.map((value) => value ?? NaN));
      rows.push({ ...own, [matrix]: changed });
    }
    places[matrix] += columns.length;
  }
  const found = await predict(rows);
  const shares = found[0];
  const best = (values) => values.indexOf(Math.max(...values));
  const label = threshold !== null ? Number(shares[1] >= Math.fround(threshold)) : best(weights ? shares.map((share, at) => share * weights[at]) : shares);
  const at = classes.length === 2 ? 1 : classes.length ? label : 0;
  const value = shares[at];
  const prediction = classes.length
    ? { label: classes[label], probability: shares[label], probabilities: Object.fromEntries(classes.map((name, place) => [name, shares[place]])) }
    : { value };
  const explanation = { prediction: certain(about, prediction), fingerprint, subject: classes[at] ?? target, value };
  if (references.length) {
    const { among, sorted } = references[at];
    const below = sorted.filter((one) => one < value).length + sorted.filter((one) => one === value).length / 2;
    explanation.reference = { ...among, below: below / sorted.length };
  }
  const count = Object.values(others)[0]?.length;
  if (count) {
    const mean = (start) => found.slice(start, start + count).reduce((sum, one) => sum + one[at], 0) / count;
    const by = features.map(({ name }, place) => [name, value - mean(1 + place * count)]);
    explanation.contributions = { rows: count, by_feature: Object.fromEntries(by) };
  }
  return explanation;
}
