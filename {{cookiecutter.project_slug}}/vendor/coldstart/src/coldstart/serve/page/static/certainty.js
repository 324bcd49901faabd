// The interval or the set of a prediction; see _conformal.py.

const percent = (coverage) => `${Number((100 * coverage).toPrecision(4))}%`;

// A prediction with what the API adds to it, for pages without one.
export function certain({ classes, conformal }, prediction) {
  if (!conformal) return prediction;
  const { coverage, margins: [margin], floor, least } = conformal;
  const { value, label, probabilities } = prediction;
  if (margin !== undefined) {
    const reach = floor === null ? margin : margin * Math.max(Math.abs(value), floor);
    return { ...prediction, low: value - reach, high: value + reach, coverage };
  }
  if (least === null) return prediction;
  const set = classes.filter((name) => name === label || probabilities[name] >= least);
  return { ...prediction, set, coverage };
}

// The same in words, empty where the model has none.
export function inWords({ low, high, set, coverage }, show) {
  if (set) return `${percent(coverage)} prediction set: ${set.map(show).join(", ")}`;
  return low === undefined || low === null ? "" : `${percent(coverage)} prediction interval: ${show(low)} to ${show(high)}`;
}
