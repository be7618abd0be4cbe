/* The live part of the dashboard: one event stream, the plant map, indicators, charts, tables, decisions.
   Plain JavaScript without a build step. Python lays out empty elements (dashboard/pages.py); everything here
   finds them by id whenever a frame arrives, so changing pages needs no life cycle. */
(() => {
"use strict";
const STALE_MS = 2500, WINDOW = 1200, STATES = ["idle", "work", "blocked", "starved", "setup", "down", "off"];
const QUALITY = ["measured", "uncertain", "stale", "bad", "entered by hand", "estimated"];
const WORDS = {idle: "idle", work: "working", blocked: "blocked", starved: "starved", setup: "set-up", down: "DOWN", off: "off"};
const KPI = {throughput: ["Throughput", "parts/{u}"], wip: ["WIP", "parts"], backlog: ["Backlog", "orders"], output: ["Output", "parts"],
  oee: ["OEE", ""], flow_time: ["Flow time", "{u}"], inventory: ["Stock on hand", "parts"], cost: ["Cost", "{c}/{u}"], profit: ["Profit", "{c}/{u}"],
  fill_rate: ["Fill rate", ""], utilisation: ["Utilisation", ""]};
const byId = (id) => document.getElementById(id);
const live = {frame: null, fresh: 0, source: null, plant: null, trends: {}, speed: 1, beats: [], recs: [], forecast: null, series: null, seen: {}, asking: {}};
window.plantwin = live;
/* ---- small helpers ---- */
function make(tag, attrs = {}, parent = null, text = null) {
  const svg = ["svg", "g", "rect", "path", "text", "line", "polyline", "polygon", "circle", "defs", "pattern", "marker", "title"].includes(tag);
  const el = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attrs)) el.setAttribute(name, value);
  if (text !== null) el.textContent = text;
  if (parent) parent.appendChild(el);
  return el;
}
function put(el, text) { if (el && el.textContent !== String(text)) el.textContent = text; }
function attr(el, values) { for (const [n, v] of Object.entries(values)) if (el.getAttribute(n) !== String(v)) el.setAttribute(n, v); }
function num(v, digits = 3) {
  if (v === null || v === undefined || Number.isNaN(Number(v))) return "?";
  const x = Number(v);
  if (Number.isInteger(x) || Math.abs(x) >= 1000) return Math.round(x).toLocaleString("en-GB");
  return x.toLocaleString("en-GB", {maximumSignificantDigits: digits});
}
function span(s) {
  if (s === null || s === undefined || !Number.isFinite(Number(s))) return "?";
  const x = Math.max(0, Number(s));
  if (x > 1e9) return "never"; /* since 1970: the time of a reading that never came */
  if (x < 10) return `${x.toFixed(1)} s`;
  if (x < 120) return `${Math.round(x)} s`;
  if (x < 7200) return `${Math.round(x / 60)} min`;
  return x < 172800 ? `${(x / 3600).toFixed(1)} h` : `${(x / 86400).toFixed(1)} d`;
}
function clock(t, day = true) {
  if (t === null || t === undefined || !Number.isFinite(Number(t))) return "?";
  if (Number(t) <= 0) return "before any reading";
  const zone = (live.plant && live.plant.timezone) || "UTC";
  const opts = {timeZone: zone, hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false};
  if (day) Object.assign(opts, {weekday: "short", day: "2-digit", month: "short"});
  return new Intl.DateTimeFormat("en-GB", opts).format(new Date(Number(t)));
}
async function ask(path) {
  try {
    const answer = await fetch(path, {cache: "no-store"});
    return answer.ok ? await answer.json() : null;
  } catch { return null; }
}
function fill(el, nodes) { el.replaceChildren(...nodes); }
function table(head, rows, caption) {
  const t = make("table", {class: "grid"});
  if (caption) make("caption", {class: "unseen"}, t, caption);
  const top = make("tr", {}, make("thead", {}, t));
  head.forEach((h) => make("th", {scope: "col"}, top, h));
  const body = make("tbody", {}, t);
  for (const row of rows) {
    const tr = make("tr", {}, body);
    row.forEach((cell) => {
      if (cell instanceof Node) make("td", {}, tr).appendChild(cell);
      else make("td", typeof cell === "number" ? {class: "num"} : {}, tr, typeof cell === "number" ? num(cell) : cell ?? "");
    });
  }
  const box = make("div", {class: "scroll", tabindex: "0"});
  box.appendChild(t);
  return box;
}
function sign(kind, text) {
  const el = make("span", {class: `flag ${kind}`});
  make("span", {class: "shape", "aria-hidden": "true"}, el, {bad: "!", stale: "", ok: "✓", alarm: "1"}[kind] ?? "");
  make("span", {}, el, text);
  return el;
}
/* ---- the stream ---- */
function connect() {
  if (live.source || document.hidden) return;
  const source = live.source = new EventSource("/stream");
  source.onopen = backfill;
  source.onmessage = (message) => take(JSON.parse(message.data), true);
  source.addEventListener("old", (message) => take(JSON.parse(message.data), false));
  source.onerror = () => { if (source.readyState === 2) disconnect(); };
}
function disconnect() { if (live.source) { live.source.close(); live.source = null; } }
async function backfill() {
  const body = await ask(`/api/history?points=${WINDOW}`);
  if (!body) return;
  for (const [name, s] of Object.entries(body.series)) {
    const newer = live.trends[name], last = s.t.length ? s.t[s.t.length - 1] : 0;
    live.trends[name] = {t: [...s.t], v: [...s.v]};
    if (newer) newer.t.forEach((t, i) => { if (t > last) { live.trends[name].t.push(t); live.trends[name].v.push(newer.v[i]); } });
  }
  document.body.dataset.filled = body.frames;
  if (live.frame) draw();
}
async function fallback() {
  if (document.hidden || performance.now() - live.fresh < 2000) return;
  if (!live.source) connect();
  try {
    const answer = await fetch("/api/frame", {cache: "no-store"});
    if (answer.ok) take(await answer.json(), Number(answer.headers.get("x-frame-age-s")) < 2);
  } catch { /* the page is already marked stale */ }
}
function take(frame, fresh) {
  const before = live.frame;
  if (before && frame.seq === before.seq && frame.t === before.t) return;
  if (before && (frame.seq < before.seq || frame.t < before.t)) { live.plant = null; live.trends = {}; live.seen = {}; }
  const now = performance.now();
  if (fresh) {
    live.beats = live.beats.filter(([wall, t]) => wall > now - 20000 && t <= frame.t).concat([[now, frame.t]]);
    const [wall, t] = live.beats[0];
    live.speed = now - wall > 2500 ? (frame.t - t) / (now - wall) : null;
  }
  live.frame = frame;
  live.fresh = fresh ? now : -1e9;
  const add = (name, v) => {
    const s = live.trends[name] || (live.trends[name] = {t: [], v: []});
    if (frame.mode === "stale") { if (s.v.length && s.v[s.v.length - 1] !== null) { s.t.push(frame.t); s.v.push(null); } return; } /* a gap */
    if (v === null || v === undefined || frame.t <= 0 || (s.t.length && frame.t <= s.t[s.t.length - 1])) return;
    s.t.push(frame.t); s.v.push(v);
    if (s.t.length > WINDOW) { s.t.shift(); s.v.shift(); }
  };
  for (const [name, triple] of Object.entries(frame.kpi)) add(name, triple[0]);
  frame.buf.forEach((b, i) => add(`buf.${i}`, b[0]));
  (frame.stk || []).forEach((s, i) => add(`stk.${i}`, s[0]));
  if (changed("recs", frame.rec_v)) loadRecs();
  draw();
  beat();
  document.body.dataset.seq = frame.seq;
}
function changed(name, value) { if (live.seen[name] === value) return false; live.seen[name] = value; return true; }
async function loadRecs() {
  const found = await ask("/api/recommendations");
  if (found) { live.recs = found; draw(); } else live.seen.recs = undefined;
}
async function once(name, work) {
  if (live.asking[name]) return;
  live.asking[name] = true;
  try { await work(); } finally { live.asking[name] = false; }
}
/* Where the page scrolls anyway (narrow, see plantwin.css) a map of many things gets the height in which it can be read. */
function loadPlant() {
  const map = byId("map"), wide = map && map.clientWidth > 80 && matchMedia("(max-width: 1407px)").matches ? map.clientWidth : 0;
  const high = wide ? Math.max(460, 0.6 * innerHeight) - 70 : map ? map.clientHeight : 0;
  const aspect = high > 80 ? map.clientWidth / high : 1.9;
  if (live.plant && (!map || Math.abs(Math.log(aspect / live.plant.aspect)) < 0.25)) return grow(map, wide);
  /* Asked before the page had its size: the next frame may be long in coming, so it is looked at again at once. */
  const before = live.plant;
  once("plant", async () => {
    const found = await ask(`/api/plant?aspect=${aspect.toFixed(2)}&width=${wide}`);
    if (found) { live.plant = {...found, aspect}; if (map) map.replaceChildren(); grow(map, wide); draw(); }
  }).then(() => { if (live.plant !== before) loadPlant(); });
}
function grow(map, wide) {
  const m = live.plant.map;
  if (map) map.style.minHeight = wide ? `${Math.ceil(Math.min(wide * m.height / m.width, 1.6 * m.height))}px` : "";
}
/* ---- header, staleness, countdowns ---- */
function stale() { return !live.frame || performance.now() - live.fresh > STALE_MS; }
function header() {
  const f = live.frame, p = live.plant;
  if (!f || !byId("clock")) return;
  if (p) put(byId("site"), [p.site, p.area, p.line || p.id].filter(Boolean).join(" / "));
  put(byId("clock"), f.t > 0 ? clock(f.t) : "no data yet");
  const mode = stale() || f.mode === "stale" ? "STALE" : String(f.mode || "live").toUpperCase();
  put(byId("mode"), mode);
  attr(byId("mode"), {"data-mode": mode});
  const fidelity = String((f.sync || {}).fidelity ?? "unknown");
  const said = {green: "● in step", amber: "▲ watch", yellow: "▲ watch", red: "■ out of step"}[fidelity] || `○ ${fidelity}`;
  put(byId("fidelity"), stale() ? "○ unknown" : said);
  attr(byId("fidelity"), {"data-level": stale() ? "none" : fidelity === "green" ? "none" : fidelity === "red" ? "alarm" : fidelity in {amber: 1, yellow: 1} ? "warn" : "none"});
  const down = f.st.filter((s) => s === 5).length;
  put(byId("down"), down ? `■ ${down}` : "none");
  attr(byId("down"), {"data-level": down ? "alarm" : "none"});
  const notices = Array.isArray(f.notices) ? f.notices.length : f.notices || 0;
  put(byId("notices"), notices || "none");
  const open = live.recs.filter((r) => r.status === "proposed" || r.status === "deferred").length;
  put(byId("open"), open || "none"); put(byId("count-decide"), open || "");
  put(byId("autonomy"), f.paused ? "paused" : "approve");
  put(byId("role"), "operator");
  put(byId("pause"), f.paused ? "Resume optimiser" : "Pause optimiser");
  attr(byId("pause"), {"aria-pressed": f.paused ? "true" : "false"});
}
/* What the twin has to do without although it goes on: as many lines as it takes, whose height the pages that fill the
   screen leave free. */
