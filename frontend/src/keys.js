// Shortcuts. ⌘K works everywhere; those of a single key rest while somebody types, and for whoever turned them off
// (WCAG 2.1.4, `data-keys` on <html>). They press what is on the page: what isn't there, they don't do.
import { openPalette } from "./palette.js";

const find = (id) => document.getElementById(id);
const press = (selector) => document.querySelector(selector)?.click();
const WAIT = 1500; // for the letter that says where to go, after "g"
let going = 0;

const TEXT = "input:not([type=radio], [type=checkbox], [type=button]), textarea, select, [contenteditable]";
// Whether a key pressed alone may mean something now; pages with shortcuts of their own ask this too.
export const meant = (event) =>
  !(event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing || event.defaultPrevented) &&
  document.documentElement.dataset.keys !== "off" &&
  !event.target.closest?.(TEXT) &&
  !document.querySelector("dialog:modal");

export function openKeys() {
  const here = find("shortcuts")?.content.cloneNode(true);
  find("keys-here").hidden = !here;
  if (here) find("keys-here").querySelector("dl").replaceChildren(here);
  find("keys").showModal();
}

const keys = {
  "?": openKeys,
  "/": () => document.querySelector("#main input[type=search]")?.focus(),
  t: () => press("button[data-action=theme]:not([role])"),
  p: () => press("button[data-action=live]:not([role])"),
  g: () => (going = Date.now()),
};

document.addEventListener("keydown", (event) => {
  if ((event.metaKey || event.ctrlKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "k") {
    event.preventDefault();
    return openPalette();
  }
  if (!meant(event)) return;
  const where = Date.now() - going < WAIT;
  going = 0;
  if (where) press(`#sidebar a[data-key="${CSS.escape(event.key)}"]`);
  else if (keys[event.key]) {
    event.preventDefault(); // "/" must not be typed into what it just focused
    keys[event.key]();
  }
});

document.addEventListener("click", (event) => { if (event.target === find("keys")) find("keys").close(); });
