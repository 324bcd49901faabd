// The page: asks the API while something is typed, and shows what it answers.

import { build, make, shown } from "./form.js";
import { said, why } from "./answer.js";
import { get } from "./api.js";

const $ = (id) => document.getElementById(id);
const PAUSE = 120; // milliseconds without a key, before the API is asked
const HINT = "Each fills the form in, as it was before its outcome was known.";
const TITLES = {
  right: "One it told rightly", wrong: "One it told wrongly", uncertain: "One it was unsure of", middling: "One with a middling error",
};
let about, form, asking, timer;

async function load() {
  about = await (await get("about")).json();
  const { target, description, family, version, metrics } = about;
  document.title = `${target} · ask the model`;
  $("title").textContent = target.replaceAll("_", " ");
  $("lead").textContent = description;
  const { primary, test, interval } = metrics;
  const score = test ? `: ${primary.replaceAll("_", " ")} ${shown(test[primary].toFixed(3))} (95 % interval ${interval.map((end) => end.toFixed(3)).join(" to ")})` : "";
  $("version").textContent = `${family}, version ${version}${score}.`;
  $("cases").hidden = !about.cases.length;
  $("case").textContent = HINT;
  $("case-buttons").replaceChildren(...about.cases.map((one) => {
    const button = make("button", { type: "button", "aria-pressed": "false" }, TITLES[one.kind]);
    button.addEventListener("click", () => choose(one, button));
    return button;
  }));
  $("card").replaceChildren();
  $("plots").replaceChildren();
  if (!$("model").hidden) describe();
}

function choose(one, button) {
  press(button);
  form.write(one.row);
  const { label, probability, value } = one.said;
  const told = label === undefined ? shown(value) : `${label} (${(100 * probability).toFixed(1)} %)`;
  const truth = typeof one.truth === "number" ? shown(one.truth) : one.truth;
  $("case").textContent = `In truth ${about.target} was ${truth}. Without having seen it, the model said ${told}.`;
  ask();
}

const press = (pressed) => {
  for (const button of $("case-buttons").children) button.setAttribute("aria-pressed", button === pressed);
};

async function ask() {
  clearTimeout(timer);
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  $("said").classList.add("stale");
  try {
    const answer = await (await get("explain", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(form.read()), signal,
    })).json();
    if (signal.aborted) return;
    if (answer.seal !== about.seal) await load(); // another model answers now
    form.fail([]);
    $("problem").textContent = "";
    $("said").replaceChildren(...said(about, answer.prediction));
    $("said").classList.remove("stale");
    why($("why"), about, answer);
  } catch (error) {
    if (signal.aborted) return;
    if (error.status === 401) return refused(error);
    const problems = error.status === 422 ? error.problems : [];
    $("problem").textContent = form.fail(problems);
    $("said").textContent = problems.length ? "No answer: see what is marked below." : `No answer: ${error.message}`;
    $("said").classList.remove("stale");
    $("why").hidden = true;
  }
}

async function describe() {
  if ($("card").hasChildNodes()) return;
  $("card").textContent = "…";
  const { seal, plots } = about;
  try {
    $("card").innerHTML = await (await get("card")).text();
    $("plots").replaceChildren(...plots.map((name) => {
      const title = name.replace(/\.png$/, "").replaceAll("_", " ");
      const image = make("img", { alt: `Plot: ${title}` });
      // Not by its address, since an image can bring no key.
      get(`plots/${seal}/${encodeURIComponent(name)}`).then((found) => found.blob()).then((blob) => { image.src = URL.createObjectURL(blob); }, () => image.closest("figure").remove());
      return make("figure", {}, image, make("figcaption", {}, title));
    }));
  } catch (error) {
    $("card").textContent = error.message;
  }
}

function refused(error) {
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
    if (error.status === 401) return refused(error);
    $("said").textContent = error.message;
    return;
  }
  $("key-form").hidden = true;
  if (!form) {
    form = build($("form"), about.columns, () => {
      press(null);
      $("case").textContent = HINT;
      clearTimeout(timer);
      timer = setTimeout(ask, PAUSE);
    });
    form.write(about.example);
  }
  await ask();
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
