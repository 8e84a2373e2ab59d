"use strict";
// Every text is set as text, never as markup: what a model wrote stays what it wrote.
const data = JSON.parse(document.getElementById("data").textContent);
const tokens = [...document.querySelectorAll(".t")];
const panel = document.getElementById("panel");
let chosen = null;

function level(value) {
  return data.edges.filter((edge) => Math.abs(value) >= edge).length;
}

function classOf(value) {
  if (value === null) return "none";
  const depth = level(value);
  return depth === 0 ? "s" : value < 0 ? `f f${depth}` : `r r${depth}`;
}

function paint(name) {
  const values = data.readings.find((reading) => reading.name === name).values;
  tokens.forEach((token, index) => {
    token.className = `t ${classOf(values[index])}${token === chosen ? " chosen" : ""}`;
  });
}

function written(value, signed) {
  if (value === null) return "none";
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value);
  const text = size === 0 ? "0" : size < 1e-3 || size >= 1e5 ? size.toExponential(2) : Number(size.toPrecision(4)).toString();
  return (value < 0 ? "\u2212" : signed && value > 0 ? "+" : "") + text;
}

function row(list, name, text) {
  const term = document.createElement("dt");
  const number = document.createElement("dd");
  term.textContent = name;
  number.textContent = text;
  list.append(term, number);
}

function show(token) {
  const index = tokens.indexOf(token);
  if (index < 0) return;
  const head = document.createElement("h2");
  const list = document.createElement("dl");
  head.textContent = token.dataset.text;
  data.readings.forEach((reading) => row(list, `${reading.label} (nats)`, written(reading.values[index], true)));
  data.facts.forEach((fact) => row(list, fact.label, written(fact.values[index], fact.signed)));
  panel.replaceChildren(head, list);
  if (chosen) chosen.classList.remove("chosen");
  chosen = token;
  token.classList.add("chosen");
}

function move(token, step) {
  const next = tokens[Math.min(tokens.length - 1, Math.max(0, tokens.indexOf(token) + step))];
  tokens.forEach((each) => { each.tabIndex = -1; });
  next.tabIndex = 0;
  next.focus();
}

document.documentElement.classList.add("js");
tokens.forEach((token) => token.removeAttribute("title"));
if (tokens.length) tokens[0].tabIndex = 0;
document.addEventListener("pointerover", (event) => {
  if (event.target.classList.contains("t")) show(event.target);
});
document.addEventListener("focusin", (event) => {
  if (event.target.classList.contains("t")) show(event.target);
});
document.addEventListener("click", (event) => {
  if (event.target.classList.contains("t")) move(event.target, 0);
});
document.addEventListener("keydown", (event) => {
  if (!event.target.classList.contains("t")) return;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10, Home: -Infinity, End: Infinity }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  move(event.target, step);
});
document.querySelectorAll("input[name=reading]").forEach((input) => {
  input.addEventListener("change", () => paint(input.value));
});
const marked = document.querySelector("input[name=reading]:checked");
if (marked) paint(marked.value);
