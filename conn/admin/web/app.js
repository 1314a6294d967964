// The dashboard: plots from the stream of events, and the table of connections,
// which is asked for now and then.

import { Plot, bytes, count, exact, percent, seconds } from "./plot.js";

const KEEP = 600; // samples
const AGAIN_MS = 5_000; // before a stream that was refused is asked for again
const TABLE_MS = 2_000; // between two looks at the connections
const TABLE_SHARE = 20; // and at least so many times as long as the last look took
const TABLE_ROWS = 20;
const SAY_MS = 10_000; // how long the outcome of a close stands

const plural = (n, noun) => `${exact(n)} ${noun}${n === 1 ? "" : "s"}`;
const byId = (id) => document.getElementById(id);

// ---------------------------------------------------------------------- plots

const rate = (n) => `${count(n)}/s`;
const plots = [
  { name: "connections", title: "Open connections", lines: [{ field: "connections" }], format: count },
  { name: "closes", title: "Connections come and go", lines: [{ field: "closes_per_second", label: "closed" }, { field: "opened_per_second", label: "opened" }], format: rate },
  { name: "messages", title: "Messages received", lines: [{ field: "messages_received_per_second" }], format: rate },
  { name: "deliveries", title: "Broadcast deliveries", lines: [{ field: "deliveries_per_second" }], format: rate },
  { name: "fanout", title: "Time of a fan-out", lines: [{ field: "fanout_seconds", label: "mean" }, { field: "fanout_longest_seconds", label: "longest" }], format: seconds, least: 1e-4, none: "No broadcast in this second" },
  { name: "queued", title: "Waiting for slow clients", lines: [{ field: "write_queue_bytes" }], format: bytes, least: 1000 },
  { name: "drops", title: "Frames dropped", lines: [{ field: "drops_per_second" }], format: rate },
  { name: "memory", title: "Memory of the process", lines: [{ field: "resident_bytes" }], format: bytes },
  { name: "density", title: "Memory per connection", lines: [{ field: "resident_bytes_per_connection" }], format: bytes, least: 300, none: "The process's growth, from 5,000 connections on" },
].map((spec) => new Plot(spec));
byId("plots").append(...plots.map(({ figure }) => figure));

let samples = [];
let about = null; // what the last event said beside its samples
let due = false; // something has to be drawn

function draw() {
  due = false;
  if (document.hidden || samples.length === 0) return;
  showLevels();
  for (const plot of plots) plot.draw(samples);
  document.body.dataset.at = samples.at(-1).at_ms;
  showCloses();
}

function later() {
  if (due) return;
  due = true;
  requestAnimationFrame(draw);
}

function take(event, first) {
  about = event;
  const more = event.samples ?? [];
  for (const s of more) s.closes_per_second = Object.values(s.closes).reduce((sum, n) => sum + n, 0);
  samples = (first ? more : samples.concat(more)).slice(-KEEP);
  const reason = event.not_ready;
  setState(reason ? "not-ready" : "ready", reason ? `Not ready: ${reason}` : "Ready");
  const parts = [event.version, `up ${seconds((Date.now() - event.began_ms) / 1000)}`, plural(event.topics, "topic")];
  if (event.nodes !== null) parts.push(plural(event.nodes, "other node"));
  byId("about").textContent = parts.join(", ");
  later();
}

function setState(state, text) {
  document.body.dataset.state = state;
  // Written again, it would be read aloud again.
  if (byId("state").textContent !== text) byId("state").textContent = text;
}

// --------------------------------------------------------------------- levels

const NEAR = 0.75; // from this share of a limit on a level is marked
const AT = 0.9; // and from this one marked as grave; the server itself begins to act here

const units = { "": exact, bytes, share: percent };

// tile makes what shows one level, once.
function tile(name) {
  const li = document.createElement("li");
  li.dataset.level = name;
  const bar = document.createElement("div");
  bar.className = "level";
  bar.setAttribute("role", "meter");
  bar.setAttribute("aria-label", name);
  bar.setAttribute("aria-valuemin", 0);
  bar.setAttribute("aria-valuemax", 100);
  bar.append(document.createElement("div"));
  const [title, share, of] = ["title", "share", "of"].map((className) => {
    const span = document.createElement("span");
    span.className = className;
    return span;
  });
  title.textContent = name;
  li.append(title, share, bar, of);
  byId("levels").append(li);
  return li;
}

function showLevels() {
  const shown = new Map([...byId("levels").children].map((li) => [li.dataset.level, li]));
  for (const { name, unit, used, limit, of } of about.levels ?? []) {
    const li = shown.get(name) ?? tile(name);
    shown.delete(name);
    const share = used / limit;
    const state = share >= AT ? "at" : share >= NEAR ? "near" : "";
    const says = unit === "share" ? of : `${units[unit](used)} of ${units[unit](limit)}`;
    li.dataset.state = state;
    li.title = `the limit: ${of}`;
    li.querySelector(".share").textContent = percent(Math.round(share * 100) / 100);
    li.querySelector(".of").textContent = `${says}${{ at: ": nearly all", near: ": much" }[state] ?? ""}`;
    const bar = li.querySelector(".level");
    bar.setAttribute("aria-valuenow", Math.min(100, Math.round(share * 100)));
    bar.setAttribute("aria-valuetext", li.querySelector(".of").textContent);
    bar.firstChild.style.width = `${Math.min(100, share * 100)}%`;
  }
  for (const li of shown.values()) li.remove(); // a limit that was lifted
}

