// What the state says, as elements. Each function replaces the content of one section.
import {ago, bytes, clock, element, figure, shape, table} from "./draw.js";

const KINDS = {CLOSED: "good", OPEN: "bad", "HALF-OPEN": "warn", "FORCED-OPEN": "bad", "FORCED-CLOSED": "warn",
  DISABLED: "warn", "OBSERVE-ONLY": "warn"};
const RULES = {"error-rate": "too many of its calls failed", "slow-rate": "too many of its calls were slow",
  consecutive: "too many failures in a row", probes: "the probe calls were judged", expired: "a probe call never ended",
  command: "by command"};
// history.def: breaker_state
const STRIP = ["closed", "forced", "forced", "forced", "half", "open", "open"];
const STRIP_WORDS = ["closed", "observe-only", "disabled", "forced closed", "half-open", "open", "forced open"];

const fact = (label, value) => element("span", {}, `${label} `, element("b", {}, value));
const state = (text, kind) => element("span", {class: "state", "data-kind": kind}, text);

// Only what changed is replaced, so that what a reader is in stays where it is.
function fill(id, ...children) {
  const body = document.getElementById(id);
  const open = [...body.querySelectorAll("details[open]")].map((each) => each.dataset.key);
  const holder = element("div", {}, ...children);
  for (const details of holder.querySelectorAll("details")) {
    if (open.includes(details.dataset.key)) details.open = true;
  }
  if (body.innerHTML !== holder.innerHTML) body.replaceChildren(...holder.childNodes);
}

// One rectangle for each run of one state.
function timeline(name, times, step_s, values) {
  const svg = shape("svg", {class: "strip", viewBox: `0 0 ${Math.max(values.length, 1)} 10`, preserveAspectRatio: "none",
    role: "img"});
  const runs = [];
  values.forEach((value, i) => {
    const last = runs.at(-1);
    if (last && last.value === value) last.n++;
    else runs.push({value, from: i, n: 1});
  });
  const words = [];
  for (const run of runs) {
    if (run.value === null) continue;
    svg.append(shape("rect", {x: run.from, y: 0, width: run.n, height: 10, class: STRIP[run.value] ?? "forced"}));
    words.push(`${STRIP_WORDS[run.value]} from ${clock(times[run.from])} for ${ago(run.n * step_s)}`);
  }
  svg.setAttribute("aria-label", `${name}: ${words.slice(-6).join(", ") || "nothing known"}`);
  return svg;
}

function change(each) {
  const why = each.author ? `by ${each.author}: ${each.reason}` : RULES[each.rule] ?? "its time had come";
  const counts = each.failures + each.timeouts > 0
    ? ` (${each.failures} failed, ${each.timeouts} timed out, ${each.successes} good)` : "";
  return element("li", {}, `${each.from} → ${each.to}, ${ago(each.agoSeconds)} ago: ${why}${counts}`);
}

export function breakers(data, history) {
  if (data.breakers.length === 0) {
    fill("breakers-body", element("p", {class: "none"}, "No upstream is configured, so there is no breaker."));
    return;
  }
  fill("breakers-body", ...data.breakers.map((each) => {
    const values = history.values(`breaker_state:${each.name}`);
    return element("article", {class: "card", "aria-label": `breaker ${each.name}`},
      element("div", {class: "head"}, element("h3", {}, each.name), state(each.state, KINDS[each.state] ?? "warn")),
      element("p", {class: "facts"}, fact("for", ago(each.sinceSeconds)),
        each.untilSeconds !== null ? fact("until in", ago(each.untilSeconds)) : null,
        fact("calls", `${each.inFlight} of ${each.capacity}`),
        fact("window", `${each.successes} good, ${each.failures + each.timeouts} bad`),
        fact("refused", figure(each.refused)), fact("opened", `${each.opens}×`)),
      each.author ? element("p", {class: "facts"}, `by ${each.author}: ${each.reason}`) : null,
      values ? timeline(each.name, history.times, history.step, values) : null,
      values ? element("p", {class: "strip-ends", "aria-hidden": "true"}, element("span", {}, clock(history.times[0])),
        element("span", {}, "now")) : null,
      each.transitions.length === 0 ? null : element("details", {"data-key": each.name},
        element("summary", {}, "last changes"), element("ul", {class: "changes"}, ...each.transitions.map(change))));
  }));
}

