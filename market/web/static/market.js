// The live page: reads a node's overview, and reads it again whenever the market's stream says that something changed.
import { drawAuction, drawLoading } from "/static/charts.js";

const REFRESH_MS = 400; // many events of one moment cause one refresh
const TOPICS = "signals,offers,clearing,settlements";
const PHASES = ["GREEN", "YELLOW", "RED"];

const element = (id) => document.getElementById(id);
const time = (epoch, zone) =>
  new Date(epoch * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: zone });

let zone = "Europe/Rome";
let node = null;
let scheduled = null;

async function read(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

function showConnection(up) {
  element("connection").dataset.state = up ? "up" : "down";
  element("connection").textContent = up ? "live" : "offline, trying again";
}

function showLight(light) {
  const phase = light ? PHASES[light.phase] : null;
  for (const lamp of document.querySelectorAll(".lamp")) lamp.classList.toggle("on", lamp.dataset.phase === phase);
  element("lamps").setAttribute("aria-label", phase ?? "GREEN, not assessed");
  element("phase").textContent = phase ? `${phase} at ${time(light.interval, zone)}` : "GREEN (not assessed)";
  element("reason").textContent = light?.reason?.text ?? "";
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
    element("clock").textContent = new Date(overview.now * 1000).toLocaleString("en-GB", {
      weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZone: zone,
    });
    showLight(overview.light);
    drawLoading(element("loading-chart"), overview, (epoch) => time(epoch, zone));
    element("auction-title").textContent = overview.auction
      ? `for ${time(overview.auction.interval, zone)}, ${overview.auction.direction === 0 ? "UP" : "DOWN"}` : "none yet";
    drawAuction(element("auction-chart"), overview.auction);
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
    listen();
  } catch (error) {
    console.error(error);
    showConnection(false);
    setTimeout(start, 2000);
  }
}

start();
