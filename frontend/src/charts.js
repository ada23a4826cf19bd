// Line charts, loaded only by pages that have one (templates/components/metric_chart.html says what it is given).
// uPlot draws on a canvas; colours and words come from the page, so that a change of theme is a new drawing.
import uPlot from "uplot";

const DAY = 86400, FONT = "11px Inter Variable, sans-serif";
const charts = new Map(); // element → { plot, drawn, observer }

function make(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  if (text != null) element.textContent = text;
  return element;
}

// How numbers and times are said: in the page's language and the installation's time zone.
function speech({ step, t, zone }) {
  const { lang } = document.documentElement;
  const number = new Intl.NumberFormat(lang.startsWith("en") ? "en" : lang); // 1,200, as the server writes it
  const time = (options) => new Intl.DateTimeFormat(lang, { timeZone: zone, hourCycle: "h23", ...options });
  const day = { day: "numeric", month: "short" }, clock = { hour: "2-digit", minute: "2-digit" };
  const axis = time(t.at(-1) - t[0] > 2 * DAY ? day : clock), point = time({ weekday: "short", ...day, ...(step < DAY && clock) });
  return {
    value: (series, i) => (series.values[i] == null ? "–" : number.format(series.values[i]) + series.unit),
    tick: (value, unit) => number.format(value) + unit,
    axis: (seconds) => axis.format(seconds * 1000),
    point: (seconds) => point.format(seconds * 1000),
  };
}

// The words of one point: beside the cursor for the eye, and in the status line for who moves it by keys.
function tooltip(config, say, colour) {
  let tip;
  const show = (plot) => {
    const i = plot.cursor.idx;
    if (i == null || plot.cursor.left < 0) return void (tip.hidden = true);
    const items = make("div", "chart-tooltip-items");
    for (const series of config.series) {
      const item = make("div", "chart-tooltip-item"), mark = make("div", "chart-tooltip-indicator");
      mark.style.setProperty("--chart-indicator-color", colour(series.colour));
      item.append(mark, make("div", "chart-tooltip-label", series.label), make("div", "chart-tooltip-value", say.value(series, i)));
      items.append(item);
    }
    tip.replaceChildren(make("div", "chart-tooltip-title", say.point(config.t[i])), items);
    tip.hidden = false;
    const { left } = plot.cursor;
    tip.style.translate = left > plot.over.clientWidth / 2 ? "calc(-100% - 12px) 0" : "12px 0";
    tip.style.left = `${left}px`;
    tip.style.top = "8px";
  };
  const init = (plot) => {
    tip = make("div", "chart-tooltip");
    tip.hidden = true;
    plot.over.append(tip);
  };
  return { hooks: { init, setCursor: show } };
}

const alone = (values) => values.flatMap((value, i) => (value != null && values[i - 1] == null && values[i + 1] == null ? [i] : []));

function fading(colour) {
  return (plot) => {
    const { top, height } = plot.bbox, gradient = plot.ctx.createLinearGradient(0, top, 0, top + height);
    gradient.addColorStop(0, `${colour}38`);
    gradient.addColorStop(1, `${colour}00`);
    return gradient;
  };
}

