// Lists that grow at their top ([data-rows]): how many came above what is being read, rows that are chosen, and keys.
import { meant } from "./keys.js";
import { counted } from "./words.js";

const find = (id) => document.getElementById(id);
const on = (type, listener, options) => document.addEventListener(type, listener, options);
const rows = () => [...document.querySelectorAll("[data-rows] .row")];
const paused = () => document.documentElement.dataset.live === "off";
const chosen = () => [...document.querySelectorAll("[name=log]:checked")];

// ---- What came meanwhile ---------------------------------------------------------------------------------------------

const BAR = 52;
let seen = ""; // the newest row when its reader last stood at the top, reading nothing

const reading = () => rows()[0].getBoundingClientRect().top < BAR || rows().some((row) => row.open);

function tell(number) {
  const button = find("waiting")?.querySelector("button");
  if (!button) return;
  button.hidden = number === "0";
  button.querySelector("span").textContent = counted("newEvents", parseInt(number), number);
}

function count() {
  const all = rows(), at = all.findIndex((row) => row.id === seen);
  if (!all.length || at < 0 || !reading()) seen = all[0]?.id ?? "";
  tell(String(Math.max(0, all.findIndex((row) => row.id === seen))));
}
const recount = () => { if (find("waiting") && !paused()) count(); };

function toNewest() {
  const first = rows()[0];
  if (!first) return;
  seen = first.id;
  tell("0");
  first.scrollIntoView({ block: "center", behavior: "instant" });
  first.querySelector("summary").focus({ preventScroll: true });
}

on("DOMContentLoaded", recount);
on("scroll", recount, { passive: true });
on("toggle", recount, { capture: true }); // it doesn't bubble

// While polls rest only the number is asked for; else it is known from the rows.
let wish = null; // what to do once an answer is in the page
on("htmx:after:swap", (event) => {
  const { sourceElement } = event.detail.ctx ?? {};
  if (sourceElement?.matches?.("[data-while-paused]")) return tell(sourceElement.textContent.trim());
  wish?.(event.detail.ctx.target);
  recount();
  tellChosen();
});

// ---- Choosing several ------------------------------------------------------------------------------------------------

function tellChosen() {
  if (find("picked-number")) find("picked-number").textContent = chosen().length;
}
on("change", tellChosen);
addEventListener("pageshow", tellChosen); // the browser may have kept them

on("click", (event) => {
  const { action } = event.target.closest("[data-action]")?.dataset ?? {};
  if (action === "unpick") chosen().forEach((box) => (box.checked = false));
  if (action !== "newest") return;
  if (!paused()) return toNewest();
  wish = () => { wish = null; toNewest(); };
  htmx.trigger(document.body, "refresh");
});

// ---- Keys ------------------------------------------------------------------------------------------------------------

const current = () => document.activeElement.closest("[data-rows] .row");

function move(step) {
  const all = rows(), at = all.indexOf(current());
  const next = at < 0 ? all.find((row) => row.getBoundingClientRect().bottom > BAR) : all[at + step];
  next?.querySelector("summary").focus({ preventScroll: true });
  next?.scrollIntoView({ block: "nearest", behavior: "instant" });
}

// The button that asks comes with the row's body, and means something once htmx has seen it.
function replay() {
  const row = current(), until = Date.now() + 10_000;
  if (!row) return;
  row.open = true;
  const ask = () => {
    const button = row.querySelector("[data-replay][data-htmx-powered]");
    if (button) button.click();
    else if (row.isConnected && row.open && Date.now() < until) setTimeout(ask, 50);
  };
  ask();
}

const keys = {
  j: () => move(1),
  k: () => move(-1),
  r: replay,
  x: () => current()?.parentElement.querySelector("[name=log]")?.click(),
};
on("keydown", (event) => {
  if (!document.querySelector("[data-rows]") || !meant(event) || !Object.hasOwn(keys, event.key)) return;
  event.preventDefault();
  keys[event.key]();
});
