// Loaded before first paint: the saved or the system's theme, and whether live updates are paused.
const root = document.documentElement;
let saved = null;
root.dataset.live = "on";
if (/Mac|iP/.test(navigator.platform)) root.dataset.mac = ""; // shortcuts are written as its keys are
try {
  saved = localStorage.getItem("themeMode");
  root.dataset.live = localStorage.getItem("live") || "on";
} catch {} // storage may be forbidden
root.classList.toggle("dark", saved ? saved === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