function room() {
  const el = byId("missing"), root = document.documentElement, high = el && el.firstChild ? `${Math.ceil(el.getBoundingClientRect().height)}px` : "";
  if (root.style.getPropertyValue("--strip") !== high) root.style.setProperty("--strip", high);
}
function degraded(f) { lacks(f); room(); }
function lacks(f) {
  const el = byId("missing"), told = (f && (f.sync || {}).missing) || [];
  if (!el || !changed("missing", JSON.stringify(told)) && (el.firstChild || !told.length)) return;
  if (!told.length) return fill(el, []);
  const line = make("div", {class: "missing-line", title: told.join("\n")});
  make("span", {class: "shape", "aria-hidden": "true"}, line);
  make("b", {}, line, told.length > 1 ? `Degraded (${told.length}): ` : "Degraded: ");
  make("span", {class: "missing-text"}, line, told.join(" "));
  fill(el, [line]);
}
function beat() {
  const f = live.frame, old = stale();
  document.documentElement.dataset.stale = old ? "1" : "0";
  const banner = byId("banner");
  if (banner) {
    const since = f ? (live.fresh > 0 ? `the last values are ${span((performance.now() - live.fresh) / 1000)} old` : "the last values are old") : "waiting for the first values";
    const doubt = f && f.mode === "stale" ? `■ STALE: the twin's data are old${(f.sync || {}).why ? `: ${f.sync.why}` : ""}. What is shown was true at ${clock(f.t)}.` : "";
    put(banner, !old ? doubt : `■ STALE: no live connection to the twin, ${since}. Plant time of what is shown: ${f ? clock(f.t) : "none"}. Trying again by itself.`);
  }
  degraded(f);
  if (f && byId("age")) {
    const wait = live.fresh > 0 ? (performance.now() - live.fresh) / 1000 : null;
    const sync = (f.sync || {}).age_s;
    put(byId("age"), sync === null || sync === undefined ? "unknown" : wait === null ? `over ${span(sync)}` : span(Number(sync) + wait));
  }
  header();
  document.querySelectorAll("[data-t]").forEach((el) => put(el, clock(el.dataset.t)));
  document.querySelectorAll("[data-expires]").forEach((el) => {
    const left = f ? (Number(el.dataset.expires) - f.t) / 1000 : NaN;
    const wall = live.speed > 1.5 && left > 0 ? ` plant time (≈ ${span(left / live.speed)} on this clock)` : "";
    put(el, Number.isFinite(left) ? (left > 0 ? span(left) + wall : "now: no longer valid") : "?");
  });
}
/* ---- the plant map ---- */
const GLYPH = {
  idle: "M8 2a6 6 0 1 0 .01 0z", work: "M3 2l11 6l-11 6z", blocked: "M1 3h8v10h-8z M12 1h3v14h-3z", starved: "M1 8h5 M8 2h7v12h-7z",
  setup: "M8 1l7 7l-7 7l-7-7z", down: "M1 1h14v14h-14z", off: "M2 7h12v2h-12z"};
