"use strict";
// Every text is set as text, never as markup: names of runs and what a model wrote stay what they are.
const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 52, right: 12, top: 8, bottom: 30 };
const COLOURS = 7, DASHES = 5, TIP_ROWS = 12;
const shown = new Set(data.shown);
let oneByOne = false, loud = null, cursor = null, cursorPlot = null;

function element(name, attributes, parent, text) {
  const made = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function html(name, className, parent, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function written(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const text = size === 0 ? "0" : size < 1e-3 || size >= 1e6 ? size.toExponential(2) : Number(size.toPrecision(3)).toString();
  return (value < 0 ? "\u2212" : "") + text;
}

function line(method) {
  return `c${method % COLOURS} d${method % DASHES}`;
}

function swatch(method, parent) {
  const svg = element("svg", { class: "swatch", viewBox: "0 0 40 12", "aria-hidden": "true" }, parent);
  element("path", { d: "M1 6H39", class: `curve ${line(method)}` }, svg);
  return svg;
}

function quiet(method) {
  return loud !== null && loud !== method ? " quiet" : "";
}

// Scales and axes ------------------------------------------------------------------------------------------------------

function ticks(low, high, count, least = 0) {
  const rough = Math.max(least, (high - low) / count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((each) => each >= rough);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + 1e-9 * step; at += 1) found.push(at * step);
  return { values: found, step };
}

function label(value, step) {
  if (Math.abs(value) < step / 1e6) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || step < 1e-4) return value.toExponential(Math.max(0, Math.floor(Math.log10(size)) - Math.floor(Math.log10(step)))).replace("-", "\u2212");
  return value.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9))).replace("-", "\u2212");
}

function extent(values) {
  const found = values.filter((value) => value !== null && value !== undefined);
  return found.length ? [found.reduce((a, b) => Math.min(a, b)), found.reduce((a, b) => Math.max(a, b))] : [0, 1];
}

function padded([low, high], share) {
  const room = (high - low || Math.abs(high) || 1) * share;
  return [low - room, high + room];
}

function frame(svg, x, y, units, least) {
  const width = svg.clientWidth || 320, height = svg.clientHeight || 240;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const right = width - MARGIN.right, bottom = height - MARGIN.bottom;
  const X = (value) => MARGIN.left + ((value - x[0]) / (x[1] - x[0])) * (right - MARGIN.left);
  const Y = (value) => bottom - ((value - y[0]) / (y[1] - y[0])) * (bottom - MARGIN.top);
  const axis = element("g", { "aria-hidden": "true" }, svg);
  const across = ticks(x[0], x[1], Math.max(2, Math.round(width / 90)), least);
  const up = ticks(y[0], y[1], Math.max(3, Math.round(height / 60)));
  up.values.forEach((value) => {
    element("path", { d: `M${MARGIN.left} ${Y(value)}H${right}`, class: Math.abs(value) < 1e-12 ? "zero" : "grid" }, axis);
    element("text", { x: MARGIN.left - 6, y: Y(value) + 4, "text-anchor": "end" }, axis, label(value, up.step));
  });
  across.values.forEach((value) => {
    element("text", { x: X(value), y: bottom + 14, "text-anchor": "middle" }, axis, label(value, across.step));
  });
  element("text", { x: right, y: height - 3, "text-anchor": "end" }, axis, units);
  const clip = element("clipPath", { id: `${svg.id}-clip` }, svg);
  element("rect", { x: MARGIN.left - 4, y: MARGIN.top, width: right - MARGIN.left + 8, height: bottom - MARGIN.top }, clip);
  const body = element("g", { "clip-path": `url(#${svg.id}-clip)` }, svg);
  return { X, Y, body, width, height, bottom, right };
}

// Curves ---------------------------------------------------------------------------------------------------------------

function path(xs, ys, X, Y) {
  let pen = "M";
  return xs.map((x, index) => {
    if (ys[index] === null) { pen = "M"; return ""; }
    const piece = `${pen}${X(x).toFixed(1)} ${Y(ys[index]).toFixed(1)}`;
    pen = "L";
    return piece;
  }).join("");
}

function bandPath(curve, X, Y) {
  const places = curve.x.map((_, index) => index).filter((index) => curve.low[index] !== null);
  if (places.length < 2) return "";
  const up = places.map((index) => `${X(curve.x[index]).toFixed(1)} ${Y(curve.high[index]).toFixed(1)}`);
  const down = places.reverse().map((index) => `${X(curve.x[index]).toFixed(1)} ${Y(curve.low[index]).toFixed(1)}`);
  return `M${up.join("L")}L${down.join("L")}Z`;
}

