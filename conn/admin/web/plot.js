// Plots of the last ten minutes, drawn as SVG, and numbers as people read them.

const WIDTH = 360;
const HEIGHT = 150;
const LEFT = 58; // of the drawing, where the labels of the y axis end
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 24;
const SPAN_MS = 600_000; // of the x axis
const TICK_MS = 120_000;
const GAP_MS = 3_500; // a longer pause between two samples is no line

const grouping = new Intl.NumberFormat("en");

// scaled writes a number with the largest unit that leaves a 1 or more in front.
function scaled(n, units) {
  let i = units.findIndex(([size]) => Math.abs(n) >= size);
  if (i < 0) i = units.length - 1;
  let value = n / units[i][0];
  // 999.96 ms are one second when rounded.
  if (i > 0 && Number(value.toPrecision(3)) >= units[i - 1][0] / units[i][0]) value = n / units[--i][0];
  const rounded = Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3));
  return `${grouping.format(rounded)}${units[i][1] && ` ${units[i][1]}`}`;
}

export function count(n) {
  if (Math.abs(n) < 10_000) return grouping.format(Math.abs(n) >= 100 ? Math.round(n) : Number(n.toPrecision(3)));
  return scaled(n, [[1e9, "G"], [1e6, "M"], [1e3, "k"]]);
}

export const exact = (n) => grouping.format(n);
export const bytes = (n) => scaled(n, [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]]);
export const percent = (n) => `${Number((n * 100).toPrecision(3))} %`;

export function seconds(n) {
  if (n >= 60) {
    const [d, h, m, s] = [Math.floor(n / 86400), Math.floor(n / 3600) % 24, Math.floor(n / 60) % 60, Math.floor(n) % 60];
    if (d > 0) return `${d} d ${h} h`;
    return h > 0 ? `${h} h ${m} min` : `${m} min ${s} s`;
  }
  return n === 0 ? "0 s" : scaled(n, [[1, "s"], [1e-3, "ms"], [1e-6, "µs"]]);
}

// above returns the end of an axis from 0 to n or a little more, and the steps on it.
function above(n) {
  const rough = n / 3 || 1;
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = ten * [1, 2, 5, 10].find((k) => k * ten >= rough * 0.999);
  const steps = Math.max(1, Math.ceil(n / step - 1e-9));
  return { end: steps * step, step, steps };
}

function element(name, attributes, ...children) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  e.append(...children);
  return e;
}

function html(name, className, text = "") {
  const e = document.createElement(name);
  e.className = className;
  e.textContent = text;
  return e;
}

// Plot draws one or two series. Its figure can be pointed at, or focused and read
// with the arrow keys.
export class Plot {
  // lines: [{field, label}], of a sample; format: a number as text; least: the least
  // end of the y axis, so that noise around 0 does not fill the plot; none: what it means
  // that there is no value.
  constructor({ name, title, lines, format, least = 0, none = "" }) {
    Object.assign(this, { title, lines, format, least, none, samples: [], at: -1 });
    this.now = html("output", "now", "–");
    this.reading = html("p", "reading");
    this.svg = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
    const caption = document.createElement("figcaption");
    caption.append(html("span", "title", title), this.now);
    if (lines.length > 1) {
      const keys = html("span", "keys");
      keys.append(...lines.map(({ label }, i) => html("span", i ? "key second" : "key", label)));
      caption.append(keys);
    }
    this.figure = document.createElement("figure");
    this.figure.dataset.plot = name;
    this.figure.tabIndex = 0;
    this.figure.append(caption, this.svg, this.reading);
    this.svg.addEventListener("pointermove", (e) => this.point(e));
    this.svg.addEventListener("pointerleave", () => this.read(-1));
    this.figure.addEventListener("blur", () => this.read(-1));
    this.figure.addEventListener("keydown", (e) => this.key(e));
  }

