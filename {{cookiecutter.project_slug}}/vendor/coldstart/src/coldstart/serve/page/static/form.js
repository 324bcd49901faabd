// The form: a control for each column of the contract.

export const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  element.append(...children);
  return element;
};
const digits = new Intl.NumberFormat("en", { maximumSignificantDigits: 5 });
export const shown = (number) => digits.format(number);

const LARGEST_FILE = 4e6; // bytes: a third more in base64
const LONGEST_SIDE = 1600; // pixels

// Each kind: the elements of a control, the first of which has the label, and how to read and write it.
const kinds = {
  number({ stops = [], minimum, unit }, about) {
    const text = make("input", { ...about, type: "text", inputmode: minimum >= 0 ? "decimal" : undefined });
    const read = () => {
      const typed = text.value.trim().replace(",", ".");
      return typed === "" ? null : isFinite(typed) ? Number(typed) : text.value;
    };
    const parts = [text];
    if (unit) parts.push(make("span", { class: "unit" }, unit));
    let slide = () => {};
    if (stops.length > 1) {
      const range = make("input", { type: "range", min: 0, max: stops.length - 1, "aria-label": `${about.label}, slider` });
      slide = (value) => {
        let nearest = stops.findIndex((stop) => stop >= value);
        if (nearest < 0) nearest = value === null ? (stops.length - 1) >> 1 : stops.length - 1;
        range.value = nearest;
        range.setAttribute("aria-valuetext", value === null ? "unknown" : `${shown(value)} ${unit}`);
      };
      range.addEventListener("input", () => { text.value = stops[range.value]; slide(stops[range.value]); });
      text.addEventListener("input", () => { const value = read(); if (typeof value !== "string") slide(value); });
      parts.push(range);
    }
    const write = (value) => { text.value = value ?? ""; slide(value ?? null); };
    return { parts: [make("div", { class: "pair" }, ...parts)], read, write, first: text };
  },

  choice({ choices, free, nullable, labels }, about) {
    if (free && (choices.length > 12 || !choices.length)) {
      const list = make("datalist", { id: `${about.id}-list` }, ...choices.map((value) => make("option", { value }, labels[value] ?? "")));
      const text = make("input", { ...about, type: "text", list: list.id });
      return { parts: [text, list], read: () => text.value || null, write: (value) => { text.value = value ?? ""; }, first: text };
    }
    const values = [...choices];
    const select = make("select", about);
    if (nullable) select.append(make("option", { value: "" }, "unknown"));
    const offer = (value) => select.append(make("option", { value: values.indexOf(value) }, labels[value] ?? value));
    values.forEach(offer);
    const write = (value) => {
      if (value != null && !values.includes(value)) { values.push(value); offer(value); }
      select.value = value == null ? "" : values.indexOf(value);
    };
    return { parts: [select], read: () => (select.value === "" ? null : values[select.value]), write, first: select, own: true };
  },

  boolean(_, about) {
    const box = make("input", { ...about, type: "checkbox" });
    const read = () => (box.indeterminate ? null : box.checked);
    return { parts: [], read, write: (value) => { box.checked = value === true; box.indeterminate = value == null; }, first: box, inline: true };
  },

  date({ time }, about) {
    const day = make("input", { ...about, type: time ? "datetime-local" : "date", step: time ? 1 : undefined });
    return { parts: [day], read: () => day.value || null, write: (value) => { day.value = value ? value.slice(0, time ? 19 : 10) : ""; }, first: day };
  },

  text(_, about) {
    const area = make("textarea", { ...about, rows: 3 });
    return { parts: [area], read: () => area.value || null, write: (value) => { area.value = value ?? ""; }, first: area };
  },

  image(_, about) {
    const file = make("input", { ...about, type: "file", accept: "image/*" }); // a phone offers its camera, too
    const preview = make("img", { class: "preview", alt: "The chosen picture" });
    preview.addEventListener("error", () => { preview.hidden = true; });
    let content;
    const write = (value) => {
      content = value || null;
      URL.revokeObjectURL(preview.src);
      preview.hidden = content === null;
      if (content !== null) preview.src = URL.createObjectURL(new Blob([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))]));
    };
    file.addEventListener("input", (event) => { if (event.isTrusted) event.stopPropagation(); }); // it is not read yet
    file.addEventListener("change", async () => {
      const [chosen] = file.files;
      write(chosen ? await inBase64(await shrunk(chosen)) : null);
      file.dispatchEvent(new Event("input", { bubbles: true }));
    });
    return { parts: [file, preview], read: () => content, write: (value) => { file.value = ""; write(value); }, first: file };
  },
};

