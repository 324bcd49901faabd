// The page: sends the form to the API while you type, and shows the prediction.

import { build, make } from "./form.js";
import { explain, headline, inWords, valueText } from "./prediction.js";
import { get } from "./api.js";

const $ = (id) => document.getElementById(id);
const PAUSE = 120; // milliseconds without a key, before a request
const HINT = "Each fills in the form with values from before the outcome was known.";
const TITLES = {
  correct: "Correct prediction", incorrect: "Incorrect prediction", uncertain: "Uncertain prediction",
  smallest_error: "Smallest error", largest_error: "Largest error", median_error: "Median error",
};
let about, form, request, timer;

async function load() {
  about = await (await get("about")).json();
  const { title, target, description, family, version, metrics } = about;
  document.title = title;
  $("title").textContent = title;
  $("lead").textContent = description || `Predicts ${target.replaceAll("_", " ")}.`;
  const { primary, test, interval } = metrics;
  const score = test ? `, test ${primary.replaceAll("_", " ")} ${test[primary].toFixed(3)} (95% CI ${interval.map((end) => end.toFixed(3)).join("–")})` : "";
  $("confirmed").textContent = about.confirmed && `${about.confirmed[0].toUpperCase()}${about.confirmed.slice(1)}.`;
  $("confirmed").hidden = !about.confirmed;
  $("version").textContent = `Model: ${family}, version ${version}${score}.`;
  $("examples").hidden = !about.examples.length;
  $("example").textContent = HINT;
  $("example-buttons").replaceChildren(...about.examples.map((one) => {
    const button = make("button", { type: "button", "aria-pressed": "false" }, TITLES[one.kind]);
    button.addEventListener("click", () => choose(one, button));
    return button;
  }));
  $("card").replaceChildren();
  $("plots").replaceChildren();
  if (!$("model").hidden) describe();
}

function choose({ row, prediction, outcome }, button) {
  press(button);
  form.write(row);
  const { label, probability, value } = prediction;
  const predicted = label === undefined ? valueText(about, value) : `${valueText(about, label)} (probability ${(100 * probability).toFixed(1)}%)`;
  $("example").textContent = `Predicted by a model that was not fitted on this row: ${predicted}. Outcome: ${valueText(about, outcome)}.`;
  predict();
}

const press = (pressed) => {
  for (const button of $("example-buttons").children) button.setAttribute("aria-pressed", button === pressed);
};

async function predict() {
  clearTimeout(timer);
  request?.abort();
  request = new AbortController();
  const { signal } = request;
  $("prediction").classList.add("stale");
  try {
    const explanation = await (await get("explain", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(form.read()), signal,
    })).json();
    if (signal.aborted) return;
    if (explanation.fingerprint !== about.fingerprint) await load(); // another model serves now
    form.fail([]);
    $("problem").textContent = "";
    $("prediction").replaceChildren(...headline(about, explanation.prediction));
    $("prediction").classList.remove("stale");
    explain($("explanation"), about, explanation);
  } catch (error) {
    if (signal.aborted) return;
    if (error.status === 401) return askForKey(error);
    const problems = error.status === 422 ? error.problems : [];
    $("problem").textContent = form.fail(problems);
    $("prediction").textContent = problems.length ? "No prediction: correct the fields marked below." : `No prediction: ${error.message}`;
    $("prediction").classList.remove("stale");
    $("explanation").hidden = true;
  }
}

async function describe() {
  if ($("card").hasChildNodes()) return;
  $("card").textContent = "…";
  const { fingerprint, plots } = about;
  try {
    $("card").innerHTML = await (await get("card")).text();
    $("plots").replaceChildren(...plots.map((name) => {
      const title = name.replace(/\.png$/, "").replaceAll("_", " ");
      const image = make("img", { alt: `Plot: ${title}` });
      // Not by its address, since an image can bring no key.
      get(`plots/${fingerprint}/${encodeURIComponent(name)}`).then((found) => found.blob()).then((blob) => { image.src = URL.createObjectURL(blob); }, () => image.closest("figure").remove());
      return make("figure", {}, image, make("figcaption", {}, title));
    }));
  } catch (error) {
    $("card").textContent = error.message;
  }
}

function askForKey(error) {
  const again = sessionStorage.getItem("key") !== null;
  $("key-form").hidden = false;
  $("key-error").textContent = again ? error.message : "";
  $("key").focus();
}

function open(tab) {
  for (const one of document.querySelectorAll("[role=tab]")) {
    const chosen = one === tab;
    one.setAttribute("aria-selected", chosen);
    one.tabIndex = chosen ? 0 : -1;
    $(one.getAttribute("aria-controls")).hidden = !chosen;
  }
  history.replaceState(null, "", `#${tab.getAttribute("aria-controls")}`);
  if (tab.id === "tab-model" && about) describe();
}

async function begin() {
  try {
    await load();
  } catch (error) {
    if (error.status === 401) return askForKey(error);
    $("prediction").textContent = error.message;
    return;
  }
  $("key-form").hidden = true;
  if (!form) {
    form = build($("form"), about.columns, inWords, () => {
      press(null);
      $("example").textContent = HINT;
      clearTimeout(timer);
      timer = setTimeout(predict, PAUSE);
    });
    form.write(about.example);
  }
  await predict();
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", $("key").value.trim());
  begin();
});
const tabs = [...document.querySelectorAll("[role=tab]")];
for (const tab of tabs) {
  tab.addEventListener("click", () => open(tab));
  tab.addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    open(next);
    next.focus();
  });
}
if (location.hash === "#model") open($("tab-model"));
begin();