// What the curves reach, and of the bands no more than as far again: two seeds have bands of any width.
function reach(curves) {
  const own = extent(curves.flatMap((curve) => [curve.y, ...(oneByOne ? curve.runs || [] : [])].flat()));
  const bands = extent(curves.flatMap((curve) => [...(curve.low || []), ...(curve.high || [])]));
  const room = own[1] - own[0] || Math.abs(own[1]) || 1;
  if (!curves.some((curve) => curve.low)) return padded(own, 0.05);
  return padded([Math.max(Math.min(bands[0], own[0]), own[0] - room / 2), Math.min(Math.max(bands[1], own[1]), own[1] + room / 2)], 0.03);
}

function cleared(plot, count) {
  plot.svg.replaceChildren();
  plot.scale = null;
  plot.line = null;
  plot.spots = [];
  plot.empty.hidden = count > 0;
  plot.svg.style.display = count ? "" : "none";
  return count > 0;
}

function drawPanel(plot) {
  const curves = plot.panel.curves.filter((curve) => shown.has(curve.method));
  if (!cleared(plot, curves.length)) return;
  const x = extent(plot.panel.curves.flatMap((curve) => curve.x));
  const { X, Y, body, ...size } = frame(plot.svg, x[0] === x[1] ? [x[0] - 1, x[1] + 1] : x, reach(curves), "step", 1);
  curves.filter((curve) => curve.low && !oneByOne).forEach((curve) => {
    element("path", { d: bandPath(curve, X, Y), class: `band b${curve.method % COLOURS}${curves.length > 4 ? " many" : ""}${quiet(curve.method)}` }, body);
  });
  curves.forEach((curve) => {
    (oneByOne && curve.runs ? curve.runs : []).forEach((run) => {
      element("path", { d: path(curve.x, run, X, Y), class: `run c${curve.method % COLOURS}${quiet(curve.method)}` }, body);
    });
  });
  curves.forEach((curve) => {
    element("path", { d: path(curve.x, curve.y, X, Y), class: `curve ${line(curve.method)}${quiet(curve.method)}` }, body);
    const few = curve.y.filter((value) => value !== null).length <= 12;
    curve.x.forEach((at, index) => {
      if (few && curve.y[index] !== null) {
        element("circle", { cx: X(at), cy: Y(curve.y[index]), r: 3, class: `b${curve.method % COLOURS}${quiet(curve.method)}` }, body);
      }
    });
  });
  plot.scale = { X, x, ...size, curves };
  plot.line = element("path", { class: "cursor", d: "" }, plot.svg);
}

function nearest(xs, at) {
  return xs.reduce((best, x, index) => (Math.abs(x - at) < Math.abs(xs[best] - at) ? index : best), 0);
}

function steps(plot) {
  return [...new Set(plot.scale.curves.flatMap((curve) => curve.x))].sort((a, b) => a - b);
}

function point(plot, at) {
  cursor = at;
  cursorPlot = plot;
  plots.forEach((each) => {
    if (each.line && each.scale) {
      const inside = at !== null && at >= each.scale.x[0] && at <= each.scale.x[1];
      each.line.setAttribute("d", inside ? `M${each.scale.X(at)} ${MARGIN.top}V${each.scale.bottom}` : "");
    }
    each.tip.hidden = true;
  });
  if (at !== null && plot.scale) showTip(plot, at);
}

function showTip(plot, at) {
  const half = plot.panel.stretch * 0.75 + 1e-9;
  const rows = plot.scale.curves.map((curve) => ({ curve, index: nearest(curve.x, at) }))
    .filter(({ curve, index }) => Math.abs(curve.x[index] - at) <= half && curve.y[index] !== null)
    .sort((a, b) => b.curve.y[b.index] - a.curve.y[a.index]);
  plot.tip.replaceChildren();
  const step = plot.panel.stretch > 1 && at > 0 ? `steps ${Math.round(at - (plot.panel.stretch - 1) / 2)} to ${Math.round(at + (plot.panel.stretch - 1) / 2)}` : `step ${at}`;
  html("div", "", plot.tip, step);
  const table = html("tbody", "", html("table", "", plot.tip));
  rows.slice(0, TIP_ROWS).forEach(({ curve, index }) => {
    const row = html("tr", "", table);
    swatch(curve.method, html("td", "", row));
    html("td", "", row, data.methods[curve.method]);
    html("td", "", row, written(curve.y[index]));
    const low = curve.low ? curve.low[index] : null;
    html("td", "range", row, low === null ? "" : `${written(low)} to ${written(curve.high[index])}`);
  });
  if (rows.length > TIP_ROWS) html("div", "", plot.tip, `and ${rows.length - TIP_ROWS} more below`);
  place(plot, plot.scale.X(at));
}

// Below the picture, so that it hides nothing of what is being read.
function place(plot, x) {
  plot.tip.hidden = false;
  const room = plot.svg.clientWidth - plot.tip.offsetWidth;
  plot.tip.style.left = `${Math.max(0, Math.min(room, x - plot.tip.offsetWidth / 2))}px`;
  plot.tip.style.top = `${plot.svg.getBoundingClientRect().bottom - plot.svg.parentElement.getBoundingClientRect().top}px`;
}

