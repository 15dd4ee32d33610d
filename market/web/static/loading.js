// The day's loading: without the market as the DSO forecasts it, with the market as the gateways measure it.
import { baseAxis, chart, draw, horizontal, scale, steps, ticks, valueAxis, vertical } from "/static/drawing.js";

const HEIGHT = 320;
const LIMIT_PERCENT = 100;
const HOUR_S = 3600;
const PHASES = ["GREEN", "YELLOW", "RED"];
const STRIP = 7; // height of the mark of what was measured RED

export function drawLoading(container, overview, clock) {
  const rows = overview.series;
  const plot = chart(container, HEIGHT, inWords(rows));
  const x = scale(overview.day.first, overview.day.end, plot.left, plot.right);
  const highest = 1.05 * Math.max(LIMIT_PERCENT * 1.1, ...values(rows, "forecast_loading_percent"), ...values(rows, "actual_loading_percent"));
  const y = scale(0, highest, plot.bottom, plot.top);
  const span = overview.time_unit_s;
  drawBands(plot, rows, x, span);
  valueAxis(plot, "% of rating", ticks(highest, 10), y);
  baseAxis(plot, "local time", hours(overview.day, x, plot).map((at) => [x(at), clock(at)]));
  horizontal(plot, y(LIMIT_PERCENT), "limit");
  markMeasuredRed(plot, rows, x, span);
  const line = (column, name, height = y) =>
    draw("path", { d: steps(rows.map((row) => [row.interval, row[column]]), x, height, span), class: name }, plot.svg);
  line("forecast_loading_percent", "forecast");
  line("actual_loading_percent", "actual");
  const dearest = 1.2 * Math.max(0, ...values(rows, "marginal_price_ueur_kwh"));
  if (dearest > 0) {
    const price = scale(0, dearest, plot.bottom, plot.top);
    line("marginal_price_ueur_kwh", "price", price);
    valueAxis(plot, "cent/kWh", ticks(dearest / 10_000, 6), (cent) => price(cent * 10_000), "right");
  }
  if (overview.now < overview.day.end) {
    vertical(plot, x(overview.now), "now");
    draw("text", { x: x(overview.now), y: plot.top - 5, "text-anchor": "middle" }, plot.svg, "now");
  }
}

function drawBands(plot, rows, x, span) {
  for (const row of rows.filter((each) => each.phase !== null)) {
    band(plot, row, plot.bottom - plot.top, `band ${PHASES[row.phase]}`, x, span);
  }
}

function markMeasuredRed(plot, rows, x, span) {
  for (const row of rows.filter((each) => PHASES[each.actual_phase] === "RED")) band(plot, row, STRIP, "measured-red", x, span);
}

function band(plot, row, height, name, x, span) {
  const width = x(row.interval + span) - x(row.interval);
  draw("rect", { x: x(row.interval), y: plot.top, width, height, class: name }, plot.svg);
}

// As many full hours as have room for their text.
function hours(day, x, plot) {
  const step = (plot.right - plot.left > 480 ? 3 : 6) * HOUR_S;
  const marks = [];
  for (let at = day.first; at <= day.end; at += step) marks.push(at);
  return marks;
}

const values = (rows, column) => rows.map((row) => row[column]).filter((value) => value !== null);

function inWords(rows) {
  const most = (column) => (values(rows, column).length ? `up to ${Math.max(...values(rows, column)).toFixed(0)} %` : "none yet");
  const count = (column, phase) => rows.filter((row) => PHASES[row[column]] === phase).length;
  return `Loading of the worst element: forecast without dispatch ${most("forecast_loading_percent")}, ` +
    `measured ${most("actual_loading_percent")}; by forecast ${count("phase", "YELLOW")} intervals YELLOW and ` +
    `${count("phase", "RED")} RED, ${count("actual_phase", "RED")} measured RED.`;
}
