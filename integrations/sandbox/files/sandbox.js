// Keeps the figures fresh: fetches this very page and swaps the marked parts, so that what you are choosing stays.
const live = document.querySelector(".live");
live.hidden = false;

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/");
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of page.querySelectorAll("[data-live]")) {
      const here = document.querySelector(`[data-live="${part.dataset.live}"]`);
      if (here && here.innerHTML !== part.innerHTML && !here.contains(document.activeElement)) here.replaceWith(part);
    }
    live.classList.remove("off");
  } catch {
    live.classList.add("off");
  }
}

setInterval(refresh, 2000);
document.addEventListener("visibilitychange", refresh);
