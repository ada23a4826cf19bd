// Everything the pages do by themselves: delegated listeners only, no inline handlers, no eval.
import { openKeys } from "./keys.js";
import { openPalette } from "./palette.js";
import { text } from "./words.js";

const root = document.documentElement;
const find = (id) => document.getElementById(id);
const on = (type, listener) => document.addEventListener(type, listener);

// ---- Buttons ---------------------------------------------------------------------------------------------------------

const actions = {
  theme: () => basecoat.theme.toggle(),
  sidebar: () => {
    find("sidebar").toggle();
    if (sidebarCovers()) find("sidebar").querySelector("a").focus();
  },
  live: () => {
    root.dataset.live = root.dataset.live === "off" ? "on" : "off";
    try { localStorage.setItem("live", root.dataset.live); } catch {} // storage may be forbidden
    if (root.dataset.live === "on") refresh();
  },
  palette: openPalette,
  keys: openKeys,
  copy: async (button) => {
    const source = find(button.dataset.copy), label = button.querySelector("span");
    const said = (button.dataset.said ??= label.textContent);
    try {
      await navigator.clipboard.writeText(source.textContent);
      label.textContent = text("copied");
    } catch { // no clipboard over plain HTTP: select it, the rest is Ctrl+C
      source.closest("details.aside")?.setAttribute("open", "");
      getSelection().selectAllChildren(source);
      label.textContent = text("selected");
    }
    setTimeout(() => (label.textContent = said), 2000);
  },
};
on("click", (event) => {
  const button = event.target.closest("[data-action]");
  if (button) actions[button.dataset.action]?.(button);
  setTimeout(tellState); // after the sidebar's own listener
});

const refresh = () => htmx.trigger(document.body, "refresh");
const sidebarOpen = () => find("sidebar")?.getAttribute("aria-hidden") === "false";
const sidebarCovers = () => sidebarOpen() && matchMedia("(width < 48rem)").matches;

function tellState() {
  document.querySelector("[data-action=live]")?.setAttribute("aria-pressed", String(root.dataset.live !== "off"));
  document.querySelector("[data-action=sidebar]")?.setAttribute("aria-expanded", String(sidebarOpen()));
}
on("DOMContentLoaded", () => setTimeout(tellState));
on("htmx:after:swap", tellState); // the back button brings a new body

on("keydown", (event) => {
  if (event.key !== "Escape" || !sidebarCovers()) return;
  find("sidebar").close();
  document.querySelector("[data-action=sidebar]").focus();
  tellState();
});

// The bell's list closes like a menu.
const bell = () => document.querySelector(".bell-menu[open]");
on("click", (event) => { if (bell() && !event.target.closest(".bell-menu")) bell().open = false; });
on("click", (event) => { if (event.target.closest(".bell-list a")) bell().open = false; }); // it may lead to this very page
on("keydown", (event) => {
  if (event.key !== "Escape" || !bell()) return;
  const summary = bell().querySelector("summary");
  bell().open = false;
  summary.focus();
});

// An address that names a row opens it.
function openNamed() {
  const row = find(location.hash.slice(1));
  if (!row?.matches("details.row")) return;
  row.open = true;
  row.scrollIntoView();
}
on("DOMContentLoaded", openNamed);
addEventListener("hashchange", openNamed);

