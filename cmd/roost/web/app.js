// The chat page. The wire is raw: a text frame carries exactly what was typed,
// and what arrives is shown as text, never as markup.

const BACKOFF_MIN_MS = 500;
const BACKOFF_MAX_MS = 30_000;
const STABLE_MS = 10_000; // a connection this old makes the back-off start over
const TIMEOUT_MS = 10_000; // for one attempt to connect, and for one request
const LOG_LIMIT = 500; // messages kept in the page
const TEXT_LIMIT = 10_000; // UTF-16 units shown of one message
const HEX_LIMIT = 32; // bytes shown of one binary message

const byId = (id) => document.getElementById(id);
const numbers = new Intl.NumberFormat();
const words = new Intl.ListFormat("en");
const plural = (n, noun) => `${numbers.format(n)} ${noun}${n === 1 ? "" : "s"}`;

async function getJSON(url) {
  const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.json();
}

// ---------------------------------------------------------------- connection

let state = "connecting"; // connecting | connected | reconnecting
let endpoint = null; // WebSocket URL, once the server told its path
let socket = null; // the open socket, null in every other state
let failures = 0; // attempts since a connection last stayed up
let retryAt = 0; // performance.now() at which to try again
let retryTimer = 0;

async function connect() {
  clearTimeout(retryTimer);
  setState("connecting");
  try {
    endpoint ??= await findEndpoint();
    open(new WebSocket(endpoint));
  } catch {
    retryLater("The server did not answer.");
  }
}

const here = new URLSearchParams(location.search);
let auth = ""; // how the server tells who may connect; "" when everybody may

async function findEndpoint() {
  const config = await getJSON("config.json");
  auth = config.auth;
  explain(config.handler);
  const url = new URL(config.path, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  // The page of /?topic=news&token=T is for that topic, with that token.
  for (const [name, value] of here) {
    if (name === "topic" || name === "token") url.searchParams.append(name, value);
  }
  return url.href;
}

// What becomes of a message depends on the server's --handler, and on the page's topics.
const FATE = {
  chat: (topics) => topics ? `What you send reaches everyone in ${topics}.` : "What you send reaches everyone here. With ?topic=news in the address, you are in a topic of its own.",
  echo: () => "What you send comes back to you alone.",
  push: (topics) => `This server takes no messages: what it publishes${topics && ` to ${topics}`} appears here.`,
};

function explain(handler) {
  byId("fate").textContent = FATE[handler]?.(words.format(here.getAll("topic"))) ?? "";
  byId("composer").hidden = byId("hint").hidden = handler === "push";
}

function open(candidate) {
  // Browsers wait minutes for a silent host.
  const giveUp = setTimeout(() => candidate.close(), TIMEOUT_MS);
  let stable = 0;

  candidate.binaryType = "arraybuffer";
  candidate.onopen = () => {
    clearTimeout(giveUp);
    stable = setTimeout(() => { failures = 0; }, STABLE_MS);
    socket = candidate;
    setState("connected");
    startCounting();
  };
  candidate.onmessage = (event) => arrive(event.data);
  candidate.onclose = (event) => {
    clearTimeout(giveUp);
    clearTimeout(stable);
    const wasOpen = socket !== null;
    socket = null;
    retryLater(describeClose(event, wasOpen));
  };
}

const HINT = {
  token: " It wants a token that is valid for it and the page's topics: ?token=TOKEN in the address of this page.",
  "back end": " It asks a back end who may connect: log in there first.",
};

function describeClose({ code, reason }, wasOpen) {
  // 1006 never travels: it says that no close frame came (RFC 6455, 7.1.5).
  // Nor is a page told that, or why, a handshake was refused (WebSockets Standard, section 4).
  if (code === 1006) return wasOpen ? "The connection was lost." : `The server did not answer, or refused the connection.${HINT[auth] ?? ""}`;
  return `The server closed the connection (${code}${reason ? `: ${reason}` : ""}).`;
}

// Full jitter: anywhere between now and the ceiling, so that the clients of a
// restarted server do not come back in step.
function retryLater(reason) {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** failures);
  failures++;
  retryAt = performance.now() + Math.random() * ceiling;
  byId("reason").textContent = reason;
  setState("reconnecting");
  countDown();
}

function countDown() {
  const left = retryAt - performance.now();
  if (left <= 0) {
    connect();
    return;
  }
  byId("countdown").textContent = `in ${Math.ceil(left / 1000)} s`;
  retryTimer = setTimeout(countDown, left % 1000 || 1000);
}

function retryNow() {
  if (state === "reconnecting") connect();
}