function options(element, config) {
  const styles = getComputedStyle(element), colour = (name) => styles.getPropertyValue(name).trim();
  const say = speech(config), unit = config.series[0].unit;
  const axis = { stroke: colour("--muted-foreground"), font: FONT, ticks: { show: false }, border: { show: false } };
  const line = (series) => ({
    stroke: colour(series.colour), width: series.fill ? 2 : 1.5, fill: series.fill && fading(colour(series.colour)),
    paths: uPlot.paths.spline(), points: { size: 5, fill: colour(series.colour), filter: () => alone(series.values) },
  });
  const bars = (series) => ({
    scale: "count", fill: `${colour(series.colour)}cc`, width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.5, 8] }),
  });
  return {
    width: element.clientWidth, height: element.clientHeight, padding: [8, 20, 0, 0], legend: { show: false },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), config.zone),
    cursor: {
      y: false, drag: { x: false, setScale: false },
      points: { size: 7, show: (plot, i) => !config.series[i - 1].bars && undefined, fill: (plot, i) => colour(config.series[i - 1].colour) },
    },
    scales: {
      y: { range: (plot, min, max) => [0, Math.max(1.1 * max, 1)] },
      count: { range: (plot, min, max) => [0, Math.max(5 * max, 12)] }, // the lowest fifth, below the lines
    },
    axes: [
      { ...axis, space: 70, size: 30, grid: { show: false }, values: (plot, all) => all.map(say.axis) },
      { ...axis, space: 48, size: 62, grid: { stroke: colour("--border"), width: 1 }, values: (plot, all) => all.map((value) => say.tick(value, unit)) },
    ],
    series: [{}, ...config.series.map((series) => (series.bars ? bars(series) : line(series)))],
    plugins: [tooltip(config, say, colour)],
  };
}

function draw(element) {
  const chart = charts.get(element), config = JSON.parse(element.dataset.metricChart);
  const at = chart.plot?.cursor.idx, pointed = chart.plot?.cursor.left >= 0;
  chart.plot?.destroy();
  chart.drawn = element.dataset.metricChart;
  chart.config = config;
  chart.plot = new uPlot(options(element, config), [config.t, ...config.series.map((series) => series.values)], element);
  if (pointed && at != null) point(chart, at);
}

function point({ plot, config }, i) {
  plot.setCursor({ left: plot.valToPos(config.t[i], "x"), top: 0 });
}

// ---- Keys: the arrows move the cursor from point to point -------------------------------------------------------------

const MOVES = { ArrowLeft: (i) => i - 1, ArrowRight: (i) => i + 1, Home: () => 0, End: (i, last) => last };

function move(event) {
  const element = event.currentTarget, chart = charts.get(element), last = chart.config.t.length - 1;
  if (event.key === "Escape") return void chart.plot.setCursor({ left: -10, top: -10 });
  if (!MOVES[event.key]) return;
  event.preventDefault();
  const from = chart.plot.cursor.left < 0 ? last + (event.key === "ArrowLeft") : chart.plot.cursor.idx;
  const i = Math.min(last, Math.max(0, MOVES[event.key](from, last)));
  point(chart, i);
  const say = speech(chart.config), words = chart.config.series.map((series) => `${series.label} ${say.value(series, i)}`);
  const told = element.parentElement.querySelector("[data-chart-told]");
  if (told) told.textContent = [say.point(chart.config.t[i]), ...words].join(", ");
}

// ---- As the page changes: new charts, new figures, those that are gone; another size, another theme -----------------

function begin(element) {
  const observer = new ResizeObserver(() => charts.get(element).plot.setSize({ width: element.clientWidth, height: element.clientHeight }));
  charts.set(element, { observer });
  draw(element);
  observer.observe(element);
  element.addEventListener("keydown", move);
  element.addEventListener("blur", () => charts.get(element)?.plot.setCursor({ left: -10, top: -10 }));
}

function look() {
  for (const [element, { plot, observer }] of charts) {
    if (element.isConnected) continue;
    observer.disconnect();
    plot.destroy();
    charts.delete(element);
  }
  for (const element of document.querySelectorAll("[data-metric-chart]")) {
    if (!charts.has(element)) begin(element);
    else if (charts.get(element).drawn !== element.dataset.metricChart) draw(element);
  }
}

const redraw = () => requestAnimationFrame(() => [...charts.keys()].forEach(draw));
document.addEventListener("DOMContentLoaded", look);
document.addEventListener("htmx:after:swap", look);
document.addEventListener("basecoat:themechange", redraw);
document.fonts.ready.then(redraw); // a canvas keeps the font that it was drawn with
