// The command palette (⌘K). Its options come from the server once a page, when it is first opened; what is typed sorts
// them here. They are links and buttons like any other: choosing one clicks it.
import { counted, text } from "./words.js";

const RECENT = "palette", KEPT = 5, SHOWN = 60;
const find = (id) => document.getElementById(id);
const on = (type, listener, capture) => document.addEventListener(type, listener, capture);

const palette = () => find("palette"), input = () => find("palette-input"), list = () => find("palette-list");
const options = (within = palette()) => [...within.querySelectorAll("[role=option]")];
const chosen = () => list().querySelector("[aria-selected=true]");
const say = (words) => (find("palette-note").textContent = words);

export function openPalette() {
  if (palette().open) return palette().close();
  if (document.querySelector("dialog:modal")) return;
  input().value = "";
  palette().showModal();
  if (options().length) return arrange();
  say(text("loading"));
  htmx.trigger(find("palette-all"), "fill");
}

// ---- What fits, best first -------------------------------------------------------------------------------------------

// How well `words` fit: every word typed must be in it, as a beginning (3), a part (2) or letters in that order (1).
export function score(words, typed) {
  let sum = 0;
  for (const word of typed.split(/\s+/).filter(Boolean)) {
    const one = words.startsWith(word) || words.includes(` ${word}`) ? 3 : words.includes(word) ? 2 : inOrder(words, word) ? 1 : 0;
    if (!one) return 0;
    sum += one;
  }
  return sum;
}

function inOrder(words, letters) {
  let at = -1;
  return [...letters].every((letter) => (at = words.indexOf(letter, at + 1)) >= 0);
}

function arrange() {
  const typed = input().value.trim().toLowerCase(), used = recent();
  const rank = ({ dataset: { words, key } }) => (typed ? score(words, typed) : used.indexOf(key) + 2);
  const before = (one, other) => other.rank - one.rank || one.option.dataset.at - other.option.dataset.at;
  const found = options().map((option) => ({ option, rank: rank(option) })).filter(({ rank }) => rank).sort(before);
  const groups = new Map();
  for (const { option, rank } of found.slice(0, SHOWN)) {
    const name = !typed && rank > 1 ? text("recent") : option.dataset.group;
    groups.set(name, [...(groups.get(name) ?? []), option]);
  }
  find("palette-all").append(...options(list()));
  list().replaceChildren(...[...groups].map(drawn));
  list().scrollTop = 0;
  choose(options(list())[0]);
  say(found.length ? counted("found", found.length) : text("nothingFits", { typed: input().value.trim() }));
}

function drawn([name, members]) {
  const group = document.createElement("div"), title = document.createElement("p");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", name);
  title.setAttribute("aria-hidden", "true");
  title.textContent = name;
  group.append(title, ...members);
  return group;
}

function choose(option) {
  for (const other of palette().querySelectorAll("[aria-selected=true]")) other.setAttribute("aria-selected", "false");
  option?.setAttribute("aria-selected", "true");
  option?.scrollIntoView({ block: "nearest" });
  if (option) input().setAttribute("aria-activedescendant", option.id);
  else input().removeAttribute("aria-activedescendant");
}

// ---- What was chosen lately, in this browser ---------------------------------------------------------------------------

function recent() {
  try { return JSON.parse(localStorage.getItem(RECENT)) ?? []; } catch { return []; } // storage may be forbidden
}

function remember(key) {
  const kept = [...recent().filter((one) => one !== key).slice(1 - KEPT), key];
  try { localStorage.setItem(RECENT, JSON.stringify(kept)); } catch {}
}

// ---- Listeners ---------------------------------------------------------------------------------------------------------

on("input", ({ target }) => { if (target === input()) arrange(); });
on("htmx:after:swap", ({ detail }) => { if (detail.ctx.target?.id === "palette-all") arrange(); });
for (const failure of ["htmx:response:error", "htmx:error"])
  on(failure, ({ detail }) => { if (detail.ctx?.sourceElement?.id === "palette-all") say(text("noList")); });

on("keydown", (event) => {
  if (event.target !== input() || event.isComposing) return;
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) {
    const all = options(list());
    choose(all[(all.indexOf(chosen()) + step + all.length) % all.length]);
  } else if (event.key === "Enter") chosen()?.click();
  else return;
  event.preventDefault();
});

// Before the option's own listeners: whatever it opens must not open beneath the palette.
on("click", (event) => {
  const option = event.target.closest("#palette [role=option]");
  if (option) remember(option.dataset.key);
  if (option || event.target === palette()) palette().close();
}, true);
on("pointermove", ({ target }) => {
  const option = target.closest?.("#palette-list [role=option]");
  if (option && option !== chosen()) choose(option);
});
