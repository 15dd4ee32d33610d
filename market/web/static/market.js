// The live page: reads a node's overview, and reads it again whenever the market's stream says that something changed.
import { auctionInWords, drawAuction } from "/static/auction.js";
import { drawLoading } from "/static/loading.js";

const REFRESH_MS = 400; // many events of one moment cause one refresh
const LOOK_AGAIN_MS = 20_000;
const TOPICS = "signals,offers,clearing,settlements";
const PHASES = ["GREEN", "YELLOW", "RED"];
const BASES = ["by the DSO's forecast", "by measurement"];
const DIRECTIONS = ["UP: more injection or less withdrawal", "DOWN: less injection or more withdrawal"];

const element = (id) => document.getElementById(id);
const time = (epoch, zone) =>
  new Date(epoch * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: zone });
const date = (epoch, zone) =>
  new Date(epoch * 1000).toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: zone });

let zone = "Europe/Rome";
let node = null;
let scheduled = null;
let shown = null;

async function read(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

function showConnection(up) {
  element("connection").dataset.state = up ? "up" : "down";
  element("connection").textContent = up ? "live" : "offline, trying again";
}

function showStandstill(since) {
  element("standstill").hidden = since === null;
  if (since !== null)
    element("standstill").textContent =
      `Trading stands still: the chain has taken nothing in since ${time(since, zone)}. What was sent waits, and goes on by itself.`;
}

function showLight({ light, now, time_unit_s: unit }) {
  const phase = light ? PHASES[light.phase] : null;
  const isOver = light && light.interval + unit <= now;
  for (const lamp of document.querySelectorAll(".lamp")) lamp.classList.toggle("on", lamp.dataset.phase === phase);
  element("lamps").setAttribute("aria-label", phase ?? "GREEN, not assessed");
  element("phase").textContent = phase ? `${phase} at ${time(light.interval, zone)}` : "GREEN (not assessed)";
  element("basis").textContent = phase ? BASES[light.kind] + (isOver ? `; the last interval assessed, ${date(light.interval, zone)}` : "") : "";
  element("reason").textContent = light?.reason?.text ?? "";
}

function showCharts(overview) {
  element("day").textContent = date(overview.day.first, zone);
  drawLoading(element("loading-chart"), overview, (epoch) => time(epoch, zone));
  const auction = overview.auction;
  element("auction-title").textContent = auction ? `for ${time(auction.interval, zone)}, ${DIRECTIONS[auction.direction]}` : "";
  element("auction-words").textContent = auctionInWords(auction);
  drawAuction(element("auction-chart"), auction);
}

function showTrades(trades) {
  const rows = trades.map((trade) => {
    const row = document.createElement("tr");
    const cells = [
      time(trade.interval, zone),
      `#${trade.index}`,
      (trade.price_ueur_kwh / 10_000).toFixed(2),
      trade.quantity,
      trade.delivered ?? "–",
      trade.paid_ueur === null ? "–" : (trade.paid_ueur / 1_000_000).toFixed(4),
      trade.outcome ?? "awaited",
    ];
    for (const cell of cells) row.insertCell().textContent = cell;
    row.lastElementChild.dataset.outcome = trade.outcome ?? "";
    return row;
  });
  element("trades").replaceChildren(...rows);
  element("no-trades").hidden = rows.length > 0;
}

async function refresh() {
  scheduled = null;
  try {
    const overview = await read(`/v1/nodes/${node}/overview`);
    zone = overview.time_zone;
    element("clock").textContent = `${date(overview.now, zone)}, ${time(overview.now, zone)}`;
    showStandstill(overview.standstill_since);
    showLight(overview);
    showCharts(overview);
    shown = overview;
    showTrades(overview.trades);
    showConnection(true);
  } catch (error) {
    console.error(error);
    showConnection(false);
    schedule(2000);
  }
}

function schedule(delay = REFRESH_MS) {
  scheduled ??= setTimeout(refresh, delay);
}

function listen() {
  const stream = new EventSource(`/v1/stream?topics=${TOPICS}`);
  for (const topic of TOPICS.split(",")) stream.addEventListener(topic, () => schedule());
  stream.onopen = () => schedule(0);
  stream.onerror = () => showConnection(false);
}

async function start() {
  try {
    const nodes = (await read("/v1/nodes")).items;
    if (nodes.length === 0) throw new Error("no node is registered yet");
    const select = element("node");
    select.replaceChildren(...nodes.map((each) => new Option(each.name, each.node)));
    node = nodes[0].node;
    select.onchange = () => { node = Number(select.value); refresh(); };
    await refresh();
    setInterval(schedule, LOOK_AGAIN_MS);  // a market that stands still sends no events
    new ResizeObserver(() => shown && showCharts(shown)).observe(document.querySelector("main"));
    listen();
  } catch (error) {
    console.error(error);
    showConnection(false);
    setTimeout(start, 2000);
  }
}

start();
