/* The page "Twin health": its views, sensors, sources, counts by hand, the cable. Forecasts, drift and refits are in
   fidelity.js. Both draw with the kit of plantwin.js and are called by it for each frame (window.plantwinPages). */
(() => {
"use strict";
const VIEWS = ["trust", "sensors", "sources"], EVERY_MS = 2000;
const MARK = {good: ["✓", "believed"], about: ["≈", "uncertain"], stale: ["▨", "stale"], bad: ["!", "bad"], hand: ["✎", "by hand"], unheard: ["○", "never heard"]};
const CHECK = {unit: "not a value this tag can have", range: "outside of its declared range", rate: "a jump the plant cannot make", stuck: "never moves",
  uncertain: "the sender calls it uncertain", stale: "the sender calls it stale", bad: "the sender calls it bad", late: "stamped far behind the twin's clock", ahead: "stamped ahead of the twin's clock"};
const KINDS = ["state", "in", "out", "scrap", "level", "on_hand", "on_order", "backorder", "demand", "shipped", "wip", "set"];
const HANDS = {level: "queue: parts waiting there", on_hand: "on hand", on_order: "on order", backorder: "owed to customers", moved: "moved by hand to …", quarantined: "put into quarantine"};
const page = {view: null, data: {}, cell: null, answer: null, missing: {}};
let kit = null;

/* ---- drawing without flicker: a new tree is compared with the shown one, and only what differs is changed, so that
   focus, scroll positions, open details and what someone is typing stay. Children with data-key are matched by it. ---- */
const KEEP = new Set(["open", "value", "checked"]);
function same(a, b) { return a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.dataset || {}).key === (b.dataset || {}).key; }
function morph(old, made) {
  if (old.nodeType === 3) { if (old.data !== made.data) old.data = made.data; return; }
  for (const {name, value} of [...made.attributes]) if (old.getAttribute(name) !== value && !KEEP.has(name)) old.setAttribute(name, value);
  for (const {name} of [...old.attributes]) if (!made.hasAttribute(name) && !KEEP.has(name)) old.removeAttribute(name);
  children(old, [...made.childNodes]);
}
function children(old, made) {
  const keyed = new Map([...old.children].filter((c) => c.dataset && c.dataset.key).map((c) => [c.dataset.key, c]));
  let at = old.firstChild;
  for (const node of made) {
    const key = node.dataset && node.dataset.key, known = key ? keyed.get(key) : at && !(at.dataset || {}).key ? at : null;
    if (known && same(known, node)) {
      if (known !== at) old.insertBefore(known, at); else at = at.nextSibling;
      morph(known, node);
    } else old.insertBefore(node, at);
  }
  while (at) { const next = at.nextSibling; at.remove(); at = next; }
}
function show(id, nodes) { const el = kit.byId(id); if (el) children(el, nodes.filter(Boolean)); }
const p = (text, cls = "small") => kit.make("p", {class: cls}, null, text);
const plural = (n, one, many = `${one}s`) => `${kit.num(n)} ${n === 1 ? one : many}`;
const words = (name) => String(name).replaceAll("_", " ");
const gone = (what) => kit.sign("stale", `${what} cannot be read now; trying again by itself.`);
const total = (o) => Object.values(o || {}).reduce((a, b) => a + Number(b), 0);

/* ---- life ---- */
function draw(given) {
  kit = given;
  const el = kit.byId("health");
  if (!el) { page.view = null; return; }
  if (!page.view) view(VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "trust");
  if (!kit.changed("health", Math.floor(performance.now() / EVERY_MS))) return;
  kit.once("health", async () => {
    const names = ["state", "ledger", "fidelity", "drift", "refits", "cable", ...(page.view === "trust" ? ["forecast"] : []), ...(page.view === "sources" ? ["log?limit=200"] : [])];
    /* What this twin does not have is asked for rarely: an older twin knows no refits. */
    const due = names.filter((n) => performance.now() >= (page.missing[n] || 0));
    const found = await Promise.all(due.map((n) => kit.ask(`/api/${n}`)));
    due.forEach((n, i) => { page.data[n.split("?")[0]] = found[i]; if (!found[i]) page.missing[n] = performance.now() + (n === "refits" ? 20000 : 0); });
    if (kit.byId("health")) drawn();
  });
}
function drawn() {
  const d = page.data;
  if (page.view === "sensors") { matrix(d.state); failed(d.state); contradictions(d.state); manual(d.state); values(d.state); }
  if (page.view === "sources") { ledger(d.ledger); sinks(d.ledger, d.state); cable(d.cable, d.ledger); evidence(d.state, d.log); }
  for (const other of window.plantwinPages) if (other.part === "fidelity") other.show(kit, page, {show, p, plural, words, gone});
  summaries(d);
}
function view(name) {
  page.view = name;
  kit.attr(kit.byId("health"), {"data-view": name});
  for (const v of VIEWS) kit.attr(kit.byId(`tab-${v}`), {"aria-selected": v === name ? "true" : "false"});
  history.replaceState(history.state, "", `${location.pathname}#${name}`);
}
function summaries(d) {
  const level = (key, text, bad) => { kit.put(kit.byId(`sum-${key}`), (bad ? "▲ " : "") + text); kit.attr(kit.byId(`tab-${key}`), {"data-level": bad ? "warn" : "none"}); };
  if (d.fidelity) {
    const open = ((d.drift || {}).notices || []).filter((n) => !n.closed).length, refits = (Array.isArray(d.refits) ? d.refits : []).filter((r) => r.status === "proposed").length;
    const light = {green: "as good as promised", amber: "doubtful", red: "not to be trusted", unknown: "not enough evidence yet"}[d.fidelity.light] || d.fidelity.light;
    level("trust", [light, open && plural(open, "notice of drift", "notices of drift"), refits && plural(refits, "refit") + " to decide", ((d.drift || {}).hours || []).length > 0 && "hours differ from the calendar"].filter(Boolean).join(", "), d.fidelity.light === "red" || d.fidelity.light === "amber" || open > 0);
  } else level("trust", "cannot be read now", false);
  if (d.state) {
    const all = d.state.sensors || [], bad = all.filter((s) => kindOf(s) === "bad").length, unheard = all.filter((s) => !s.heard).length, c = (d.state.contradictions || []).length;
    const parts = [bad && `${bad} bad`, unheard && `${unheard} never heard`, c && plural(c, "contradiction")].filter(Boolean);
    level("sensors", parts.length ? `${parts.join(", ")}, of ${plural(all.length, "tag")}` : all.length ? `all ${all.length} tags heard and believed` : "no tags in the plant file", bad + c > 0);
  } else level("sensors", "cannot be read now", false);
  if (d.ledger && d.ledger.sources) {
    const all = Object.values(d.ledger.sources), off = all.filter((s) => !s.online && s.e !== "").length, on = all.filter((s) => s.online).length, holes = all.reduce((a, s) => a + s.hole, 0), out = (d.cable || {}).out, sick = all.filter((s) => ill(s).length).length;
    level("sources", out ? "the cable is out" : !all.length ? "no source has been heard yet" : `${off ? `${off} of ${all.length} offline` : `${plural(on, "source")} online`}${sick ? `, ${sick} degraded` : ""}, ${holes ? plural(holes, "open hole") : "nothing missing"}`, Boolean(out) || off + sick + holes > 0);
  } else level("sources", "cannot be read now", false);
}

/* ---- sensors ---- */
function kindOf(s) { return !s.heard ? "unheard" : s.quality === 3 ? "bad" : s.quality === 2 ? "stale" : s.quality === 1 || s.quality === 5 ? "about" : s.quality === 4 ? "hand" : "good"; }
const ORDER = ["bad", "unheard", "stale", "about", "hand", "good"];
const shownValue = (s) => s.value === null || s.value === undefined ? "–" : s.property === "state" && kit.STATES[s.value] ? kit.STATES[s.value] : kit.num(s.value);
function groups(all) {
  const plant = kit.live.plant || {}, ids = (name) => (plant[name] || []).map((x) => x.id ?? x);
  const of = [["Station", ids("stations")], ["Stock", ids("stocks")], ["Product", ids("products")], ["Customer", ids("demands")]];
  const known = new Set(of.flatMap(([, names]) => names));
  of.push(["Other", [...new Set(all.map((s) => s.place).filter((x) => !known.has(x)))]]);
  return of.map(([name, places]) => [name, places.filter((x) => name === "Station" || all.some((s) => s.place === x))]).filter(([, places]) => places.length);
}
function matrix(state) {
  const marks = kit.byId("marks");
  if (marks && !marks.firstChild) children(marks, ORDER.slice().reverse().filter((k) => k !== "hand").map((k) => { const key = kit.make("span", {class: "key"}); kit.make("span", {class: `mark ${k}`, "aria-hidden": "true"}, key, MARK[k][0]); key.append(MARK[k][1]); return key; }));
  if (!state) return show("matrix", [gone("The sensors")]);
  const all = state.sensors || [];
  if (!all.length) return show("matrix", [p("The plant file lists no sensors: without any, the twin knows nothing. Add them under `sensors:` (docs/plant-file.md).")]);
  show("matrix", groups(all).map(([title, places]) => {
    const inside = all.filter((s) => places.includes(s.place)), cols = KINDS.filter((k) => inside.some((s) => s.property === k));
    const rows = places.map((place) => [kit.make("b", {}, null, place), ...cols.map((k) => cell(place, k, inside.filter((s) => s.place === place && s.property === k)))]);
    const table = kit.table([title, ...cols.map(words)], rows, `Sensors by ${title}`);
    kit.attr(table, {"data-key": title});
    return table;
  }));
}
function cell(place, property, tags) {
  if (!tags.length) return kit.make("span", {class: "nothing", "aria-label": "no sensor"}, null, "·");
  const worst = ORDER.find((k) => tags.some((s) => kindOf(s) === k)), n = tags.filter((s) => kindOf(s) === worst).length;
  const ages = tags.map((s) => s.age_s).filter((a) => a !== null), fails = tags.filter((s) => total(s.failed));
  const age = ages.length ? kit.span(Math.min(...ages)) : "", what = worst === "good" && tags.length === 1 ? shownValue(tags[0]) : worst === "good" ? `${tags.length} tags` : tags.length === 1 ? (worst === "unheard" ? "not heard" : shownValue(tags[0])) : `${n} of ${tags.length}`;
  const told = tags.map((s) => `${s.tag}: ${MARK[kindOf(s)][1]}, ${s.heard ? `${shownValue(s)}, ${kit.span(s.age_s)} old` : "no reading so far"}${total(s.failed) ? `; failed: ${failures(s)}` : ""}`).join("\n");
  const key = `${place}|${property}`;
  const button = kit.make("button", {class: `button sensor ${worst}`, type: "button", "data-act": "sensor", "data-cell": key, "data-quality": worst, "aria-pressed": page.cell === key ? "true" : "false", title: told, "aria-label": `${place} ${words(property)}: ${told.replaceAll("\n", "; ")}`});
  kit.make("span", {class: `mark ${worst}`, "aria-hidden": "true"}, button, MARK[worst][0]);
  kit.make("span", {class: "v"}, button, what);
  kit.make("span", {class: "small"}, button, age + (fails.length ? ` · ${plural(fails.reduce((a, s) => a + total(s.failed), 0), "failed")}`.replace("faileds", "failed") : ""));
  return button;
}
const failures = (s) => Object.entries(s.failed || {}).map(([k, n]) => `${k} ${kit.num(n)} times`).join(", ");
function failed(state) {
  if (!state) return show("failed", [gone("The checks")]);
  const all = state.sensors || [], unheard = all.filter((s) => !s.heard), nodes = [];
  if (page.cell) {
    const tags = all.filter((s) => `${s.place}|${s.property}` === page.cell);
    const table = kit.table(["Tag", "Value", "Quality", "Age", "Readings", "Failed checks"], tags.map((s) => [s.tag, shownValue(s), `${MARK[kindOf(s)][0]} ${MARK[kindOf(s)][1]}`, s.heard ? kit.span(s.age_s) : "–", s.n, failures(s) || "none"]), "The chosen cell");
    kit.attr(table, {"data-key": "chosen"});
    nodes.push(kit.make("h3", {"data-key": "h"}, null, page.cell.replace("|", ": ").replaceAll("_", " ")), table);
  }
  const rows = all.flatMap((s) => Object.entries(s.failed || {}).map(([check, n]) => [s, check, n])).sort((a, b) => (b[0].flag === b[1]) - (a[0].flag === a[1]) || b[2] - a[2]);
  const flagged = (s, check) => s.flag === check ? kit.sign("bad", "newest reading") : kit.make("span", {}, null, "earlier");
  nodes.push(rows.length ? kit.table(["Tag", "Check", "What it means", "Failed", "Now"], rows.slice(0, 40).map(([s, check, n]) => [s.tag, check, CHECK[check] || "", n, flagged(s, check)]), "Failed checks") : p("No reading has failed a check."));
  if (unheard.length) nodes.push(p(`Never heard: ${unheard.slice(0, 12).map((s) => s.tag).join(", ")}${unheard.length > 12 ? ` and ${unheard.length - 12} more` : ""}. Check the gateway's configuration for these tags; until then the twin estimates what they would say.`));
  show("failed", nodes);
}
function contradictions(s) {
  if (!s) return show("contradictions", [gone("The state")]);
  const c = s.contradictions || [];
  show("contradictions", [c.length ? kit.table(["What disagrees", "Sensors", "Off by", "Since"], c.map((x) => [kit.sign("bad", x.what), (x.sensors || []).join(", "), typeof x.by === "number" ? x.by : String(x.by ?? ""), x.since ? kit.clock(x.since) : ""]), "Contradictions") : p("No two sensors contradict each other.")]);
}
function values(s) {
  if (!s) return show("sensors", [gone("The state")]);
  /* A station's units and its buffer stand in the station's row. */
  const plant = kit.live.plant || {}, owner = new Map((plant.stations || []).filter((t) => t.buffer).map((t) => [t.buffer, t.id]));
  const row = (v) => owner.get(v.thing) || String(v.thing).split("/")[0];
  const kind = (t) => ["Station", "Stock", "Control"][(plant.stations || []).some((x) => x.id === t) ? 0 : (plant.stocks || []).some((x) => x.id === t) ? 1 : 2];
  const one = (q, v) => {
    const mark = v.quality === 3 ? "bad" : v.quality === 2 ? "stale" : v.quality === 1 || v.quality === 5 ? "about" : "fine";
    const shown = q === "state" && kit.STATES[v.value] ? kit.STATES[v.value] : typeof v.value === "number" ? kit.num(v.value) : v.value ?? "?";
    const box = kit.make("div", {class: `cell ${mark}`, title: v.age_s > 1e9 ? `${kit.QUALITY[v.quality]}, never read` : `${kit.QUALITY[v.quality]}, ${kit.span(v.age_s)} old`});
    kit.make("span", {class: "v"}, box, (mark === "bad" ? "! " : mark === "about" ? "≈ " : "") + shown + (v.spread ? ` ± ${kit.num(v.spread, 2)}` : ""));
    kit.make("span", {class: "small"}, box, v.age_s > 1e9 ? "never read" : kit.span(v.age_s));
    return box;
  };
  show("sensors", ["Station", "Stock", "Control"].map((k) => [k, s.values.filter((v) => kind(row(v)) === k)]).filter(([, of]) => of.length).map(([k, of]) => {
    const props = [...new Set(of.map((v) => v.property))];
    const cells = (t, q) => { const box = kit.make("div", {class: "cells"}); of.filter((v) => row(v) === t && v.property === q).forEach((v) => box.append(one(q, v))); return box; };
    const table = kit.table([k, ...props.map(words)], [...new Set(of.map(row))].map((t) => [t, ...props.map((q) => cells(t, q))]), `Values: ${k}`);
    kit.attr(table, {"data-key": k});
    return table;
  }));
}

/* ---- counts by hand ---- */
function things() {
  const plant = kit.live.plant || {};
  return [["Stations", (plant.stations || []).map((s) => s.id)], ["Stocks", (plant.stocks || []).map((s) => s.id)]];
}
function hands(thing) {
  const more = (page.data.state || {}).supply ? ["moved", "quarantined"] : [];
  const owed = ((kit.live.plant || {}).demands || []).some((d) => d.stock === thing);
  const stock = ((kit.live.plant || {}).stocks || []).find((s) => s.id === thing);
  return stock ? ["on_hand", ...(stock.source === "line" ? [] : ["on_order"]), ...(owed ? ["backorder"] : []), ...more] : ["level", ...more];
}
function field(form, name, text, tag, attrs = {}) {
  const box = kit.make("label", {class: "field", "data-field": name}, form);
  kit.make("span", {class: "small"}, box, text);
  return kit.make(tag, {name, class: "input", ...attrs}, box);
}
function options(select, names, label = (n) => n) { const before = select.value; select.replaceChildren(...names.map((n) => kit.make("option", {value: n}, null, label(n)))); if (names.includes(before)) select.value = before; }
function buildManual() {
  const form = kit.make("form", {class: "form", id: "manual-form", "data-key": "form"});
  const thing = field(form, "thing", "Where", "select"), property = field(form, "property", "What was counted", "select"), to = field(form, "to", "To", "select");
  for (const [title, names] of things()) { const group = kit.make("optgroup", {label: title}, thing); names.forEach((n) => kit.make("option", {value: n}, group, n)); }
  field(form, "value", "Count", "input", {type: "number", min: "0", step: "1", required: "", inputmode: "numeric"});
  field(form, "sd", "May be wrong by ±", "input", {type: "number", min: "0", step: "0.5", value: "0"});
  field(form, "role", "Role", "input", {required: "", maxlength: "128", list: "roles", value: remembered(), autocomplete: "off"});
  kit.make("button", {class: "button", type: "submit", id: "manual-send"}, form, "Tell the twin");
  const fit = () => {
    options(property, hands(thing.value), (n) => HANDS[n]);
    options(to, (things().find(([, names]) => names.includes(thing.value)) || ["", []])[1].filter((n) => n !== thing.value));
    to.parentElement.hidden = property.value !== "moved";
  };
  thing.addEventListener("change", fit);
  property.addEventListener("change", fit);
  form.addEventListener("submit", (event) => { event.preventDefault(); tell(form); });
  form.fit = fit;
  fit();
  return form;
}
function manual(state) {
  const el = kit.byId("manual");
  if (!el || !kit.live.plant) return;
  if (!kit.byId("manual-form")) {
    el.replaceChildren(buildManual(), kit.make("div", {id: "manual-answer", role: "status"}), kit.make("div", {id: "manual-list"}));
  } else if (state && !el.contains(document.activeElement)) kit.byId("manual-form").fit();
  show("manual-answer", page.answer ? [kit.sign(page.answer.ok ? "ok" : "bad", page.answer.text)] : []);
  const told = Object.entries((state || {}).manual || {}).sort((a, b) => b[1].t - a[1].t).slice(0, 12);
  show("manual-list", [told.length ? kit.table(["What", "Count", "When (plant time)", "Role"], told.map(([name, m]) => {
    const [what, ...thing] = name.split("/").reverse();
    return [`${thing.reverse().join("/")}: ${words(what)}`, `${kit.num(m.value)}${m.sd ? ` ± ${kit.num(m.sd, 2)}` : ""}`, kit.clock(m.t), m.role];
  }), "Counts by hand, newest first") : p("Nothing has been counted by hand yet. A count corrects the twin at once, as far as its ± reaches; it is kept in the journal with your role.")]);
}
function remembered() { try { return localStorage.getItem("plantwin-as") || "operator"; } catch { return "operator"; } }
function remember(role) { try { localStorage.setItem("plantwin-as", role); } catch { /* private window */ } }
function held(state, thing, property) {
  const station = ((kit.live.plant || {}).stations || []).find((s) => s.id === thing), names = station ? [thing, station.buffer] : [thing];
  const v = ((state || {}).values || []).find((x) => names.includes(x.thing) && (x.property === property || (property === "level" && x.property === "queue")));
  return v ? v.value : null;
}
async function tell(form) {
  const f = Object.fromEntries(new FormData(form)), button = kit.byId("manual-send");
  const body = {thing: f.thing, property: f.property, value: Number(f.value), sd: Number(f.sd || 0), role: f.role.trim(), ...(f.property === "moved" ? {to: f.to} : {})};
  remember(body.role);
  button.disabled = true;
  const before = held(page.data.state, body.thing, body.property);
  const [status, answer] = await kit.post("/api/manual", body);
  if (status !== 200) page.answer = {ok: false, text: `Not taken: ${kit.why(answer)}`};
  else {
    const name = `${body.thing}/${body.property}`;
    let state = null;
    for (let i = 0; i < 16; i++) { /* in the journal; the twin reads it within moments */
      state = await kit.ask("/api/state");
      const m = ((state || {}).manual || {})[name];
      if (m && m.t >= answer.t - 60000 && m.value === body.value && m.role === body.role) break;
      state = null;
      await new Promise((done) => setTimeout(done, 250));
    }
    if (state) page.data.state = state;
    const now = held(state, body.thing, body.property), parts = plural(body.value, "part");
    const places = {moved: `${parts} moved by hand from ${body.thing} to ${body.to}`, quarantined: `${parts} of ${body.thing} put into quarantine`}[body.property] || `${(HANDS[body.property] || words(body.property)).split(":")[0]} of ${body.thing}`;
    page.answer = !state ? {ok: true, text: "In the journal; the twin has not read it yet."} : {ok: true, text: now === null ? `Taken: ${places}.` : `Taken. ${places}: the twin says ${kit.num(now)} now${before !== null && before !== now ? `, ${kit.num(before)} before` : before === now ? ", as before" : ""}.`};
    form.elements.value.value = "";
  }
  button.disabled = false;
  if (kit.byId("manual-list")) manual(page.data.state);
}

/* ---- sources ---- */
const reasons = (o) => Object.entries(o || {}).map(([k, v]) => `${words(k)} ${kit.num(v)}`).join(", ");
function counted(o) { const n = total(o), box = kit.make("span", {}, null, kit.num(n)); if (n) kit.make("span", {class: "small"}, box, ` ${reasons(o)}`); return box; }
/* What a source that is online says is wrong with it: its gateway goes on, but not as it should. */
const ill = (s) => (s.online && s.degraded) || [];
function ledger(l) {
  if (!l || !l.sources) return show("ledger", [gone("The ledger")]);
  const rows = Object.entries(l.sources).map(([root, s]) => [root, s.online ? (ill(s).length ? kit.sign("bad", "degraded") : "online") : s.e === "" ? "no status sent" : kit.sign("bad", "offline"), s.received, s.duplicate, s.late, s.hole ? kit.sign("bad", kit.num(s.hole)) : 0, s.replayed, counted(s.rejected), counted(s.dropped),
    s.last_recv ? `${kit.span((Date.now() - s.last_recv) / 1000)} ago` : "never"]);
  show("ledger", [rows.length ? kit.table(["Source", "Connection", "Received", "Duplicate", "Late", "Open holes", "Replayed", "Rejected", "Dropped by rule", "Last heard"], rows, "Sources") : p("No source has been heard yet: start a gateway (docs/gateway.md), or look at its own output."),
    ...Object.entries(l.sources).flatMap(([root, s]) => ill(s).map((t) => { const line = p(""); line.append(kit.sign("bad", `${root.split("/").pop()}, since ${kit.clock(t.since)}: ${t.text || words(t.what)}.`)); return line; })),
    total(l.rejected) ? p(`Rejected before a source was known: ${reasons(l.rejected)}.`) : null,
    p("Messages since ingest's journal began. An open hole is a message that is known to be missing and is being asked for again.")]);
}
function sinks(l, state) {
  if (!l) return show("sinks", [gone("The ledger")]);
  const rows = Object.entries(l.sinks || {}).map(([name, s]) => typeof s === "object" && s ? [name, s.state === "ok" || s.state === "idle" || !s.state ? s.state || "" : kit.sign(String(s.state).startsWith("waiting") ? "bad" : "stale", String(s.state)), s.behind === undefined ? "" : s.behind ? `${plural(s.behind, "row")} behind` : "up to date", s.failures ?? ""] : [name, String(s), "", ""]);
  const book = (state || {}).supply || l.supply || {}, age = book.age_s;
  const old = age !== null && age !== undefined && age >= 86400;
  show("sinks", [rows.length ? kit.table(["Sink", "State", "Lag", "Failures"], rows, "Sinks") : p("No sink is set up: readings are kept in the journal only (docs/storage.md says how to add one)."),
    kit.make("h3", {}, null, "Order book"),
    age === null || age === undefined ? p("No order document has come yet, so orders due are not known. Send supply documents (docs/wire.md) to tell the twin what is on its way.") : old ? kit.sign("bad", `The newest order document is ${kit.span(age)} old (plant time).`) : p(`The newest order document is ${kit.span(age)} old (plant time).`, ""),
    Object.keys(book.kinds || {}).length ? kit.table(["Document", "Newest"], Object.entries(book.kinds).map(([k, a]) => [words(k), `${kit.span(a)} ago`]), "Documents") : null,
    ...Object.values(book.differs || {}).map((text) => kit.sign("bad", text))]);
}
function evidence(state, log) {
  show("lineage", [state ? kit.table(["", ""], [["State hash", state.hash], ["Reached", `journal row ${kit.num(state.pos)}, plant time ${kit.clock(state.t)}, frame ${kit.live.frame ? kit.num(kit.live.frame.seq) : "?"}`]], "State") : gone("The state")]);
  const rows = (Array.isArray(log) ? log : (log || {}).rows) || [];
  const short = (b) => { const t = typeof b === "string" ? b : JSON.stringify(b ?? {}); return t.length > 400 ? t.slice(0, 399) + "…" : t; };
  show("log", [rows.length ? kit.table(["No.", "Plant time", "What", "Who", "Body"], [...rows].sort((a, b) => b.seq - a.seq).slice(0, 40).map((r) => [r.seq, kit.clock(r.t), r.type, r.actor || "", short(r.body)]), "Evidence log") : log ? p("The log is empty.") : log === undefined ? p("The log is being read.") : gone("The log")]);
}

/* ---- pull the cable (in a demo only) ---- */
function step(done, text, note = "") {
  const li = kit.make("li", {"data-done": done ? "1" : "0"});
  kit.make("span", {class: "mark", "aria-hidden": "true"}, li, done ? "✓" : "·");
  kit.make("span", {}, li, text);
  kit.make("span", {class: "small"}, li, note);
  return li;
}
const wall = (ms) => new Date(ms).toLocaleTimeString("en-GB");
const took = (from, to) => `after ${((to - from) / 1000).toFixed(1)} s`;
function cable(c, l) {
  const panel = document.querySelector(".cable-panel");
  if (panel) panel.hidden = !c || !c.demo;
  if (!c || !c.demo) return;
  if (c.detail) return show("cable", [kit.sign("stale", c.detail)]);
  const s = c.story, holes = Object.values((l || {}).sources || {}).reduce((a, x) => a + x.hole, 0), lost = s ? s.abandoned + (s.drained ? holes : 0) : 0, stale = kit.live.frame && kit.live.frame.mode === "stale";
  if (s && stale && !s.drained) page.sawStale = s.pulled;
  const running = s && !s.drained, line = kit.make("p", {class: "big", id: "cable-line", "data-key": "line"}, null, !s ? `Plugged in: ${plural(c.waiting, "message")} on the way` : running ? `${plural(c.waiting, "message")} waiting, ${lost} lost so far` : `${plural(s.most, "message")} waiting → 0, ${lost} lost`);
  const buttons = kit.make("div", {class: "actions", "data-key": "buttons"});
  if (c.out) kit.make("button", {class: "button", type: "button", "data-act": "plug"}, buttons, `Plug in now (comes back by itself in ${Math.ceil(c.left_s)} s)`);
  else for (const seconds of c.spans_s || []) kit.make("button", {class: "button", type: "button", "data-act": "pull", "data-seconds": seconds}, buttons, `Pull for ${seconds} s`);
  const list = kit.make("ol", {class: "story", "data-key": "story"});
  if (s) list.append(
    step(true, `Pulled at ${wall(s.pulled)} for ${s.seconds} s`, "every connection of the gateway to the broker ended"),
    step(s.most > 0, `The gateway keeps what it reads: up to ${plural(s.most, "message")} in its outbox`, ""),
    step(page.sawStale === s.pulled, "The twin marks its values stale; advice is suspended", stale ? (kit.live.frame.sync || {}).why || "" : ""),
    step(s.plugged, s.plugged ? `Plugged in again at ${wall(s.plugged)}` : "Plugged in again", s.plugged ? took(s.pulled, s.plugged) : `in ${Math.ceil(c.left_s)} s`),
    step(s.connected, "The gateway has reached the broker", s.connected ? took(s.plugged, s.connected) : ""),
    step(s.drained, "All that waited has been delivered, in order", s.drained ? took(s.connected, s.drained) : s.connected ? `${plural(c.waiting, "message")} to go` : ""),
    step(s.drained && !stale, "The twin is back in step", ""));
  show("cable", [line, buttons, s ? list : p("Cuts the gateway of this demo off the broker, to see what the twin no longer knows and how it comes back. The plant goes on, nothing is killed, the cable comes back by itself.")]);
}
async function pull(body) {
  const [status, answer] = await kit.post("/api/cable", body);
  if (status !== 200) kit.toast("bad", `Not done: ${kit.why(answer)}`);
  else { page.data.cable = answer; cable(answer, page.data.ledger); }
}

window.plantwinPages = (window.plantwinPages || []).concat([{draw, acts: {
  view: (button) => { view(button.dataset.view); drawn(); kit.live.seen.health = undefined; },
  sensor: (button) => { page.cell = page.cell === button.dataset.cell ? null : button.dataset.cell; matrix(page.data.state); failed(page.data.state); },
  pull: (button) => pull({seconds: Number(button.dataset.seconds)}),
  plug: () => pull({plug: true}),
}}]);
window.plantwinMorph = {remembered, remember};
})();