// The open one of tabs that don't fit is in sight.
on("DOMContentLoaded", () => document.querySelector(".tabnav > [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }));

// Toasts wait for the keyboard as they do for the mouse; dismissing one by key leads to the next, then back to the page.
const toasts = () => find("toaster");
const wait = (waiting) => toasts()?.dispatchEvent(new Event(waiting ? "mouseenter" : "mouseleave"));
on("focusin", ({ target }) => { if (toasts()?.contains(target)) wait(true); });
on("focusout", ({ target, relatedTarget }) => {
  if (toasts()?.contains(target) && !toasts().contains(relatedTarget) && !toasts().matches(":hover")) wait(false);
});
on("click", (event) => {
  const toast = event.detail === 0 && event.target.closest(".toast footer button")?.closest(".toast");
  if (toast) (toasts().querySelector(".toast:not([aria-hidden=true]) button") ?? find("main")).focus({ preventScroll: true });
});
// What stands there from the start is announced only if it comes again.
on("DOMContentLoaded", () => setTimeout(() => toasts()?.append(...toasts().children), 100));

// ---- Requests --------------------------------------------------------------------------------------------------------

// Empty fields stay out of the address bar.
on("htmx:config:request", (event) => {
  const { method, body, headers } = event.detail.ctx.request;
  if (event.detail.ctx.sourceEvent?.type === "every") headers["X-Poll"] = "1"; // nobody did anything (accounts/sessions.py)
  if (method === "GET") for (const name of new Set(body.keys())) if (!body.getAll(name).some(Boolean)) body.delete(name);
});

// Polls rest while the tab is hidden or the reader paused them (WCAG 2.2.2), those that are [data-while-paused] while
// they did not; a row that closes asks for nothing.
on("htmx:before:request", (event) => {
  const { sourceEvent, sourceElement } = event.detail.ctx;
  const paused = (root.dataset.live === "off") !== !!sourceElement?.matches("[data-while-paused]");
  const resting = sourceEvent?.type === "every" && (document.hidden || paused);
  if (resting || (sourceEvent?.type === "toggle" && !sourceElement.open)) event.preventDefault();
});
on("visibilitychange", () => { if (!document.hidden && root.dataset.live !== "off") refresh(); });

// No answer: polls say so beside "Live", anything else by a toast, unless the answer brought its own.
const isPoll = (ctx) => ctx?.sourceElement?.matches("[data-poll]");
function failed(event) {
  const { ctx } = event.detail;
  if (ctx?.sourceElement?.id === "palette-all") return; // it says so itself
  if (isPoll(ctx)) root.dataset.lost = "";
  else if (!ctx?.text?.includes("<hx-partial")) find("toaster").append(find("no-answer").content.cloneNode(true));
}
on("htmx:response:error", failed);
on("htmx:error", failed);
on("htmx:after:request", (event) => { if (event.detail.ctx.response.status < 400) delete root.dataset.lost; });

// hx-confirm asks in the shared dialog instead of window.confirm(), and for a reason where one may be given. A switch
// that isn't switched after all goes back.
on("htmx:confirm", (event) => {
  const { ctx, issueRequest, dropRequest } = event.detail;
  const dialog = find("confirm"), { confirmTitle, confirmLabel } = ctx.sourceElement.dataset;
  if (!ctx.confirm || !dialog) return;
  event.preventDefault();
  dialog.querySelector("h2").textContent = confirmTitle || text("sure");
  dialog.querySelector("p").textContent = ctx.confirm;
  const ok = dialog.querySelector("[value=ok]");
  ok.textContent = confirmLabel || text("continue");
  ok.dataset.variant = "confirmDanger" in ctx.sourceElement.dataset ? "destructive" : "primary";
  const reason = find("confirm-reason");
  reason.value = "";
  reason.parentElement.hidden = !("confirmReason" in ctx.sourceElement.dataset);
  dialog.returnValue = "";
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "ok") {
      if (reason.value) ctx.request.body.set("reason", reason.value);
      return issueRequest();
    }
    if (ctx.sourceElement.querySelector("[role=switch]")) ctx.sourceElement.reset();
    dropRequest();
  }, { once: true });
  dialog.showModal();
});

// Enter would press the dialog's first button, which cancels.
on("keydown", (event) => {
  if (event.key !== "Enter" || event.target.id !== "confirm-reason") return;
  event.preventDefault();
  find("confirm").querySelector("[value=ok]").click();
});

// ---- New rows come in above what is being read: hold still the row that has focus, is open, or is first in view --------

let held, heldTop;
on("htmx:before:swap", (event) => {
  const { ctx } = event.detail;
  held = null;
  if (!isPoll(ctx) || !ctx.target.closest(".steady")) return;
  const bar = 52, rows = [...ctx.target.closest(".steady").querySelectorAll(".row")];
  const inView = rows.filter((row) => { const box = row.getBoundingClientRect(); return box.bottom > bar && box.top < innerHeight; });
  const scrolledInto = rows[0] && rows[0].getBoundingClientRect().top < bar;
  held = inView.find((row) => row.contains(document.activeElement)) ?? inView.find((row) => row.open) ?? (scrolledInto ? inView[0] : null);
  heldTop = held?.getBoundingClientRect().top;
});
on("htmx:after:swap", () => {
  if (held?.isConnected) scrollBy({ top: held.getBoundingClientRect().top - heldTop, behavior: "instant" });
  held = null;
});