function defs(svg) {
  const d = make("defs", {}, svg);
  const hatch = make("pattern", {id: "hatch", width: 8, height: 8, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)"}, d);
  make("line", {x1: 0, y1: 0, x2: 0, y2: 8, class: "hatch"}, hatch);
  const tip = make("marker", {id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, orient: "auto", markerUnits: "userSpaceOnUse"}, d);
  make("path", {d: "M0 0L8 4L0 8z", class: "tip"}, tip);
}
function bar(g, x, y, w, h) {
  make("rect", {x, y, width: w, height: h, class: "bar"}, g);
  return make("rect", {x, y: y + h, width: w, height: 0, class: "level", "data-full": h, "data-foot": y + h}, g);
}
function setBar(level, share) {
  const full = Number(level.dataset.full), h = full * Math.min(Math.max(share, 0), 1);
  attr(level, {height: h.toFixed(2), y: (Number(level.dataset.foot) - h).toFixed(2)});
}
function buildNode(svg, n, p) {
  const g = make("g", {class: `node ${n.kind}`, transform: `translate(${n.x} ${n.y})`, "data-node": n.id, "data-kind": n.kind, tabindex: 0, role: "img"}, svg);
  const r = n.r = {g};
  make("rect", {width: n.w, height: n.h, rx: 3, class: "box"}, g);
  const wide = n.kind === "station" || n.kind === "stock";
  const most = n.kind === "station" ? 16 : 12, tight = n.id.length > (n.kind === "station" ? 12 : 9);
  make("text", {x: wide ? 34 : 12, y: 23, class: tight ? "name tight" : "name"}, g, n.id.length > most ? n.id.slice(0, most - 1) + "…" : n.id);
  make("title", {}, g, n.id);
  if (wide) r.level = bar(g, 11, 12, 13, n.h - 24);
  if (n.kind === "station") {
    const units = ((p.stations[n.index] || {}).units) || 1;
    make("text", {x: n.w - 10, y: 49, class: "units", "text-anchor": "end"}, g, units > 1 ? `×${units}` : "");
    r.glyph = make("path", {transform: "translate(34 36)", class: "glyph"}, g);
    r.one = make("text", {x: 42, y: 49, class: "one", "text-anchor": "middle"}, g, "");
    r.state = make("text", {x: 57, y: 49, class: "state"}, g);
    r.queue = make("text", {x: 34, y: 77, class: "figure"}, g);
    r.note = make("text", {x: 34, y: 101, class: "note"}, g);
    r.lead = make("g", {class: "limit"}, g);
    make("rect", {x: -4, y: -4, width: n.w + 8, height: n.h + 8, rx: 5, class: "limit-ring"}, r.lead);
    make("rect", {x: n.w / 2 - 44, y: -13, width: 88, height: 18, rx: 2, class: "limit-tab"}, r.lead);
    make("text", {x: n.w / 2, y: 0, class: "limit-text", "text-anchor": "middle"}, r.lead, "▼ constraint");
    r.hatch = make("rect", {width: n.w, height: n.h, rx: 3, class: "hatched"}, g);
  } else if (n.kind === "stock") {
    r.figure = make("text", {x: 34, y: 49, class: "big"}, g);
    r.order = make("text", {x: 34, y: 71, class: "figure"}, g);
    r.short = make("text", {x: 34, y: 91, class: "figure"}, g);
  } else {
    make("text", {x: 12, y: n.h - 12, class: "note"}, g, {source: "released", exit: "finished"}[n.kind] || "");
    r.figure = make("text", {x: n.w - 12, y: n.h - 12, class: "figure", "text-anchor": "end"}, g);
  }
}
function buildMap(el, p) {
  const m = p.map, svg = make("svg", {viewBox: `0 0 ${m.width} ${m.height}`, preserveAspectRatio: "xMidYMid meet", class: "map", role: "group", "aria-label": "Plant map",
    style: `max-width:${m.width * 1.6}px;max-height:${m.height * 1.6}px`});
  defs(svg);
  /* Rare connections of a plant with too many (m.hidden) show only while one of their ends is pointed at. */
  for (const [list, kind] of [[m.hidden || [], " rare"], [m.edges, ""]]) for (const e of list) {
    make("polyline", {points: e.points.map((q) => q.join(",")).join(" "), class: `flow${e.back ? " back" : ""}${kind}`, "data-from": e.from, "data-to": e.to, "marker-end": "url(#tip)"}, svg);
    if (!e.at) continue;
    make("rect", {x: e.at[0], y: e.at[1], width: e.at[2], height: e.at[3], class: "halo"}, svg);
    make("text", {x: e.at[0] + e.at[2] / 2, y: e.at[1] + e.at[3] - 3.5, class: "share", "text-anchor": "middle"}, svg, e.label);
  }
  m.nodes.forEach((n) => {
    buildNode(svg, n, p);
    /* Where everything is joined to everything, a node's own connections show while it is pointed at. */
    const show = (on) => svg.querySelectorAll(`[data-from="${CSS.escape(n.key)}"], [data-to="${CSS.escape(n.key)}"]`).forEach((e) => e.classList.toggle("on", on));
    for (const [event, on] of [["pointerenter", true], ["focus", true], ["pointerleave", false], ["blur", false]]) n.r.g.addEventListener(event, () => show(on));
  });
  el.replaceChildren(svg);
  const legend = byId("legend");
  if (legend) fill(legend, STATES.map((s) => {
    const item = make("span", {class: "key"});
    const icon = make("svg", {viewBox: "0 0 16 16", class: "icon", "data-state": s}, item);
    make("path", {d: GLYPH[s], class: "glyph"}, icon);
    make("span", {}, item, s === "down" ? "down" : WORDS[s]);
    return item;
  }).concat([make("span", {class: "key"}, null, "≈ estimated"), make("span", {class: "key hatchkey"}, null, "stale")]));
}
function station(n, f, p) {
  const r = n.r, s = STATES[f.st[n.index]], q = f.q[n.index] ?? 0, [level, cap] = f.buf[n.index] || [null, null];
  const about = q === 1 || q === 5 ? "≈ " : "";
  attr(r.glyph, {d: GLYPH[s] || GLYPH.off});
  put(r.one, s === "down" ? "1" : "");
  put(r.state, WORDS[s] ?? "unknown");
  const bounded = cap !== null && cap !== undefined && cap > 0;
  const most = bounded ? cap : Math.max(10, ...((live.trends[`buf.${n.index}`] || {}).v || [0]));
  setBar(r.level, level === null ? 0 : level / most);
  attr(r.level, {"data-level": level ?? "", "data-cap": bounded ? cap : ""});
  put(r.queue, level === null ? "queue ?" : `queue ${about}${num(level)}${bounded ? ` of ${cap}` : ""}`);
  put(r.note, q === 3 ? "▲2 bad sensor" : q === 0 ? "" : QUALITY[q] || `quality ${q}`);
  attr(r.g, {"data-state": s || "unknown", "data-q": q, "data-lead": f.lead === n.index ? 1 : 0,
    "aria-label": `${n.id}: ${WORDS[s]}, queue ${level ?? "unknown"}${bounded ? ` of ${cap}` : ""}, ${QUALITY[q]}${f.lead === n.index ? ", constraint" : ""}`});
}
function stock(n, f, p) {
  const r = n.r, [hand, short, order] = (f.stk || [])[n.index] || [null, null, null];
  const target = (p.stocks[n.index] || {}).level;
  const most = target || Math.max(10, ...((live.trends[`stk.${n.index}`] || {}).v || [0]));
  setBar(r.level, hand === null ? 0 : hand / most);
  attr(r.level, {"data-level": hand ?? "", "data-cap": target || ""});
  put(r.figure, `${num(hand)}`);
  put(r.order, order ? `${num(order)} due` : "on hand");
  put(r.short, short ? `△ ${num(short)} owed` : "");
  attr(r.g, {"data-short": short ? 1 : 0, "aria-label": `${n.id}: ${hand ?? "unknown"} on hand, ${order || 0} on order, ${short || 0} owed to customers`});
}
function map() {
  const el = byId("map"), f = live.frame, p = live.plant;
  if (!el || !p) return;
  if (!el.firstChild) buildMap(el, p);
  for (const n of p.map.nodes) {
    if (n.kind === "station") station(n, f, p);
    else if (n.kind === "stock") stock(n, f, p);
    else if (n.kind === "supplier" || n.kind === "demand") {
      const ids = (p.stocks || []).map((s, i) => [s, i]).filter(([s]) => (n.kind === "supplier" ? s.source === n.id : s.id === (p.demands[n.index] || {}).stock));
      const sum = ids.reduce((a, [, i]) => a + (((f.stk || [])[i] || [])[n.kind === "supplier" ? 2 : 1] || 0), 0);
      put(n.r.figure, n.kind === "supplier" ? `${num(sum)} due` : `${num(sum)} owed`);
      attr(n.r.g, {"aria-label": `${n.kind} ${n.id}: ${sum} ${n.kind === "supplier" ? "due" : "owed"}`});
    }
  }
}
/* ---- indicators and trends ---- */
function unit(name) {
  const p = live.plant || {}, u = (KPI[name] || [name, ""])[1];
  return u.replace("{u}", p.time_unit || "h").replace("{c}", p.currency || "");
}
const label = (name) => name.startsWith("stock/") ? `${name.slice(6)} on hand` : (KPI[name] || [name.replaceAll("_", " ").replace(/^./, (c) => c.toUpperCase())])[0];
function niceMax(x) {
  if (!(x > 0)) return 1;
  const ten = 10 ** Math.floor(Math.log10(x));
  return ten * [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((k) => k * ten >= x * 0.999);
}
function path(ts, vs, x, y) {
  let d = "", pen = false;
  ts.forEach((t, i) => { if (vs[i] === null) pen = false; else { d += `${pen ? "L" : "M"}${x(t).toFixed(1)} ${y(vs[i]).toFixed(1)}`; pen = true; } });
  return d;
}
function indicators() {
  const el = byId("indicators"), f = live.frame;
  if (!el) return;
  const order = Object.keys(KPI), names = Object.keys(f.kpi).sort((a, b) => (order.indexOf(a) + 99) % 99 - (order.indexOf(b) + 99) % 99).slice(0, 6);
  const have = [...el.children].map((c) => c.dataset.kpi).join();
  if (have !== names.join()) fill(el, names.map((name) => {
    const card = make("article", {class: "panel kpi", "data-kpi": name});
    card.innerHTML = '<div class="kpi-head"><h3></h3><span class="kpi-mark"></span></div><div class="kpi-value"><b></b> <span></span></div>' +
      '<svg class="range" viewBox="0 0 300 30" preserveAspectRatio="none"><rect class="bar" x="0" y="6" width="300" height="12"/><rect class="band" y="6" height="12"/><path class="needle"/></svg>' +
      '<div class="kpi-ends"><span></span><span></span><span></span></div>' +
      '<svg class="spark" viewBox="0 0 300 60" preserveAspectRatio="none"><path class="trend"/></svg><div class="kpi-ends time"><span></span><span></span><span></span></div>';
    return card;
  }));
  for (const card of el.children) {
    const name = card.dataset.kpi, [v, lo, hi] = f.kpi[name], s = live.trends[name] || {t: [], v: []};
    const numbers = s.v.filter((x) => x !== null), least = Math.min(0, v ?? 0, lo ?? 0);
    const most = niceMax(1.08 * Math.max(v ?? 0, hi ?? 0, ...numbers)), wide = lo !== null && hi !== null && lo !== undefined && hi > lo;
    const at = (x) => 300 * (x - least) / (most - least || 1), $ = (q) => card.querySelector(q);
    put($("h3"), label(name));
    put($(".kpi-mark"), v === null ? "unknown" : wide ? "≈ estimated" : "measured");
    put($(".kpi-value b"), v === null ? "?" : (wide ? "≈ " : "") + num(v));
    put($(".kpi-value span"), unit(name));
    attr($(".band"), {x: wide ? at(lo).toFixed(1) : 0, width: wide ? (at(hi) - at(lo)).toFixed(1) : 0});
    attr($(".needle"), {d: v === null ? "" : `M${at(v).toFixed(1)} 1v22`});
    const ends = card.querySelectorAll(".kpi-ends span");
    put(ends[0], num(least)); put(ends[1], wide ? `90 %: ${num(lo)} to ${num(hi)}` : ""); put(ends[2], num(most));
    if (s.t.length > 1) {
      const t0 = s.t[0], t1 = s.t[s.t.length - 1];
      const a = Math.min(...numbers), b = Math.max(...numbers), pad = Math.max((b - a) * 0.1, Math.abs(b) * 0.03, 0.5);
      attr($(".trend"), {d: path(s.t, s.v, (t) => 300 * (t - t0) / (t1 - t0 || 1), (y) => 57 - 54 * (y - a + pad) / (b - a + 2 * pad))});
      put(ends[3], `${span((t1 - t0) / 1000)} ago`); put(ends[4], a === b ? `steady at ${num(a)}` : `${num(a)} to ${num(b)}`); put(ends[5], "now");
      card.dataset.points = s.t.length;
      attr($(".spark"), {role: "img", "aria-label": `${label(name)}: now ${num(v)}, between ${num(a)} and ${num(b)} in the last ${span((t1 - t0) / 1000)}`});
    }
  }
}
function needs() {
  const el = byId("needs"), f = live.frame, p = live.plant;
  if (!el || !p) return;
  const rows = [];
  f.st.forEach((s, i) => { if (s === 5) rows.push(["alarm", "1", `${(p.stations[i] || {}).id} is down`, `${num((f.buf[i] || [])[0])} part(s) wait in front of it`]); });
  f.q.forEach((q, i) => { if (q === 3 || q === 2) rows.push([q === 3 ? "bad" : "stale", q === 3 ? "2" : "", `${(p.stations[i] || {}).id}: ${q === 3 ? "sensor bad" : "no recent reading"}`, "Sensors"]); });
  live.recs.filter((r) => r.status === "proposed" || r.status === "deferred").forEach((r) => rows.push(["advice", "?", r.words, `${r.moves_words ? `${r.moves_words}. ` : ""}Expected ${r.gain_words} against doing nothing`, r.expires]));
  /* What only half of an action left behind: nobody judged it so, and it stands until its lease ends. */
  live.recs.filter((r) => r.stands && r.stands.until > f.t).forEach((r) => rows.push(["bad", "2", `Only ${r.stands.set} of ${r.stands.of} setpoints set (${r.id})`, `Failed: ${r.stands.why}. What was set stands until ${clock(r.stands.until)}.`]));
  const n = Array.isArray(f.notices) ? f.notices.length : f.notices || 0;
  if (n) rows.push(["note", "i", `${n} notice${n > 1 ? "s" : ""} from the twin`, "See Twin health"]);
  if (!rows.length) rows.push(["calm", "✓", "Nothing needs you now", f.advice && f.advice.t ? `${/^doing nothing is best/i.test(f.advice.why || "doing nothing is best") ? "Doing nothing is best; checked" : "Advice was last checked"} ${clock(f.advice.t)}` : "No advice has been checked yet"]);
  if (f.lead !== null && f.lead !== undefined && p.stations[f.lead]) rows.push(["info", "▼", `Constraint: ${p.stations[f.lead].id}`, "The station that limits the output now"]);
  if (!changed("needs", JSON.stringify(rows)) && el.firstChild) return;
  fill(el, rows.map(([kind, mark, what, note, expires]) => {
    const row = make(kind === "advice" ? "a" : "div", kind === "advice" ? {class: `need ${kind}`, href: "/decide"} : {class: `need ${kind}`});
    make("span", {class: "shape", "aria-hidden": "true"}, row, mark);
    const text = make("div", {}, row);
    make("div", {class: "what"}, text, what);
    const small = make("div", {class: "small"}, text, note);
    if (expires) { small.append(" · expires in "); make("span", {"data-expires": expires}, small); make("div", {class: "go"}, text, "Open on Decide ›"); }
    return row;
  }));
}
function recent() {
  const el = byId("recent"), f = live.frame, p = live.plant;
  if (!el || !p) return;
  const past = live.recs.filter((r) => r.status !== "proposed" && r.status !== "deferred").slice(0, 4), ctl = p.controls || [];
  if (!changed("recent", JSON.stringify([past.map((r) => [r.id, r.status, r.short]), f.ctl])) && el.firstChild) return;
  fill(el, [past.length ? table(["Decided lately", "Now"], past.map((r) => [r.short, r.status]), "Decided lately") : make("p", {class: "small"}, null, "Nothing has been decided yet."),
    !ctl.length ? make("p", {class: "small"}, null, "This plant has no controls.") : table(["Control", "In force"], ctl.map((c) => [c.words, num((f.ctl || {})[c.id]) + (c.unit ? ` ${c.unit}` : "")]), "Controls in force")]);
}
/* ---- Decide ---- */
function decide() {
  const cards = byId("cards"), f = live.frame, p = live.plant;
  if (!cards) { live.seen.cards = undefined; return; }
  const shown = JSON.stringify([f.rec_v, Boolean(f.paused), (f.advice || {}).t ?? null]);
  if (live.seen.cards === undefined) live.seen.cards = cards.dataset.shown;
  /* Someone is choosing a reason: the card stays as it is while its recommendation is still open. */
  const choosing = [...cards.querySelectorAll("details.reject[open]")].some((d) => live.recs.some((r) => r.id === d.closest("[data-rec]").dataset.rec && r.status in {proposed: 1, deferred: 1}));
  if (live.seen.cards !== shown && !choosing && window.dash_clientside && window.dash_clientside.set_props) {
    live.seen.cards = shown;
    window.dash_clientside.set_props("rec-version", {data: shown});
  }
  if (changed("fc", f.fc_v) || !live.forecast) once("fc", async () => { live.forecast = (await ask("/api/forecast")) || live.forecast; fan(); });
  const el = byId("controls");
  if (el && p && (changed("ctl", JSON.stringify(f.ctl)) || !el.firstChild)) {
    fill(el, [table(["Control", "In force", "Allowed", "Approval"], (p.controls || []).map((c) => [c.words, num((f.ctl || {})[c.id]) + (c.unit ? ` ${c.unit}` : ""), `${num(c.low)} to ${num(c.high)}, steps of ${num(c.step)}`, c.approve || ""]), "Controls in force")]);
  }
  if (byId("fan") && !byId("fan").firstChild) fan();
}
function chooser(el, names) {
  if (el.contains(document.activeElement)) return;
  fill(el, [make("select", {class: "button", "aria-label": "What is forecast"})]);
  const list = el.firstChild;
  names.forEach((n) => make("option", {value: n, ...(n === live.series ? {selected: ""} : {})}, list, label(n)));
  list.addEventListener("change", () => { live.series = list.value; list.blur(); fan(); });
}
function fan() {
  const el = byId("fan"), fc = live.forecast;
  if (!el || !fc || !fc.series) return;
  const names = Object.keys(fc.series);
  if (!names.includes(live.series)) live.series = names.includes("throughput") ? "throughput" : names[0];
  chooser(byId("fan-choose"), names);
  const s = fc.series[live.series];
  if (!s || !s.t.length) return;
  /* Output is forecast from now on, so its past has another zero; a stock's past goes by its place in the frame. */
  const place = ((live.plant || {}).stocks || []).findIndex((k) => `stock/${k.id}` === live.series);
  const past = (live.series === "output" ? null : live.trends[place < 0 ? live.series : `stk.${place}`]) || {t: [], v: []}, width = s.t[s.t.length - 1] - s.t[0], W = 640, H = 250, L = 46, B = 26;
  const from = past.t.map((t, i) => [t, past.v[i]]).filter(([t]) => t > s.t[0] - width / 3 && t <= s.t[0]);
  const t0 = from.length ? Math.min(from[0][0], s.t[0]) : s.t[0], t1 = s.t[s.t.length - 1];
  const top = niceMax(Math.max(...s.hi, ...from.map((q) => q[1] ?? 0))), low = Math.min(0, ...s.lo);
  const x = (t) => L + (W - L - 8) * (t - t0) / (t1 - t0 || 1), y = (v) => H - B - (H - B - 8) * (v - low) / (top - low || 1);
  const last = s.t.length - 1, text = `${label(live.series)}${live.series === "output" ? " from now on" : ""}: ${num(s.mean[0])} now; in ${span((t1 - s.t[0]) / 1000)} ${num(s.mean[last])} ${unit(live.series)}, 90 % between ${num(s.lo[last])} and ${num(s.hi[last])}.`;
  const svg = make("svg", {viewBox: `0 0 ${W} ${H}`, class: "fan", role: "img", "aria-label": text});
  const rungs = [3, 4, 5].find((k) => [1, 2, 2.5, 5].some((m) => Math.abs(Math.log10((top - low) / k / m) % 1) < 1e-6)) || 4;
  for (let k = 0; k <= rungs; k++) {
    const v = low + (top - low) * k / rungs;
    make("line", {x1: L, x2: W - 8, y1: y(v), y2: y(v), class: "rule"}, svg);
    make("text", {x: L - 6, y: y(v) + 4, class: "tick", "text-anchor": "end"}, svg, num(v));
  }
  const every = [0.25, 0.5, 1, 2, 4, 6, 12, 24, 48, 168, 720].map((h) => h * 3600000).find((h) => (t1 - t0) / h <= 6) || (t1 - t0) / 4;
  for (let t = Math.ceil(t0 / every) * every; t <= t1 - every / 8; t += every) {
    make("text", {x: Math.max(x(t), L + 12), y: H - 6, class: "tick", "text-anchor": "middle"}, svg, every < 86400000 ? clock(t, false).slice(0, 5) : clock(t).slice(0, 11));
  }
  const down = [...s.t].reverse(), back = [...s.lo].reverse();
  make("path", {d: path(s.t, s.hi, x, y) + path(down, back, x, y).replace("M", "L") + "Z", class: "band"}, svg);
  make("path", {d: path(s.t, s.mean, x, y), class: "mean"}, svg);
  make("path", {d: path(from.map((q) => q[0]), from.map((q) => q[1]), x, y), class: "trend"}, svg);
  make("line", {x1: x(s.t[0]), x2: x(s.t[0]), y1: 8, y2: H - B, class: "now"}, svg);
  make("text", {x: x(s.t[0]) + 4, y: 18, class: "tick"}, svg, "now");
  fill(el, [svg, make("p", {class: "small"}, null, `${text} Controls as they are now.`)]);
  const events = byId("events");
  if (events) fill(events, [(fc.events || []).some((e) => e.p >= 0.005) ? table(["Within the horizon", "Probability"], fc.events.filter((e) => e.p >= 0.005).sort((a, b) => b.p - a.p).slice(0, 8).map((e) => [e.what, `${num(100 * e.p, 2)} %`]), "Events") : make("p", {class: "small"}, null, "Nothing of note is forecast.")]);
}
const keys = new Map();
async function post(path, body) {
  try {
    const answer = await fetch(path, {method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify(body)});
    return [answer.status, await answer.json()];
  } catch (error) { return [0, {detail: `the dashboard did not answer (${error.message}); look at the card again`}]; }
}
function why(body) { const d = body && (body.detail ?? body.reason ?? body.error); return typeof d === "string" ? d : d ? d.reason || d.why || JSON.stringify(d) : "no reason was given"; }
function toast(kind, text) {
  const el = make("div", {class: `toast ${kind}`, "data-kind": kind});
  make("span", {class: "shape", "aria-hidden": "true"}, el, kind === "ok" ? "✓" : "!");
  make("span", {}, el, text);
  make("button", {class: "button", "data-act": "dismiss"}, el, "Close");
  byId("toasts").appendChild(el);
  if (kind === "ok") setTimeout(() => el.remove(), 6000);
}
async function act(button) {
  const d = button.dataset;
  if (d.act === "dismiss") button.parentElement.remove();
  else if (d.act === "theme") theme(document.documentElement.dataset.mantineColorScheme === "dark" ? "light" : "dark");
  else if (d.act === "pause") {
    const [status, body] = await post("/api/pause", {on: !(live.frame && live.frame.paused)});
    if (status !== 200) toast("bad", `Not changed: ${why(body)}`);
  } else if (d.act === "decide") {
    const what = [d.id, d.version, d.decision, d.reason].join("|");
    if (!keys.has(what)) keys.set(what, crypto.randomUUID());
    const card = button.closest(".card");
    card.querySelectorAll("button").forEach((b) => { b.disabled = true; });
    const [status, body] = await post("/api/decisions", {id: d.id, version: Number(d.version), decision: d.decision, reason: d.reason || null, key: keys.get(what)});
    if (status === 200) toast("ok", {accept: Number(d.moves) > 1 ? `Accepted. ${d.moves} commands are sent, one after another.` : "Accepted. The command is on its way.", reject: "Rejected.", defer: "Deferred."}[d.decision]);
    else toast("bad", `${status === 0 || status === 503 ? "Not known whether it was done" : "Not done"}: ${why(body)}`);
    card.querySelectorAll("button").forEach((b) => { b.disabled = false; });
    card.querySelectorAll("details").forEach((details) => details.removeAttribute("open"));
    live.seen.recs = undefined;
    live.seen.cards = "";
    if (live.frame) { loadRecs(); decide(); }
  } else for (const page of window.plantwinPages || []) if (page.acts[d.act]) page.acts[d.act](button, kit);
}
/* What the files of single pages (health.js, fidelity.js) draw with; they register in window.plantwinPages. */
const kit = {live, byId, make, put, attr, num, span, clock, ask, post, why, toast, table, sign, label, unit, niceMax, path, changed, once, stale, STATES, QUALITY};
/* ---- life ---- */
function draw() {
  if (!live.frame) return;
  loadPlant();
  const bare = (path) => path.replace(/\/$/, "");
  document.querySelectorAll(".tab").forEach((a) => attr(a, {"aria-current": bare(a.pathname) === bare(location.pathname) ? "page" : "false"}));
  map(); indicators(); needs(); recent(); decide();
  for (const page of window.plantwinPages || []) if (page.draw) page.draw(kit);
}
function theme(name) {
  try { localStorage.setItem("plantwin-theme", name); } catch { /* private window */ }
  if (window.dash_clientside && window.dash_clientside.set_props && byId("theme")) window.dash_clientside.set_props("mantine", {forceColorScheme: name});
  document.documentElement.dataset.mantineColorScheme = name;
  put(byId("theme"), name === "dark" ? "Light" : "Dark");
}
let saved = "dark";
try { saved = localStorage.getItem("plantwin-theme") || "dark"; } catch { /* private window */ }
document.documentElement.dataset.mantineColorScheme = saved;
const ready = setInterval(() => { if (byId("theme") && window.dash_clientside && window.dash_clientside.set_props) { clearInterval(ready); theme(saved); } }, 50);
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (button) { event.preventDefault(); act(button); }
});
document.addEventListener("visibilitychange", () => { if (document.hidden) disconnect(); else connect(); });
addEventListener("pagehide", disconnect);
addEventListener("pageshow", connect);
addEventListener("resize", () => { room(); if (live.frame) draw(); });
/* A page that has just been put in place is drawn at once, not at the next frame. */
new MutationObserver((changes) => {
  if (changes.some((c) => c.target.id === "page" || c.target.id === "cards")) { if (live.frame) draw(); beat(); }
}).observe(document.body || document.documentElement, {childList: true, subtree: true});
connect();
setInterval(beat, 250);
setInterval(fallback, 1000);
})();
