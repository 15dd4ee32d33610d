// The merit order of an auction: every bid as a bar, cheapest first, up to the quantity asked and somewhat beyond.
import { baseAxis, cents, chart, draw, horizontal, scale, ticks, valueAxis, vertical } from "/static/drawing.js";

const HEIGHT = 320;
const SHOWN_TIMES_ASKED = 3; // far beyond the quantity asked nobody wins, and the winners would be too thin to see
const REACTIVE = [3, 4]; // products whose energy is counted in varh

export function drawAuction(container, auction) {
  if (!auction || auction.bids.length === 0) {
    container.replaceChildren(auction ? "Nobody bid in the latest auction." : "No auction has been cleared yet.");
    return;
  }
  const kilo = unitOf(auction);
  const words = auctionInWords(auction);
  const plot = chart(container, HEIGHT, words);
  const last = auction.bids.at(-1);
  const end = Math.min(1.03 * Math.max(last.start + last.quantity, auction.quantity), SHOWN_TIMES_ASKED * auction.quantity);
  const bids = auction.bids.filter((bid) => bid.start < end);
  const highest = 1.15 * Math.max(auction.limit_price_ueur_kwh, ...bids.map((bid) => bid.price_ueur_kwh));
  const x = scale(0, end, plot.left, plot.right);
  const y = scale(0, highest, plot.bottom, plot.top);
  valueAxis(plot, `price bid [cent/${kilo}]`, ticks(highest / 10_000, 7), (cent) => y(cent * 10_000));
  baseAxis(plot, `quantity [${kilo}]`, ticks(end / 1000, plot.right > 600 ? 10 : 5).map((tick) => [x(tick * 1000), tick]));
  for (const bid of bids) drawBid(plot, bid, x, y, end, kilo);
  horizontal(plot, y(auction.limit_price_ueur_kwh), "limit");
  note(plot, plot.right, y(auction.limit_price_ueur_kwh) - 5, "end", `limit price ${cents(auction.limit_price_ueur_kwh)}`);
  vertical(plot, x(auction.quantity), "asked");
  const isRight = x(auction.quantity) > (plot.left + plot.right) / 2;
  note(plot, x(auction.quantity) + (isRight ? -5 : 5), plot.top + 10, isRight ? "end" : "start", `asked ${kilos(auction.quantity)} ${kilo}`);
  drawCut(plot, auction, x, y);
}

// Where the curve is cut: the end of the last bid that won, at its price.
function drawCut(plot, auction, x, y) {
  const marginal = auction.bids.findLast((bid) => bid.awarded > 0);
  if (!marginal) return;
  const [at, price] = [x(marginal.start + marginal.awarded), y(marginal.price_ueur_kwh)];
  vertical(plot, at, "cut", price);
  draw("circle", { cx: at, cy: price, r: 4.5, class: "cut" }, plot.svg);
  const text = `cut ${cents(marginal.price_ueur_kwh)}`;
  note(plot, at + (at > plot.left + 80 ? -8 : 8), price - 8, at > plot.left + 80 ? "end" : "start", text);
}

// The marginal bid may win in part: its two parts stand side by side.
function drawBid(plot, bid, x, y, end, kilo) {
  const without = bid.rejected ? "rejected" : bid.passed_over ? "passed" : "lost";
  const parts = [["won", bid.start, bid.awarded], [without, bid.start + bid.awarded, bid.quantity - bid.awarded]];
  for (const [state, from, quantity] of parts.filter((part) => part[2] > 0 && part[1] < end)) {
    const width = Math.max(1, x(Math.min(from + quantity, end)) - x(from));
    const height = plot.bottom - y(bid.price_ueur_kwh);
    const box = draw("rect", { x: x(from), y: y(bid.price_ueur_kwh), width, height, class: `step ${state}` }, plot.svg);
    draw("title", {}, box, `nanogrid #${bid.index}: ${kilos(bid.quantity)} ${kilo} at ${cents(bid.price_ueur_kwh)} cent/${kilo}, ${kilos(bid.awarded)} ${kilo} awarded`);
  }
}

const note = (plot, x, y, anchor, text) => draw("text", { x, y, "text-anchor": anchor, class: "note" }, plot.svg, text);
const kilos = (quantity) => (quantity / 1000).toFixed(1);
const unitOf = (auction) => (REACTIVE.includes(auction.product) ? "kvarh" : "kWh");

// The figures of the drawing, and what lies beyond its edge.
export function auctionInWords(auction) {
  if (!auction || auction.bids.length === 0) return "";
  const kilo = unitOf(auction);
  const winners = auction.bids.filter((bid) => bid.awarded > 0);
  const beyond = auction.bids.filter((bid) => bid.start >= SHOWN_TIMES_ASKED * auction.quantity).length;
  const price = auction.marginal_price_ueur_kwh === null ? "" : ` at up to ${cents(auction.marginal_price_ueur_kwh)} cent/${kilo}`;
  return `Asked ${kilos(auction.quantity)} ${kilo}, awarded ${kilos(auction.cut_quantity)} ${kilo} to ${winners.length} of ` +
    `${auction.bids.length} bids${price}; limit price ${cents(auction.limit_price_ueur_kwh)} cent/${kilo}.` +
    (beyond ? ` ${beyond} more bids, beyond three times the quantity asked, are not drawn.` : "");
}
