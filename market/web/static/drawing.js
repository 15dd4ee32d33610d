// The two drawings of the page, as SVG.
const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 46, right: 46, top: 12, bottom: 26 };

function draw(name, attributes, parent, text) {
  const shape = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
  if (text !== undefined) shape.textContent = text;
  parent.append(shape);
  return shape;
}

function canvas(container, width, height, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  container.replaceChildren(svg);
  return svg;
}

const scale = (low, high, from, to) => (value) => from + ((value - low) / (high - low || 1)) * (to - from);

// A step at a time in 1, 2 or 5 times a power of ten, about `count` of them up to `high`.
function ticks(high, count = 5) {
  const rough = high / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough);
  return Array.from({ length: Math.floor(high / step) + 1 }, (_, index) => index * step);
}

function stepPath(points, x, y, width) {
  let path = "";
  let previous = null;
  for (const [at, value] of points) {
    if (value === null || value === undefined) { previous = null; continue; }
    path += `${previous === null ? "M" : "L"}${x(at).toFixed(1)},${y(value).toFixed(1)}H${x(at + width).toFixed(1)}`;
    previous = value;
  }
  return path;
}

export function drawLoading(container, overview, clock) {
  const [width, height] = [960, 300];
  const svg = canvas(container, width, height, "Loading of the worst element over the day");
  const unit = overview.time_unit_s;
  const rows = overview.series;
  const x = scale(overview.day.first, overview.day.end, MARGIN.left, width - MARGIN.right);
  const highest = Math.max(110, ...rows.flatMap((row) => [row.forecast_loading_percent ?? 0, row.actual_loading_percent ?? 0]));
  const y = scale(0, highest * 1.05, height - MARGIN.bottom, MARGIN.top);
  for (const row of rows.filter((each) => each.phase > 0)) {
    draw("rect", { x: x(row.interval), y: MARGIN.top, width: x(row.interval + unit) - x(row.interval),
      height: height - MARGIN.top - MARGIN.bottom, class: `band-${row.phase === 1 ? "YELLOW" : "RED"}` }, svg);
  }
  for (const tick of ticks(highest)) {
    draw("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick), class: "axis" }, svg);
    draw("text", { x: MARGIN.left - 6, y: y(tick) + 4, "text-anchor": "end" }, svg, tick);
  }
  for (let at = overview.day.first; at <= overview.day.end; at += 12 * unit) {
    draw("text", { x: x(at), y: height - 8, "text-anchor": "middle" }, svg, clock(at));
  }
  draw("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(100), y2: y(100), class: "limit" }, svg);
  const column = (name) => rows.map((row) => [row.interval, row[name]]);
  draw("path", { d: stepPath(column("forecast_loading_percent"), x, y, unit), class: "forecast" }, svg);
  draw("path", { d: stepPath(column("actual_loading_percent"), x, y, unit), class: "actual" }, svg);
  const prices = rows.map((row) => row.marginal_price_ueur_kwh).filter((price) => price);
  if (prices.length > 0) {
    const top = Math.max(...prices) * 1.2;
    const price = scale(0, top, height - MARGIN.bottom, MARGIN.top);
    draw("path", { d: stepPath(column("marginal_price_ueur_kwh"), x, price, unit), class: "price" }, svg);
    for (const tick of ticks(top / 10_000)) {
      draw("text", { x: width - MARGIN.right + 6, y: price(tick * 10_000) + 4 }, svg, tick);
    }
  }
  const now = Math.min(Math.max(overview.now, overview.day.first), overview.day.end);
  draw("line", { x1: x(now), x2: x(now), y1: MARGIN.top, y2: height - MARGIN.bottom, class: "now" }, svg);
}

export function drawAuction(container, auction) {
  const [width, height] = [1180, 300];
  const svg = canvas(container, width, height, "Merit order of the latest auction");
  if (!auction || auction.bids.length === 0) {
    draw("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, svg,
      auction ? "Nobody bid in the latest auction." : "No auction has been cleared yet.");
    return;
  }
  const offered = auction.bids.reduce((sum, bid) => sum + bid.quantity, 0);
  const x = scale(0, Math.max(offered, auction.quantity) * 1.03, MARGIN.left, width - MARGIN.right);
  const highest = Math.max(auction.limit_price_ueur_kwh, ...auction.bids.map((bid) => bid.price_ueur_kwh));
  const y = scale(0, highest * 1.15, height - MARGIN.bottom, MARGIN.top);
  for (const tick of ticks((highest * 1.15) / 10_000)) {
    draw("text", { x: MARGIN.left - 6, y: y(tick * 10_000) + 4, "text-anchor": "end" }, svg, tick);
  }
  let start = 0;
  for (const bid of auction.bids) {
    const lost = bid.rejected ? "rejected" : bid.passed_over ? "passed" : "lost";
    const text = `#${bid.index}: ${bid.quantity} Wh at ${(bid.price_ueur_kwh / 10_000).toFixed(2)} cent/kWh, ${bid.awarded} Wh awarded`;
    // The marginal bid may win in part: its two parts stand side by side.
    const parts = [["won", start, bid.awarded], [lost, start + bid.awarded, bid.quantity - bid.awarded]];
    for (const [state, from, quantity] of parts.filter((part) => part[2] > 0)) {
      const box = draw("rect", { x: x(from), y: y(bid.price_ueur_kwh), width: Math.max(1, x(from + quantity) - x(from)),
        height: y(0) - y(bid.price_ueur_kwh), class: `step ${state}` }, svg);
      draw("title", {}, box, text);
    }
    start += bid.quantity;
  }
  for (const tick of ticks(Math.max(offered, auction.quantity))) {
    draw("text", { x: x(tick), y: height - 8, "text-anchor": "middle" }, svg, `${tick} Wh`);
  }
  draw("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(auction.limit_price_ueur_kwh), y2: y(auction.limit_price_ueur_kwh), class: "limit" }, svg);
  draw("text", { x: width - MARGIN.right, y: y(auction.limit_price_ueur_kwh) - 5, "text-anchor": "end" }, svg,
    `limit ${(auction.limit_price_ueur_kwh / 10_000).toFixed(2)} cent/kWh`);
  draw("line", { x1: x(auction.quantity), x2: x(auction.quantity), y1: MARGIN.top, y2: height - MARGIN.bottom, class: "cut" }, svg);
  draw("text", { x: x(auction.quantity) + 5, y: MARGIN.top + 10 }, svg, `asked ${auction.quantity} Wh, awarded ${auction.cut_quantity} Wh`);
}
