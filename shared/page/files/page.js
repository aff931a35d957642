// The page's life: it asks for the state every two seconds and for what is new in the history; less often when
// nobody looks, and ever later while nobody answers. What is shown is never older than what is said of it.
import {Plot, bytes, element, figure, spark} from "./draw.js";
import * as sections from "./sections.js";

const EVERY_MS = 2000, HIDDEN_MS = 30000, LONGEST_MS = 30000, LATE_MS = 8000;
const NAMES = "requests,errors,refusals,latency_mean,latency_p99,in_flight,connections,cpu,memory,resident,instances," +
  "advice,fast_failures,fallbacks,outbox_depth,outbox_dead,tier_refusals:*,policy_refusals:*,breaker_state:*,breaker_calls:*";
const STEPS = {900: 2, 3600: 5, 86400: 120};
const byId = (id) => document.getElementById(id);

// The columns of the time that is shown, and the last two minutes by the second for the tiles.
class History {
  all = []; // times, and the columns beside them
  step = 5;
  columns = new Map();
  first = 0; // before it nothing is known of anything

  constructor(seconds) {
    this.seconds = seconds;
    this.step = STEPS[seconds];
  }

  async update() {
    const from = this.all.length > 0 ? this.all.at(-1) : `-${this.seconds}`;
    const data = await ask(`history?name=${encodeURIComponent(NAMES)}&from=${from}&step=${this.step}`);
    const keep = this.all.filter((time) => time < data.from && time > data.now - this.seconds - this.step);
    const cut = this.all.indexOf(keep[0] ?? data.from);
    const times = [...keep, ...Array.from({length: data.count}, (_, i) => data.from + i * data.step)];
    const columns = new Map();
    for (const series of data.series) {
      const old = this.columns.get(series.name);
      const before = old ? old.slice(Math.max(cut, 0), Math.max(cut, 0) + keep.length) : new Array(keep.length).fill(null);
      columns.set(series.name, [...before, ...series.values]);
    }
    this.all = times;
    this.columns = columns;
    // A suite that began lately fills the plots; one minute at the least.
    const known = times.findIndex((_, i) => [...columns.values()].some((values) => values[i] !== null));
    this.first = known < 0 ? 0 : Math.max(0, Math.min(known, times.length - Math.ceil(60 / this.step)));
  }

  get times() {
    return this.all.slice(this.first);
  }

  values(name) {
    return this.columns.get(name)?.slice(this.first) ?? null;
  }

  // The newest step is not over yet: the one before it counts, if it is there.
  last(name) {
    const values = this.values(name) ?? [];
    return values.at(-2) ?? values.at(-1) ?? null;
  }

  keys(prefix) {
    return [...this.columns.keys()].filter((name) => name.startsWith(prefix)).sort();
  }
}

async function ask(path) {
  const answer = await fetch(path, {cache: "no-store", signal: AbortSignal.timeout(LATE_MS)});
  if (!answer.ok) {
    const detail = await answer.json().then((body) => body.detail, () => "");
    throw new Error(`${answer.status} ${detail || answer.statusText}`);
  }
  return answer.json();
}

// ---- tiles --------------------------------------------------------------------------------------

const TILES = [
  ["Requests", "requests", "/s"], ["Errors", "errors", "/s"], ["Refused by limits", "refusals", "/s"],
  ["Fast failures", "fast_failures", "/s"], ["Latency, mean", "latency_mean", "ms"], ["Latency, p99", "latency_p99", "ms"],
  ["Calls in flight", "in_flight", ""], ["CPU", "cpu", "%"], ["Memory", "memory", "%"], ["Suite's memory", "resident", bytes],
  ["Instances", "instances", ""], ["Waiting in the outbox", "outbox_depth", ""],
];

function drawTiles() {
  byId("tiles").replaceChildren(...TILES.map(([label, name, unit]) => {
    const value = history.last(name);
    const shown = typeof unit === "function" ? unit(value) : figure(value);
    const values = history.values(name) ?? [];
    return element("div", {class: "tile"}, element("dt", {}, label),
      element("dd", {class: "value", "data-name": name}, shown,
        typeof unit === "string" && unit && value !== null ? element("small", {}, unit) : null),
      element("dd", {}, spark(values, `${label} over the time of the plots`)));
  }));
}

// ---- plots --------------------------------------------------------------------------------------

