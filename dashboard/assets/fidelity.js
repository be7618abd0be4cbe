/* The view "Forecasts" of the page "Twin health": the certificate, what came against what was forecast, drift with
   what to do about it. Called by health.js, which keeps the page's data. */
(() => {
"use strict";
const LIGHT = {green: ["●", "holds"], amber: ["▲", "doubtful"], red: ["■", "broken"], unknown: ["○", "not enough yet"]};
const WIDE = ["wip", "output", "backlog"], SCORES_MS = 6000;
const FIT = {failure: "fail"}; /* the drift charts' names of parameters, where the refits' are others */
const mine = {scores: null, asked: -1e9, ahead: null};
let kit, page, tools;

function seriesName(name) {
  const [kind, place] = String(name).split("/");
  return {at: `WIP at ${place}`, out: `Parts out of ${place}`, stock: `${place} on hand`}[kind] || kit.label(String(name));
}
/* The twin's sentences name a series by its key. */
const spoken = (n) => named(n.kind === "forecast" ? n.text : n.text.replace(n.place, n.place.replaceAll("/", ", ")));
const named = (text) => { const told = String(text).replace(/^(wip|output|backlog|(?:at|out|stock)\/\S+)(?= )/, (key) => seriesName(key)); return told[0].toUpperCase() + told.slice(1); };
const unitOf = (name) => name === "backlog" ? "orders" : "parts";
const percent = (x) => `${Math.round(100 * x)} %`;
const signed = (x) => `${x > 0 ? "+" : x < 0 ? "−" : ""}${kit.num(Math.abs(x), 2)}`;
function light(level, text) {
  const known = LIGHT[level] ? level : "unknown", el = kit.make("span", {class: "light", "data-light": known});
  kit.make("span", {class: "shape", "aria-hidden": "true"}, el, LIGHT[known][0]);
  kit.make("span", {}, el, text ?? LIGHT[known][1]);
  return el;
}

/* ---- the certificate ---- */
function certificate(c) {
  if (!c) return tools.show("fidelity-now", [tools.gone("The certificate")]);
  const now = (kit.live.frame || {}).t || c.t, nodes = [];
  const head = kit.make("div", {class: "verdict", "data-key": "verdict"});
  head.append(light(c.light, {green: "Forecasts hold what they promise", amber: "Forecasts are doubtful", red: "Forecasts are not to be trusted: advice is off", unknown: "Not enough evidence yet"}[c.light] || c.light));
  nodes.push(head);
  const counting = c.light === "unknown" && (c.why || []).every((text) => /too early: \d+ of \d+ forecasts$/.test(text));
  if (!counting) for (const text of (c.why || []).slice(0, 4)) nodes.push(tools.p(`${named(text)}.`, ""));
  else nodes.push(tools.p(`${named((c.why || [])[0] || "too early")}. Forecasts of a series must have come due, without overlap, before anything is said of it. Until then believe bands with care.`));
  const left = c.expires ? (c.expires - now) / 1000 : null;
  nodes.push(tools.p(c.expires ? `From ${tools.plural(c.n, "scored forecast")}; ${left > 0 ? `valid until ${kit.clock(c.expires)} (${kit.span(left)} of plant time)` : `expired ${kit.clock(c.expires)}`}.` : `From ${tools.plural(c.n || 0, "scored forecast")} so far.`));
  nodes.push(...shift(page.data.forecast));
  const stations = ((kit.live.plant || {}).stations || []).map((s) => s.id);
  if (stations.length) {
    const list = kit.make("ul", {class: "chips", "aria-label": "Fidelity by station", "data-key": "stations"});
    for (const id of stations) {
      const level = (c.stations || {})[id] || "unknown", lines = (c.lines || []).filter((l) => l.name.endsWith(`/${id}`) && l.why.length && l.light === level);
      const chip = kit.make("li", {class: "light station-chip", "data-station": id, "data-light": LIGHT[level] ? level : "unknown", tabindex: "0", title: lines.map((l) => `${seriesName(l.name)} ${kit.span(l.ahead_s)} ahead: ${l.why.join("; ")}`).join("\n") || LIGHT[level][1]}, list);
      kit.make("span", {class: "shape", "aria-hidden": "true"}, chip, LIGHT[level][0]);
      kit.make("span", {}, chip, id);
      kit.make("span", {class: "unseen"}, chip, LIGHT[level][1]);
    }
    nodes.push(kit.make("h3", {}, null, "By station"), list);
  }
  nodes.push(kit.make("h3", {}, null, "Where it holds"), outside(c));
  tools.show("fidelity-now", nodes);
}
/* The shift that runs, as experience has it and as the model alone has it, and how the one before it went. */
const minute = (t) => kit.clock(t).replace(/:\d\d$/, "");
const band = (s) => `${kit.num(Math.round(s.mean))} good parts (${kit.num(Math.round(s.lo))} to ${kit.num(Math.round(s.hi))})`;
function shift(fc) {
  const s = (fc || {}).shift;
  if (!s) return [];
  const box = kit.make("p", {class: "shift", "data-key": "shift"}), last = s.last, more = [];
  if (s.mean === null || s.mean === undefined) box.append(`${s.a ? "This shift" : "No shift runs"}: ${s.a ? `no forecast (${s.why})` : s.why}. ${s.next ? `The next begins ${minute(s.next)}.` : ""}`);
  else {
    kit.make("b", {}, box, `This shift: ${band(s)}`);
    const rests = s.n ? `model alone ${kit.num(Math.round(s.alone.mean))}; from ${tools.plural(s.n, "shift")} that ended` : "the model alone: no shift has ended that could correct it";
    box.append(`, ${rests}. ${kit.num(s.so_far)} so far, until ${minute(s.b)}${s.plan === "fixed" ? " (fixed shifts of 8 h: the plant file has no calendar)" : ""}.`);
  }
  if (last) more.push(tools.p(`The shift that ended ${minute(last.b)} made ${kit.num(last.out)} (${last.by}); forecast at its beginning: ${band(last)}, model alone ${kit.num(Math.round(last.alone.mean))}.`));
  return [box, ...more];
}
function outside(c) {
  const names = c.outside || [];
  if (!names.length) return tools.p((c.lines || []).some((l) => l.seen) ? "The plant is where the scored forecasts have been: no series lies outside of what was seen." : "Nothing has been seen long enough to say where the forecasts hold.");
  const seen = (name) => (c.lines || []).filter((l) => l.name === name && l.seen).map((l) => l.seen);
  const told = names.map((name) => {
    const ranges = seen(name), lo = Math.min(...ranges.map((r) => r[0])), hi = Math.max(...ranges.map((r) => r[1]));
    return `${seriesName(name)} (seen: ${kit.num(lo)} to ${kit.num(hi)})`;
  });
  return kit.sign("stale", `Beyond all that scored forecasts have seen, so that nothing backs the forecasts of: ${told.join(", ")}.`);
}

/* ---- the lines: what was promised, what came ---- */
function mark(lo, value, hi, low, high, extra) {
  const svg = kit.make("svg", {viewBox: "0 0 120 20", class: "interval", "aria-hidden": "true", preserveAspectRatio: "none"});
  const x = (v) => 120 * Math.min(Math.max((v - low) / (high - low || 1), 0), 1);
  kit.make("rect", {x: 0, y: 7, width: 120, height: 6, class: "bar"}, svg);
  extra(svg, x);
  kit.make("rect", {x: x(lo).toFixed(1), y: 4, width: Math.max(x(hi) - x(lo), 1.5).toFixed(1), height: 12, class: "band"}, svg);
  kit.make("rect", {x: Math.min(Math.max(x(value) - 1.5, 0), 117).toFixed(1), y: 1, width: 3, height: 18, class: "value"}, svg);
  return svg;
}
function both(svg, text) { const box = kit.make("div", {class: "marked"}); box.append(svg, kit.make("span", {}, null, text)); return box; }
function coverage(l) {
  const svg = mark(l.coverage_lo, l.coverage90, l.coverage_hi, 0, 1, (s, x) => kit.make("rect", {x: x(0.9) - 0.75, y: 0, width: 1.5, height: 20, class: "goal"}, s));
  return both(svg, `${percent(l.coverage90)} (${percent(l.coverage_lo)} to ${percent(l.coverage_hi)})`);
}
function bias(l) {
  const most = 2 * Math.max(l.tolerance, Math.abs(l.bias_lo), Math.abs(l.bias_hi)) || 1;
  const svg = mark(l.bias_lo, l.bias, l.bias_hi, -most, most, (s, x) => {
    kit.make("rect", {x: x(-l.tolerance), y: 6, width: x(l.tolerance) - x(-l.tolerance), height: 8, class: "allowed"}, s);
    kit.make("rect", {x: 59.25, y: 0, width: 1.5, height: 20, class: "goal"}, s);
  });
  return both(svg, `${signed(l.bias)} ${unitOf(l.name)}, ± ${kit.num(l.tolerance, 2)} allowed`);
}
function skill(l) { const s = (l.skill || {}).persistence; return s === null || s === undefined ? "–" : `${s >= 0 ? "+" : "−"}${percent(Math.abs(s))}`; }
function lines(c) {
  if (!c) return tools.show("lines", [tools.gone("The certificate")]);
  const all = c.lines || [];
  if (!all.length) return tools.show("lines", [tools.p("No forecast has come due yet. The first ones do a quarter of an hour of plant time after the twin has started; WIP, output and backlog are judged from their tenth on, a station's series once a verdict can be told from chance.")]);
  const rank = (l) => ["red", "amber"].indexOf(l.light) + 1 || (WIDE.includes(l.name) ? 3 : 4);
  const judged = all.filter((l) => l.light !== "unknown").sort((a, b) => rank(a) - rank(b) || WIDE.indexOf(a.name) - WIDE.indexOf(b.name) || a.name.localeCompare(b.name) || a.ahead_s - b.ahead_s);
  const first = judged.filter((l) => l.light !== "green" || WIDE.includes(l.name)), rest = judged.filter((l) => !first.includes(l)), waiting = all.filter((l) => l.light === "unknown");
  const head = ["Series", "Ahead", "Record", "Forecasts", "In the 90 % band", "Bias (forecast less measured)", "Better than “it stays”", "Why"];
  const row = (l) => [seriesName(l.name), kit.span(l.ahead_s), light(l.light), l.n, coverage(l), bias(l), skill(l), [...(l.why || []), l.widen > 1.05 ? `band widened ${kit.num(l.widen, 2)} times` : ""].filter(Boolean).join("; ")];
  const nodes = [first.length ? kit.table(head, first.map(row), "Series with something to say") : tools.p("It is too early for a word about any series.")];
  const fold = (key, title, inside) => { const d = kit.make("details", {class: "fold", "data-key": key}); kit.make("summary", {}, d, title); d.append(inside); nodes.push(d); };
  if (rest.length) fold("rest", `${rest.length} more within their promise`, kit.table(head, rest.map(row), "Series within their promise"));
  if (waiting.length) fold("waiting", `${waiting.length} not judged yet: too few forecasts have come due to tell a verdict from chance`, kit.table(["Series", "Ahead", "Too early", "In the 90 % band so far"], waiting.map((l) => [seriesName(l.name), kit.span(l.ahead_s), `${l.n} of ${l.need} forecasts`, l.seen ? percent(l.coverage90) : "–"]), "Series not judged yet"));
  tools.show("lines", nodes);
}

/* ---- residuals ---- */
function residuals(s) {
  const el = kit.byId("residuals");
  if (!el) return;
  if (!s) return tools.show("residuals", [tools.gone("The scores")]);
  if (!s.n) return tools.show("residuals", [tools.p("No forecast has come due yet, so there is nothing to compare. The first comes a quarter of an hour of plant time after the start.")]);
  const aheads = [...new Set(s.rows.map((r) => r.ahead_s))].sort((a, b) => a - b);
  if (!aheads.includes(mine.ahead)) mine.ahead = aheads[0];
  choose(aheads);
  const box = kit.make("div", {class: "multiples", "data-key": "multiples"});
  for (const name of WIDE) {
    const rows = s.rows.filter((r) => r.name === name && r.ahead_s === mine.ahead).slice(-48);
    if (rows.length) box.append(multiple(name, rows));
  }
  box.append(histogram(s.ranks || []));
  tools.show("residuals", [box, tools.p(`Bars: the forecast's 90 % band, made ${kit.span(mine.ahead || 0)} before; dot: what came; ▲: it came outside. ${percent(s.coverage90)} of ${tools.plural(s.n, "forecast")} of all series came inside.`)]);
}
function choose(aheads) {
  const el = kit.byId("residual-choose"), key = aheads.join();
  if (!el || el.dataset.key === key) return;
  el.dataset.key = key;
  const list = kit.make("select", {class: "button", "aria-label": "How far ahead"});
  aheads.forEach((a) => kit.make("option", {value: a, ...(a === mine.ahead ? {selected: ""} : {})}, list, `${kit.span(a)} ahead`));
  list.addEventListener("change", () => { mine.ahead = Number(list.value); residuals(mine.scores); });
  el.replaceChildren(list);
}
function figure(name, title, told) {
  const box = kit.make("figure", {class: "multiple", "data-key": name});
  kit.make("figcaption", {}, box, title);
  const svg = kit.make("svg", {viewBox: "0 0 320 130", role: "img", "aria-label": told}, box);
  return [box, svg];
}
function axis(svg, top, low, y) {
  for (const v of [low, (low + top) / 2, top]) {
    kit.make("line", {x1: 40, x2: 316, y1: y(v), y2: y(v), class: "rule"}, svg);
    kit.make("text", {x: 35, y: y(v) + 4, class: "tick", "text-anchor": "end"}, svg, kit.num(v));
  }
}
function multiple(name, rows) {
  const missed = rows.filter((r) => !r.covered).length, newest = rows[rows.length - 1];
  const told = `${seriesName(name)}: ${rows.length - missed} of the newest ${rows.length} inside the 90 % band; newest ${kit.num(newest.value)} against ${kit.num(newest.lo)} to ${kit.num(newest.hi)}`;
  const [box, svg] = figure(name, `${seriesName(name)}, ${unitOf(name)}${name === "output" ? ` in ${kit.span(rows[0].ahead_s)}` : ""}: ${rows.length - missed} of ${rows.length} inside`, told);
  const values = rows.flatMap((r) => [r.lo, r.hi, r.value]), low = Math.min(0, ...values) < 0 ? Math.min(...values) : Math.min(...values) > 0.6 * Math.max(...values) ? Math.floor(Math.min(...values)) : 0;
  const top = low ? Math.ceil(Math.max(...values)) : Math.max(kit.niceMax(Math.max(...values)), 2), y = (v) => 106 - 98 * (v - low) / (top - low || 1);
  const t0 = rows[0].t, t1 = newest.t, x = (t) => rows.length < 2 ? 178 : 46 + 264 * (t - t0) / (t1 - t0 || 1), wide = Math.min(8, 240 / rows.length);
  axis(svg, top, low, y);
  for (const r of rows) {
    kit.make("rect", {x: (x(r.t) - wide / 2).toFixed(1), y: y(r.hi).toFixed(1), width: wide.toFixed(1), height: Math.max(y(r.lo) - y(r.hi), 1.5).toFixed(1), class: "band"}, svg);
    if (r.covered) kit.make("circle", {cx: x(r.t).toFixed(1), cy: y(r.value).toFixed(1), r: 2.4, class: "came"}, svg);
    else kit.make("path", {d: `M${x(r.t).toFixed(1)} ${(y(r.value) - 5).toFixed(1)}l5 8.5h-10z`, class: "missed"}, svg);
  }
  const ends = rows.length < 2 ? [[178, "middle", t1]] : [[46, "start", t0], [314, "end", t1]];
  for (const [at, anchor, t] of ends) kit.make("text", {x: at, y: 126, class: "tick", "text-anchor": anchor}, svg, kit.clock(t).replace(/:\d\d$/, ""));
  return box;
}
function histogram(ranks) {
  const n = ranks.reduce((a, b) => a + b, 0), most = kit.niceMax(Math.max(...ranks, n / 10, 1)), y = (v) => 106 - 98 * v / most;
  const [box, svg] = figure("ranks", `Where it came within the forecasts, all series (${kit.num(n)}); line: even`, `Rank histogram: ${ranks.join(", ")}; ${kit.num(n / 10)} in each tenth where the forecasts are right`);
  axis(svg, most, 0, y);
  ranks.forEach((k, i) => kit.make("rect", {x: 46 + 26.8 * i, y: y(k).toFixed(1), width: 23, height: (106 - y(k)).toFixed(1), class: "tally"}, svg));
  kit.make("line", {x1: 42, x2: 316, y1: y(n / 10), y2: y(n / 10), class: "even"}, svg);
  kit.make("text", {x: 46, y: 126, class: "tick"}, svg, "lower than forecast");
  kit.make("text", {x: 314, y: 126, class: "tick", "text-anchor": "end"}, svg, "higher");
  return box;
}

/* ---- drift and refits ---- */
/* As the twin does it: a refit of work/mill is about a notice of work of mill/a/1; a share of scrap goes by its operation. */
function belongs(refit, notice) {
  const [kind, ...place] = String(refit.name).split("/"), about = place.join("/");
  return kind === (FIT[notice.kind] || notice.kind) && (`${notice.place}/`.startsWith(`${about}/`) || (kind === "yield" && notice.place.endsWith(`/${about}`)));
}
/* Spans are milliseconds, between two scrapped parts they are parts; forecasts have no mean of their own. */
function means(n) {
  if (n.kind === "forecast" || n.kind === "condition" || !(n.before > 0 && n.after > 0)) return "";
  const told = (v) => n.kind === "yield" ? `${kit.num(v)} parts` : kit.span(v / 1000);
  return `; mean ${told(n.before)} before, ${told(n.after)} since`;
}
/* Hours that are lived differently from the calendar; only a new plant file changes them. */
function hours(d) {
  if (!d.hours.length) return [];
  const box = kit.make("article", {class: "notice", "data-key": "hours"});
  kit.make("div", {class: "what"}, box, "Hours differ from the calendar");
  const list = kit.make("ul", {class: "small"}, box);
  d.hours.forEach((text) => kit.make("li", {}, list, `The plant ${text}.`));
  for (const [calendar, open] of Object.entries(d.open || {})) {
    const fold = kit.make("details", {class: "fold", "data-key": `hours ${calendar}`}, box);
    kit.make("summary", {}, fold, `Opening hours of ${calendar} that fit`);
    fold.append(tools.p(`open: "${open}" (breaks included). Write it into the plant file and restart the twin with it; forecasts of past shifts are then made again.`));
  }
  return [box];
}
function drift(d, refits) {
  const el = kit.byId("drift");
  if (!el) return;
  const open = ((d || {}).notices || []).filter((n) => !n.closed), waiting = (Array.isArray(refits) ? refits : []).filter((r) => r.status === "proposed"), nodes = [];
  if (!d) nodes.push(tools.gone("Drift"));
  const told = new Set();
  for (const n of open) {
    const about = waiting.filter((r) => belongs(r, n)), fresh = about.filter((r) => !told.has(r.id));
    fresh.forEach((r) => told.add(r.id));
    nodes.push(notice(n, about, fresh));
  }
  for (const r of waiting.filter((x) => !open.some((n) => belongs(x, n)))) nodes.push(proposal(r));
  if (d && d.hours) nodes.push(...hours(d));
  if (d && !open.length && !waiting.length) nodes.push(tools.p(d.charts ? `No drift: ${tools.plural(d.charts, "chart")} found no change in how the plant behaves, and no refit is proposed.` : "No chart has begun yet: each needs some forecasts that have come due, or twenty spans."));
  if (!Array.isArray(refits)) nodes.push(tools.p("Refits cannot be read from this twin now."));
  for (const r of standing(refits)) nodes.push(inForce(r));
  if (((d || {}).machines || []).length) nodes.push(...machines(d.machines));
  const past = [...(Array.isArray(refits) ? refits : []).filter((r) => r.status !== "proposed").slice(0, 6).map((r) => [r.words || r.says || r.title, r.status, [r.role, r.reason].filter(Boolean).join(": "), r.decided ? kit.clock(r.decided) : ""]),
    ...((d || {}).notices || []).filter((n) => n.closed).slice(0, 6).map((n) => [spoken(n), "settled", n.closed, kit.clock(n.t)])];
  if (past.length) { const f = kit.make("details", {class: "fold", "data-key": "past"}); kit.make("summary", {}, f, `Settled (${past.length})`); f.append(kit.table(["What", "Became", "By and why", "Plant time"], past, "Settled")); nodes.push(f); }
  tools.show("drift", nodes);
}
/* How each machine is that tells analog signals: in words, a shape where something is not as it should be. */
function conditionOf(m) {
  const name = (tag) => ((m.signals || []).find((s) => s.tag === tag) || {name: tag}).name, all = (m.silent || []).length === (m.signals || []).length;
  const told = {unheard: "no reading yet", learning: `learning, ${kit.num(m.have)} of ${kit.num(m.need)} readings`, learnt: "as learnt",
    changed: `changed since ${kit.clock(m.since)}${(m.moved || []).length ? ` (${m.moved.map(name).join(", ")})` : ""}`}[m.condition] || m.condition;
  if (m.condition === "unheard" || !(m.silent || []).length) return [m.condition === "unheard" ? "stale" : m.condition === "changed" ? "bad" : "", told];
  const quiet = m.silent_s === null ? `nothing from ${m.silent.map(name).join(", ")} yet` : `no signal${all ? "" : ` of ${m.silent.map(name).join(", ")}`} for ${kit.span(m.silent_s)}`;
  return [m.condition === "changed" ? "bad" : "stale", all && m.condition !== "changed" ? quiet : `${told}; ${quiet}`];
}
function machines(list) {
  const rows = list.map((m) => {
    const [kind, told] = conditionOf(m), now = (m.signals || []).filter((s) => s.value !== null).map((s) => `${s.name} ${kit.num(s.value)}${s.in ? ` ${s.in}` : ""}`).join(", ");
    return [m.machine, kind ? kit.sign(kind, told) : told, now || "–"];
  });
  const box = kit.table(["Machine", "Condition", "Signals now"], rows, "Condition of the machines, from their analog signals");
  kit.attr(box, {"data-key": "machines", class: "scroll machines"});
  return [kit.make("h3", {"data-key": "h machines"}, null, "Condition of machines"), box, tools.p("From their analog signals. A change is only told; nothing is done about it.")];
}
/* The newest approved refit of each parameter: what forecasts rest on beside the plant file. */
function standing(refits) {
  const newest = new Map();
  for (const r of (Array.isArray(refits) ? refits : []).filter((x) => x.status === "approved" && x.in_force !== false)) if (!newest.has(r.name)) newest.set(r.name, r);
  return [...newest.values()];
}
function inForce(r) {
  const box = kit.make("details", {class: "fold refit-in-force", "data-in-force": r.id, "data-key": `f ${r.id}`});
  kit.make("summary", {}, box, `In force: ${r.words || r.says || r.title}`);
  const inside = kit.make("article", {class: "notice"}, box);
  inside.append(tools.p(`Approved${r.decided ? ` ${kit.clock(r.decided)}` : ""} by ${r.role || "somebody"}${r.reason ? `: ${r.reason}` : ""}. Withdrawn, the plant file's value counts again with all that was seen.`));
  kit.make("button", {class: "button", type: "button", "data-act": "refit", "data-id": r.id, "data-decision": "withdraw"}, reasonFields(inside, "Reason"), "Withdraw");
  return box;
}
function reasonFields(box, what) {
  const fields = kit.make("div", {class: "form"}, box);
  for (const [name, text, value, more] of [["role", "Role", window.plantwinMorph.remembered(), {list: "roles", maxlength: "128"}], ["reason", what, "", {maxlength: "200", placeholder: "why"}]]) {
    const field = kit.make("label", {class: "field", "data-field": name}, fields);
    kit.make("span", {class: "small"}, field, text);
    kit.make("input", {class: "input", name, value, autocomplete: "off", ...more}, field);
  }
  return fields;
}
function notice(n, refits, fresh) {
  const box = kit.make("article", {class: "notice", "data-notice": n.id, "data-key": `n ${n.id}`});
  box.append(kit.sign("bad", `${spoken(n)}, since ${kit.clock(n.since)}.`));
  box.append(tools.p(`Noticed ${kit.clock(n.t)}${means(n)}.${refits.length ? (fresh.length ? "" : " The refit proposed above is about this too.") : n.kind === "condition" ? " It is only told: look at the machine, then settle the notice." : " No refit is proposed for it: look for the cause at the plant, then settle the notice."}`));
  fresh.forEach((r) => box.append(proposal(r)));
  if (!refits.length) {
    const fields = reasonFields(box, "What was found");
    kit.make("button", {class: "button", type: "button", "data-act": "settle", "data-id": n.id}, fields, n.kind === "condition" ? "Seen" : "Seen, no refit");
  }
  return box;
}
function factorOf(r) {
  const kind = String(r.name).split("/")[0];
  return kind === "yield" ? `Share of scrap ${kit.num(100 * r.factor)} %` : kind === "shape" ? `Coefficient of variation ${kit.num(r.factor)} at the same mean` : `Factor ${kit.num(r.factor)} on the plant file`;
}
function proposal(r) {
  const box = kit.make("article", {class: "notice refit", "data-refit": r.id, "data-key": `r ${r.id}`});
  kit.make("div", {class: "what"}, box, `Refit proposed: ${r.words || r.says || r.title}`);
  const facts = [], s = r.score, e = r.effect;
  if (s) facts.push(["Forecast score of the newer half (less is better)", kit.num(s.before), kit.num(s.after)]);
  if (e) for (const [key, text] of [["output", "Output of the next 8 h, parts: mean"], ["output_5", "… at least, in 95 of 100 cases"], ["backlog", "Backlog after 8 h, orders: mean"]]) if (e[key]) facts.push([text, kit.num(e[key][0]), kit.num(e[key][1])]);
  if (facts.length) box.append(kit.table(["", "as it is", "refitted"], facts, "What the refit changes"));
  box.append(tools.p(`${factorOf(r)}${r.n ? `, from ${tools.plural(Math.round(r.n), "observation")}` : ""}${r.left_out ? `, ${r.left_out} left out as uncertain` : ""}${r.text ? `; in the plant file: ${r.text}` : ""}.`));
  if (!r.takes_effect) box.append(tools.p(`It cannot take effect in the running twin: ${r.how || "write it into the plant file"}.`));
  const fields = reasonFields(box, "Reason");
  if (r.takes_effect) kit.make("button", {class: "button main", type: "button", "data-act": "refit", "data-id": r.id, "data-decision": "approve"}, fields, "Approve");
  kit.make("button", {class: "button", type: "button", "data-act": "refit", "data-id": r.id, "data-decision": "reject"}, fields, "Reject");
  return box;
}
async function decided(button, path, body, said) {
  const box = button.closest("article"), get = (name) => { const el = box.querySelector(`[name="${name}"]`); return el ? el.value.trim() : ""; };
  const role = get("role"), reason = get("reason"), empty = box.querySelector(role ? '[name="reason"]' : '[name="role"]');
  if (!role || !reason) { kit.toast("bad", `Please say ${role ? "why" : "in which role"}: it is kept with the decision.`); empty.focus(); return; }
  window.plantwinMorph.remember(role);
  box.querySelectorAll("button").forEach((b) => { b.disabled = true; });
  const [status, answer] = await kit.post(path, body(role, reason));
  if (status === 200) kit.toast("ok", said);
  else kit.toast("bad", status === 409 ? `Not done: ${kit.why(answer)}. Somebody may have been faster; the list shows how it stands now.` : `Not done: ${kit.why(answer)}`);
  box.querySelectorAll("button").forEach((b) => { b.disabled = false; });
  const [d, refits] = await Promise.all([kit.ask("/api/drift"), kit.ask("/api/refits")]);
  page.data.drift = d; page.data.refits = refits;
  drift(d, refits);
}

function show(givenKit, givenPage, givenTools) {
  kit = givenKit; page = givenPage; tools = givenTools;
  if (page.view !== "trust") return;
  certificate(page.data.fidelity); lines(page.data.fidelity); drift(page.data.drift, page.data.refits);
  if (performance.now() - mine.asked > SCORES_MS) {
    mine.asked = performance.now();
    kit.once("scores", async () => { mine.scores = await kit.ask(`/api/scores?name=${WIDE.join()}&last=48`); residuals(mine.scores); });
  } else residuals(mine.scores);
}
window.plantwinPages = (window.plantwinPages || []).concat([{part: "fidelity", show, acts: {
  refit: (button) => decided(button, "/api/refits", (role, reason) => ({id: button.dataset.id, decision: button.dataset.decision, role, reason}), ({approve: "Approved. It takes effect as soon as the twin has read it.", withdraw: "Withdrawn. The plant file counts again as soon as the twin has read it."})[button.dataset.decision] || "Rejected."),
  settle: (button) => decided(button, "/api/drift", (role, reason) => ({id: button.dataset.id, why: `${role}: ${reason}`.slice(0, 200)}), "Settled."),
}}]);
})();