// Two numbers against each other ----------------------------------------------------------------------------------------

const SHAPES = [
  (x, y, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`,
  (x, y, r) => `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}Z`,
  (x, y, r) => `M${x} ${y - 1.3 * r}L${x + 1.2 * r} ${y + r}H${x - 1.2 * r}Z`,
  (x, y, r) => `M${x} ${y - 1.4 * r}L${x + 1.4 * r} ${y}L${x} ${y + 1.4 * r}L${x - 1.4 * r} ${y}Z`,
  (x, y, r) => `M${x} ${y + 1.3 * r}L${x + 1.2 * r} ${y - r}H${x - 1.2 * r}Z`,
];

function front(points) {
  const kept = points.filter((one) => !points.some((other) => other.x >= one.x && other.y >= one.y && (other.x > one.x || other.y > one.y)));
  return kept.sort((a, b) => a.x - b.x);
}

function drawScatter(plot) {
  const points = plot.panel.points.filter((each) => shown.has(each.method));
  if (!cleared(plot, points.length)) return;
  const seen = (name) => points.flatMap((each) => [each[name], ...each.seeds.map((seed) => seed[name === "x" ? 0 : 1])]);
  const { X, Y, body, right, bottom } = frame(plot.svg, padded(extent(seen("x")), 0.1), padded(extent(seen("y")), 0.1), plot.panel.across);
  const edge = front(points);
  const stairs = edge.map((each, index) => (index ? `V${Y(each.y)}H${X(each.x)}` : `M${MARGIN.left} ${Y(each.y)}H${X(each.x)}`)).join("");
  element("path", { d: `${stairs}V${bottom}`, class: "front" }, body);
  points.forEach((each) => {
    const own = `c${each.method % COLOURS}${quiet(each.method)}`;
    if (each.xLow !== null) element("path", { d: `M${X(each.xLow)} ${Y(each.y)}H${X(each.xHigh)}`, class: `bar ${own}` }, body);
    if (each.yLow !== null) element("path", { d: `M${X(each.x)} ${Y(each.yLow)}V${Y(each.yHigh)}`, class: `bar ${own}` }, body);
    each.seeds.forEach(([x, y]) => element("circle", { cx: X(x), cy: Y(y), r: 2, class: `seed b${each.method % COLOURS}${quiet(each.method)}` }, body));
  });
  const taken = [];
  points.forEach((each) => {
    const mark = element("path", { d: SHAPES[each.method % SHAPES.length](X(each.x), Y(each.y), 5), class: `b${each.method % COLOURS}${quiet(each.method)}` }, body);
    element("title", {}, mark, data.methods[each.method]);
    taken.push({ left: X(each.x) - 6, right: X(each.x) + 6, top: Y(each.y) - 6, bottom: Y(each.y) + 6 });
  });
  points.forEach((each) => name(each, X(each.x), Y(each.y), plot.svg, taken, right));
  plot.spots = points.map((each) => ({ each, x: X(each.x), y: Y(each.y) }));
}

function name(each, x, y, svg, taken, right) {
  const text = element("text", { class: `name${quiet(each.method)}` }, svg, data.methods[each.method]);
  const width = text.getComputedTextLength();
  const places = [[9, 4], [-9 - width, 4], [9, -8], [9, 16], [-9 - width, -8], [-9 - width, 16]];
  const box = ([dx, dy]) => ({ left: x + dx, right: x + dx + width, top: y + dy - 10, bottom: y + dy + 3 });
  const free = places.find((place) => {
    const own = box(place);
    const inside = own.left >= MARGIN.left && own.right <= right + MARGIN.right && own.top >= 0;
    return inside && !taken.some((other) => own.left < other.right && own.right > other.left && own.top < other.bottom && own.bottom > other.top);
  });
  if (!free && loud !== each.method) { text.remove(); return; }
  const [dx, dy] = free || places[0];
  text.setAttribute("x", x + dx);
  text.setAttribute("y", y + dy);
  taken.push(box([dx, dy]));
}

function spot(plot, index) {
  plot.tip.hidden = true;
  plot.chosen = index;
  const found = (plot.spots || [])[index];
  if (!found) return;
  const { each, x } = found;
  plot.tip.replaceChildren();
  const head = html("div", "", plot.tip);
  swatch(each.method, head);
  head.append(` ${data.methods[each.method]}`);
  html("div", "", plot.tip, `${plot.panel.up}: ${written(each.y)}${each.yLow === null ? "" : ` (${written(each.yLow)} to ${written(each.yHigh)})`}`);
  html("div", "", plot.tip, `${plot.panel.across}: ${written(each.x)}${each.xLow === null ? "" : ` (${written(each.xLow)} to ${written(each.xHigh)})`}`);
  html("div", "", plot.tip, `${each.seeds.length} seed${each.seeds.length === 1 ? "" : "s"}`);
  place(plot, x);
}