const PLOTS = [
  ["Requests", "a second", [["answered", "requests"], ["errors", "errors"], ["refused", "refusals"]]],
  ["Latency", "ms", [["mean", "latency_mean"], ["p99", "latency_p99"]]],
  ["Refusals by tier", "a second", "tier_refusals:"],
  ["Refusals by policy", "a second", "policy_refusals:"],
  ["Calls by breaker", "a second", "breaker_calls:"],
  ["Fallbacks and fast failures", "a second", [["fast failures", "fast_failures"], ["fallbacks", "fallbacks"]]],
  ["CPU and memory", "percent", [["CPU", "cpu"], ["memory", "memory"]]],
  ["Instances", "instances", [["there", "instances"], ["advised", "advice"]]],
  ["Outbox", "operations", [["waiting", "outbox_depth"], ["dead", "outbox_dead"]]],
].map(([title, unit, names]) => ({title, unit, names}));

function drawPlots() {
  for (const each of PLOTS) {
    each.plot ??= new Plot(byId("plots"), each.title, each.unit);
    const names = typeof each.names === "string"
      ? history.keys(each.names).map((name) => [name.slice(each.names.length), name]) : each.names;
    const series = names.map(([label, name]) => ({label, values: history.values(name)}))
      .filter(({values}) => values?.some((value) => value !== null));
    each.plot.show(history.times, series, history.step);
  }
}

// ---- is it alive --------------------------------------------------------------------------------

let history = new History(3600);
let lastGood = null, failures = 0, timer = null, state = null, running = false;

function say(kind, text, notice = "") {
  const pill = byId("live"), box = byId("notice");
  if (pill.textContent !== text) pill.textContent = text;
  pill.dataset.kind = kind;
  if (box.textContent !== notice) box.textContent = notice;
  box.hidden = notice === "";
  document.body.classList.toggle("stale", kind === "bad");
}

function sayHow(problem) {
  if (problem) {
    const since = lastGood ? `What is shown is from ${new Date(lastGood).toLocaleTimeString()}.` : "Nothing is known yet.";
    say("bad", lastGood ? "stale" : "no answer", `The gateway does not answer (${problem.message}). ${since}`);
  } else if (!state.agentAlive) {
    say("warn", "agent away", "The metrics-agent is away: plots and rates stand still; breakers, processes and totals are live.");
  } else if (history.problem) {
    say("warn", "no history", `The history cannot be read (${history.problem}).`);
  } else {
    say("good", "live");
  }
}

async function turn() {
  if (running) return;
  running = true;
  clearTimeout(timer);
  try {
    const [given] = await Promise.all([ask("state"), history.update().then(() => {
      history.problem = null;
    }, (problem) => {
      history.problem = problem.message;
    })]);
    state = given;
    lastGood = Date.now();
    failures = 0;
    draw();
    sayHow(null);
  } catch (problem) {
    failures++;
    sayHow(problem);
  }
  running = false;
  const wait = failures > 0 ? Math.min(EVERY_MS * 2 ** (failures - 1), LONGEST_MS) : document.hidden ? HIDDEN_MS : EVERY_MS;
  timer = setTimeout(turn, wait * (0.9 + Math.random() * 0.2));
}

function draw() {
  byId("suite").textContent = `${state.suite} · ${location.host} · version ${state.version}`;
  document.title = `${state.breakers.some((each) => each.state === "OPEN") ? "● " : ""}${state.suite} · ValveChain`;
  drawTiles();
  drawPlots();
  sections.breakers(state, history);
  sections.limits(state, history);
  sections.outbox(state);
  sections.advice(state);
  sections.processes(state);
}

// ---- what people press --------------------------------------------------------------------------

function showTheme() {
  const dark = document.documentElement.dataset.theme === "dark";
  byId("theme").setAttribute("aria-pressed", String(dark));
  for (const {plot} of PLOTS) plot?.redraw();
}

byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  try {
    localStorage.setItem("valvechain-theme", root.dataset.theme);
  } catch {
    // No storage: until the page is loaded anew.
  }
  showTheme();
});
byId("ranges").addEventListener("click", (event) => {
  const seconds = Number(event.target.dataset.seconds);
  if (!seconds) return;
  for (const button of byId("ranges").children) button.setAttribute("aria-pressed", String(button === event.target));
  history = new History(seconds);
  turn();
});
document.addEventListener("visibilitychange", () => document.hidden || turn());
addEventListener("online", turn);

showTheme();
turn();