function setState(next) {
  state = next;
  document.body.dataset.state = next;
  byId("state").textContent = { connecting: "Connecting", connected: "Connected", reconnecting: "Reconnecting" }[next];
  byId("countdown").textContent = "";
  byId("send").disabled = next !== "connected";
  // aria-disabled, because a disabled button would lose the keyboard's focus.
  byId("retry").setAttribute("aria-disabled", String(next !== "reconnecting"));
  if (next === "connected") byId("clients").hidden = false;
  if (next === "reconnecting") byId("clients").hidden = true;

  // The notice stays through the attempts that follow a failure: no flicker.
  const trouble = next === "reconnecting" || (next === "connecting" && failures > 0);
  if (!trouble && document.activeElement === byId("retry")) byId("draft").focus();
  byId("notice").hidden = !trouble;
}

byId("retry").addEventListener("click", retryNow);
addEventListener("online", retryNow);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  retryNow();
  if (countDue) count();
});

// ----------------------------------------------------------- number of clients

// The server names the interval: it grows with the number of clients, so that
// all pages together ask at a steady rate.
let refreshMs = 0; // 0 until the server told it
let countTimer = 0;
let countDue = false; // the time came while the page was hidden

// The first connection asks at once. A later one spreads its question, because
// after a restart everyone else comes back too.
function startCounting() {
  clearTimeout(countTimer);
  countTimer = setTimeout(count, Math.random() * refreshMs);
}

async function count() {
  countDue = document.hidden;
  if (countDue || state !== "connected") return;
  try {
    const answer = await getJSON("clients");
    refreshMs = answer.refresh_ms;
    byId("clients").textContent = plural(answer.clients, "client");
  } catch {
    refreshMs ||= TIMEOUT_MS; // the last number stands
  }
  clearTimeout(countTimer);
  countTimer = setTimeout(count, refreshMs * (0.75 + Math.random() / 2));
}

// -------------------------------------------------------------------- messages

const log = byId("log");
const list = byId("messages");
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

let pending = []; // arrived, not yet in the page; at most LOG_LIMIT
let received = 0;
let unread = 0; // arrived below the visible part
let frame = 0; // requestAnimationFrame handle, 0 when none is due
let pinned = true; // the log shows its end and follows it

// A flood of messages costs one layout per animation frame, and a hidden page
// none at all.
function arrive(data) {
  received++;
  pending.push({ at: new Date(), data });
  if (pending.length > LOG_LIMIT) pending.shift();
  frame ||= requestAnimationFrame(render);
}

function render() {
  frame = 0;
  const batch = pending;
  pending = [];
  list.append(...batch.map(messageItem));
  while (list.childElementCount > LOG_LIMIT) list.firstElementChild.remove();

  byId("empty").hidden = true;
  byId("trimmed").hidden = received <= LOG_LIMIT;
  byId("trimmed").textContent = `The last ${LOG_LIMIT} of ${plural(received, "message")}`;
  if (pinned) scrollToEnd();
  else showUnread(unread + batch.length);
}

function messageItem({ at, data }) {
  const time = document.createElement("time");
  time.dateTime = at.toISOString();
  time.textContent = clock.format(at);

  const body = document.createElement("div");
  body.dir = "auto";
  body.append(...(typeof data === "string" ? textBody(data) : binaryBody(new Uint8Array(data))));

  const item = document.createElement("li");
  item.className = "message";
  item.append(time, body);
  return item;
}

function textBody(text) {
  if (text.length <= TEXT_LIMIT) return [span("text", text)];
  const shown = text.slice(0, TEXT_LIMIT).replace(/[\ud800-\udbff]$/, ""); // no half of a pair
  return [span("text", shown), span("aside", ` … and ${plural(text.length - shown.length, "more character")}`)];
}

function binaryBody(bytes) {
  const hex = Array.from(bytes.subarray(0, HEX_LIMIT), (b) => b.toString(16).padStart(2, "0")).join(" ");
  const more = bytes.length > HEX_LIMIT ? " …" : "";
  return [span("aside", `binary, ${plural(bytes.length, "byte")}`), span("hex", hex + more)];
}

function span(className, text) {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}

function scrollToEnd() {
  pinned = true;
  log.scrollTop = log.scrollHeight;
  showUnread(0);
}

function showUnread(n) {
  unread = n;
  byId("unread").hidden = n === 0;
  byId("unread").textContent = `${plural(n, "new message")} ↓`;
}

log.addEventListener("scroll", () => {
  pinned = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
  if (pinned) showUnread(0);
});
byId("unread").addEventListener("click", () => {
  scrollToEnd();
  byId("draft").focus();
});
// A touch keyboard that opens must not push the end out of sight.
new ResizeObserver(() => { if (pinned) scrollToEnd(); }).observe(log);

// -------------------------------------------------------------------- composer

const draft = byId("draft");

// Without a connection the draft stays where it is; a socket that is closing
// would take it and send nothing.
byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  draft.focus();
  if (socket?.readyState !== WebSocket.OPEN || draft.value === "") return;
  socket.send(draft.value);
  draft.value = "";
  scrollToEnd();
});

draft.addEventListener("keydown", (event) => {
  // While an input method composes, Enter picks a word.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId("composer").requestSubmit();
});

connect();