function refusals(caption, head, totals, rate) {
  const names = Object.keys(totals).sort((a, b) => totals[b] - totals[a]);
  if (names.length === 0) return element("p", {class: "none"}, `${caption}: none yet.`);
  return element("div", {}, table(caption, [head, "#a second", "#in all"],
    names.map((name) => [name, {n: figure(rate(name))}, {n: figure(totals[name])}])));
}

export function limits(data, history) {
  const last = (series) => (name) => history.last(`${series}:${name}`);
  const shadow = Object.keys(data.refusals.shadow).filter((name) => data.refusals.shadow[name] > 0);
  fill("limits-body", refusals("By tier", "tier", data.refusals.tiers, last("tier_refusals")),
    refusals("By policy", "policy", data.refusals.policies, last("policy_refusals")),
    shadow.length === 0 ? null
      : refusals("Shadow policies would have refused", "policy",
        Object.fromEntries(shadow.map((name) => [name, data.refusals.shadow[name]])), () => null));
}

export function outbox(data) {
  const names = Object.keys(data.outbox).sort();
  if (names.length === 0) {
    fill("outbox-body", element("p", {class: "none"}, "Nothing is kept: no route has the fallback queue, or the breaker process is away."));
    return;
  }
  fill("outbox-body", table("Operations that are kept, by upstream",
    ["upstream", "#queued", "#sending", "#dead", "#parked", "#bytes", "#oldest", "#attempts/s"],
    names.map((name) => {
      const kept = data.outbox[name];
      return [name, {n: figure(kept.queued ?? 0)}, {n: figure(kept.sending ?? 0)}, {n: figure(kept.dead ?? 0)},
        {n: figure(kept.parked ?? 0)}, {n: bytes(kept.bytes ?? 0)},
        {n: kept.queued ? ago(kept.ageSeconds) : "–"}, {n: figure(kept.rate ?? 0)}];
    })));
}

export function advice(data) {
  const given = data.advice;
  if (given === null) {
    fill("advice-body", element("p", {class: "none"}, "The advisor has not decided yet."));
    return;
  }
  const is_old = given.ageSeconds > 15;
  const kind = is_old || !given.valid ? "warn" : given.action === "none" ? "good" : "bad";
  const word = is_old ? `decided ${ago(given.ageSeconds)} ago` : given.valid ? given.action.replace("_", " ") : "blind";
  const signals = given.signals.map((each) => {
    const raw = each.raw ?? each.proposed;
    return element("li", {}, element("code", {}, each.signal), ` proposes ${raw}`,
      each.proposed !== raw ? ` (${each.proposed} after its veto)` : null, ` — ${each.reason}`);
  });
  const clamps = given.clamps.map((each) => element("li", {}, element("code", {}, each.rule),
    ` ${each.before} → ${each.after}`, each.reason ? ` — ${each.reason}` : null));
  fill("advice-body", element("div", {class: "card"},
    element("div", {class: "advice-head"},
      element("span", {class: "big"}, given.valid ? `${given.current} → ${given.desired}` : `${given.current}`),
      element("span", {class: "quiet"}, "instances"), state(word, kind),
      given.panicking ? state("burst", "bad") : null),
    element("p", {}, given.reason),
    element("ol", {class: "chain", "aria-label": "How the advice came about"}, ...signals, ...clamps,
      given.valid ? element("li", {class: "final"}, `Advised: ${given.desired}`) : null)));
}

export function processes(data) {
  fill("processes-body", table("Every process this suite knows",
    ["process", "state", "#pid", "#up", "#restarts", "finding"],
    data.processes.map((each) => [`${each.name}@${each.instance}`,
      each.alive ? state(each.ready ? "ready" : "not ready", each.ready ? "good" : "warn") : state("gone", "bad"),
      {n: `${each.pid}`}, {n: ago(each.upSeconds)}, {n: `${each.restarts}`}, each.finding || "–"])));
}