// --------------------------------------------------------------------- stream

function watch() {
  const stream = new EventSource("events");
  let first = true; // of this connection: the server begins with the past
  stream.onopen = () => { first = true; };
  stream.onmessage = (message) => {
    take(JSON.parse(message.data), first);
    first = false;
  };
  stream.onerror = () => {
    setState("lost", "The server does not answer");
    if (stream.readyState === EventSource.CLOSED) setTimeout(watch, AGAIN_MS);
  };
}

// --------------------------------------------------------------------- closes

function cell(text, title = "") {
  const td = document.createElement("td");
  td.textContent = text;
  td.title = title;
  return td;
}

function row(...cells) {
  const tr = document.createElement("tr");
  tr.append(...cells);
  return tr;
}

function showCloses() {
  const recent = {};
  for (const { closes } of samples) for (const [reason, n] of Object.entries(closes)) recent[reason] = (recent[reason] ?? 0) + n;
  const all = Object.entries(about.closed ?? {}).sort(([, a], [, b]) => b - a);
  byId("closes").tBodies[0].replaceChildren(...all.map(([reason, n]) => {
    const tr = row(cell(reason), cell(exact(recent[reason] ?? 0)), cell(exact(n)));
    tr.dataset.reason = reason;
    tr.dataset.total = n;
    return tr;
  }));
  if (all.length === 0) byId("closes").tBodies[0].append(row(cell("none yet"), cell(""), cell("")));
}

// ---------------------------------------------------------------- connections

const table = byId("conns").tBodies[0];
let timer = 0;
let looked = 0; // number of the newest look

async function look() {
  clearTimeout(timer);
  const mine = ++looked;
  const began = performance.now();
  try {
    if (busy()) note("The table stands still while you point at it.");
    else if (!document.hidden) show(await ask(`debug/conns?format=json&limit=${TABLE_ROWS}&sort=${byId("sort").value}`), mine);
  } catch (err) {
    if (mine === looked) note(`The connections cannot be asked for: ${err.message}`);
  }
  if (mine === looked) timer = setTimeout(look, Math.max(TABLE_MS, TABLE_SHARE * (performance.now() - began)));
}

// busy: somebody is about to press a button, which must not move away.
const busy = () => table.matches(":hover, :focus-within") || byId("ask").open;

async function ask(url, options) {
  const response = await fetch(url, options);
  if (!response.ok) throw new Error((await response.text()).trim());
  return response.headers.get("Content-Type").includes("json") ? response.json() : response.text();
}

function show(conns, mine) {
  if (mine !== looked || busy()) return;
  table.replaceChildren(...conns.map((c) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Close";
    button.setAttribute("aria-label", `Close ${c.peer}`);
    button.addEventListener("click", () => confirm(c));
    const action = document.createElement("td");
    action.append(button);
    const tr = row(
      cell(c.peer, c.id),
      cell(c.queued_bytes ? `${bytes(c.queued_bytes)} in ${count(c.queued_frames)}` : "–", "bytes in frames"),
      cell(c.unsent_bytes ? bytes(c.unsent_bytes) : "–", "in the kernel's send buffer"), cell(count(c.dropped_frames)), cell(c.rtt_seconds ? seconds(c.rtt_seconds) : "–"), cell(count(c.unacked_segments), "segments"),
      cell(seconds(c.idle_seconds)), cell(seconds(c.age_seconds)), cell(c.state), action,
    );
    tr.dataset.id = c.id;
    return tr;
  }));
  note(conns.length === 0 ? { queue: "Nothing waits in the server for any connection.", unsent: "Nothing waits for any connection, in the server or in the kernel.", drops: "No frame was dropped for any of those that are open." }[byId("sort").value] ?? "Nobody is connected." : "");
}

let saidAt = -Infinity; // when the outcome of a close was noted

function say(text) {
  saidAt = -Infinity;
  note(text);
  saidAt = performance.now();
}

function note(text) {
  if (performance.now() - saidAt < SAY_MS) return;
  if (byId("conns-note").textContent !== text) byId("conns-note").textContent = text;
}

function confirm(c) {
  byId("ask-text").textContent = `${c.peer} (id ${c.id}) is told 1008 "closed by operator".`;
  byId("ask").returnValue = "";
  byId("ask").onclose = async () => {
    if (byId("ask").returnValue !== "close") return;
    try {
      say(await ask(`debug/conns/${encodeURIComponent(c.id)}/close`, { method: "POST" }));
    } catch (err) {
      say(err.message);
    }
    table.querySelector(`[data-id="${CSS.escape(c.id)}"]`)?.remove();
    byId("sort").focus();
  };
  byId("ask").showModal();
}

byId("sort").addEventListener("change", look);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  later();
  look();
});

watch();
look();