  // draw shows samples, oldest first; the last one is now.
  draw(samples) {
    const reading = this.samples[this.at]?.at_ms; // stays at its moment
    this.samples = samples;
    this.end = samples.at(-1).at_ms;
    let most = this.least;
    for (const s of samples) for (const { field } of this.lines) most = Math.max(most, s[field] ?? 0);
    this.axis = above(most);
    const last = samples.at(-1)[this.lines[0].field];
    this.now.textContent = last === null ? "–" : this.format(last);
    this.figure.dataset.value = last ?? "";
    this.figure.dataset.top = this.axis.end;
    this.svg.setAttribute("aria-label", `${this.title}: now ${this.now.textContent}, at most ${this.format(most)} in the last ten minutes`);
    this.svg.replaceChildren(...this.scales(), ...this.lines.map(({ field }, i) => this.line(field, i)));
    this.read(samples.findIndex((s) => s.at_ms === reading));
  }

  x(ms) { return LEFT + (1 - (this.end - ms) / SPAN_MS) * (WIDTH - LEFT - RIGHT); }
  y(value) { return TOP + (1 - value / this.axis.end) * (HEIGHT - TOP - BOTTOM); }

  scales() {
    const all = [];
    for (let i = 0; i <= this.axis.steps; i++) {
      const y = this.y(i * this.axis.step);
      all.push(element("line", { class: i ? "grid" : "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y }));
      all.push(element("text", { x: LEFT - 5, y: y + 4, "text-anchor": "end" }, this.format(i * this.axis.step)));
    }
    for (let ago = 0; ago <= SPAN_MS; ago += TICK_MS) {
      const x = this.x(this.end - ago);
      all.push(element("line", { class: "axis", x1: x, x2: x, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM + 4 }));
      const label = ago === 0 ? "now" : ago === SPAN_MS ? "−10 min" : `−${ago / 60_000}`;
      all.push(element("text", { x, y: HEIGHT - 5, "text-anchor": ago === 0 ? "end" : "middle" }, label));
    }
    return all;
  }

  line(field, i) {
    let d = "";
    let before = -Infinity;
    for (const s of this.samples) {
      const value = s[field];
      if (value === null || s.at_ms < this.end - SPAN_MS) continue;
      d += `${s.at_ms - before > GAP_MS ? "M" : "L"}${this.x(s.at_ms).toFixed(2)} ${this.y(value).toFixed(2)}`;
      if (before === -Infinity || s.at_ms - before > GAP_MS) d += "h0.1"; // a sample alone is a dot
      before = s.at_ms;
    }
    return element("path", { class: i ? "second" : "first", d });
  }

  point(event) {
    const box = this.svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDTH;
    let nearest = -1;
    this.samples.forEach((s, i) => {
      if (nearest < 0 || Math.abs(this.x(s.at_ms) - x) < Math.abs(this.x(this.samples[nearest].at_ms) - x)) nearest = i;
    });
    this.read(nearest);
  }

  key(event) {
    const last = this.samples.length - 1;
    const from = this.at < 0 ? last + 1 : this.at;
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, PageUp: from - 60, PageDown: from + 60, Home: 0, End: last, Escape: -1 }[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this.read(event.key === "Escape" ? -1 : Math.min(last, Math.max(0, to)));
  }

  // read shows the values of one sample, or none for -1.
  read(i) {
    this.at = i;
    this.svg.querySelector(".cursor")?.remove();
    const s = this.samples[i];
    const absent = this.samples.at(-1)?.[this.lines[0].field] === null;
    this.reading.textContent = s === undefined ? (absent ? this.none : "") : `${seconds(Math.round((this.end - s.at_ms) / 1000))} ago: ${this.lines
      .map(({ field, label }) => `${label ? `${label} ` : ""}${s[field] === null ? "–" : this.format(s[field])}`).join(", ")}`;
    if (s !== undefined) this.svg.append(element("line", { class: "cursor", x1: this.x(s.at_ms), x2: this.x(s.at_ms), y1: TOP, y2: HEIGHT - BOTTOM }));
  }
}