// A picture as it is, or a smaller one if the API would refuse so many bytes.
async function shrunk(file) {
  if (file.size < LARGEST_FILE) return file;
  try {
    const whole = await createImageBitmap(file);
    const scale = Math.min(1, LONGEST_SIDE / Math.max(whole.width, whole.height));
    const canvas = make("canvas", { width: Math.round(scale * whole.width), height: Math.round(scale * whole.height) });
    canvas.getContext("2d").drawImage(whole, 0, 0, canvas.width, canvas.height);
    return await new Promise((done) => { canvas.toBlob(done, "image/jpeg", 0.9); });
  } catch {
    return file; // no picture: the API says so
  }
}

const inBase64 = (blob) => new Promise((done) => {
  const reader = new FileReader();
  reader.addEventListener("load", () => { done(reader.result.replace(/^[^,]*,/, "")); });
  reader.readAsDataURL(blob);
});

function field(column, number, inWords) {
  const id = `f${number}`;
  const short = column.description && column.description.length < 60;
  const label = inWords(column);
  const about = { id, label, "aria-describedby": `${id}-hint ${id}-error`, required: !column.nullable };
  const control = (kinds[column.kind] ?? kinds.text)(column, about);
  control.first.removeAttribute("label");
  const error = make("p", { class: "error", id: `${id}-error`, "aria-live": "polite" });
  const head = make("div", { class: "head" });
  const title = make("label", { for: id }, label);
  head.append(control.inline ? make("span", { class: "ticked" }, control.first, title) : title);
  const controls = make("div", {}, ...control.parts);
  const root = make("div", { class: "field" }, head, controls);
  const hint = make("p", { class: short ? "name" : "hint", id: `${id}-hint` });
  hint.append(short ? make("code", {}, column.name) : column.description);
  if (control.inline) controls.append(hint, error); // the control is beside its label
  else root.append(make("div", {}, hint, error));

  let last = null;
  let unknown;
  const mark = () => {
    const blank = control.read() === null;
    root.classList.toggle("blank", blank);
    if (unknown) unknown.checked = blank;
    if (!blank) last = control.read();
  };
  if (column.nullable && !control.own) {
    unknown = make("input", { type: "checkbox", "aria-label": `${label}: unknown` });
    head.append(make("label", { class: "unknown" }, unknown, "unknown"));
    unknown.addEventListener("change", () => {
      const value = unknown.checked ? null : last ?? column.fallback;
      control.write(value);
      mark();
      if (value === null) control.first.blur(); else if (value === "") control.first.focus();
    });
  }
  root.addEventListener("input", (event) => { if (event.target !== unknown) mark(); });
  return {
    name: column.name,
    root,
    read: control.read,
    write(value) { control.write(value); mark(); },
    fail(message) {
      error.textContent = message;
      control.first.setAttribute("aria-invalid", message !== "");
    },
  };
}

// Fill a form with a field for each column, whose label `inWords` gives; `changed` is called whenever one changes.
export function build(form, columns, inWords, changed) {
  const fields = columns.map((column, number) => field({
    ...column,
    fallback: column.kind === "boolean" ? false : column.kind === "number" ? (column.stops?.[column.stops.length >> 1] ?? 0) : "",
  }, number, inWords));
  form.replaceChildren(...fields.map(({ root }) => root));
  form.addEventListener("input", changed);
  form.addEventListener("submit", (event) => event.preventDefault());
  return {
    read: () => Object.fromEntries(fields.map(({ name, read }) => [name, read()])),
    write: (row) => fields.forEach(({ name, write }) => write(row[name] ?? null)),
    // Show the API's own errors beside the controls; return those that belong to none.
    fail(problems) {
      const rest = problems.filter(({ loc }) => !fields.some(({ name }) => name === loc[1]));
      for (const { name, fail } of fields)
        fail(problems.filter(({ loc }) => loc[1] === name).map(({ msg }) => msg).join("; "));
      return rest.map(({ msg }) => msg).join("; ");
    },
  };
}
