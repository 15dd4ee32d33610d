// What both charts are drawn with: SVG as wide as its container, so that text keeps its size on a phone.
const SVG = "http://www.w3.org/2000/svg";
const LEAST_WIDTH = 280;
export const MARGIN = { left: 44, right: 44, top: 26, bottom: 40 };

export function draw(name, attributes, parent, text) {
  const shape = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
  if (text !== undefined) shape.textContent = text;
  parent.append(shape);
  return shape;
}

// An empty chart; `label` says in words what it shows.
export function chart(container, height, label) {
  const width = Math.max(LEAST_WIDTH, container.clientWidth);
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label })) {
    svg.setAttribute(key, value);
  }
  container.replaceChildren(svg);
  return { svg, left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
}

export const scale = (low, high, from, to) => (value) => from + ((value - low) / (high - low || 1)) * (to - from);

// From 0 up to `high` in steps of 1, 2 or 5 times a power of ten, at most `count` of them.
export function ticks(high, count) {
  const rough = high / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough);
  return Array.from({ length: Math.floor(high / step) + 1 }, (_, index) => Number((index * step).toPrecision(6)));
}

// The axis' title stands above it, where it needs no turned text.
export function valueAxis(plot, title, marks, y, side = "left") {
  const isLeft = side === "left";
  const [at, anchor] = isLeft ? [plot.left - 6, "end"] : [plot.right + 6, "start"];
  for (const mark of marks) {
    if (isLeft) draw("line", { x1: plot.left, x2: plot.right, y1: y(mark), y2: y(mark), class: "grid" }, plot.svg);
    draw("text", { x: at, y: y(mark) + 4, "text-anchor": anchor }, plot.svg, mark);
  }
  const [start, fromEnd] = isLeft ? [4, "start"] : [plot.right + MARGIN.right - 4, "end"];
  draw("text", { x: start, y: 12, "text-anchor": fromEnd, class: `title ${side}` }, plot.svg, title);
}

// `marks`: pairs of a place and its text.
export function baseAxis(plot, title, marks) {
  for (const [at, text] of marks) draw("text", { x: at, y: plot.bottom + 16, "text-anchor": "middle" }, plot.svg, text);
  const middle = (plot.left + plot.right) / 2;
  draw("text", { x: middle, y: plot.bottom + 34, "text-anchor": "middle", class: "title" }, plot.svg, title);
}

export function horizontal(plot, y, name) {
  draw("line", { x1: plot.left, x2: plot.right, y1: y, y2: y, class: name }, plot.svg);
}

export function vertical(plot, x, name, from = plot.top) {
  draw("line", { x1: x, x2: x, y1: from, y2: plot.bottom, class: name }, plot.svg);
}

// A line that holds each value for `span`, with a gap where there is none.
export function steps(points, x, y, span) {
  let path = "";
  let isGap = true;
  for (const [at, value] of points) {
    if (value !== null) path += `${isGap ? "M" : "L"}${x(at).toFixed(1)},${y(value).toFixed(1)}H${x(at + span).toFixed(1)}`;
    isGap = value === null;
  }
  return path;
}

export const cents = (ueur) => (ueur / 10_000).toFixed(2);
