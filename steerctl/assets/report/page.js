// What a reader does ---------------------------------------------------------------------------------------------------

function draw(plot) {
  if (plot.panel.points) drawScatter(plot);
  else drawPanel(plot);
  plot.tip.hidden = true;
}

function drawAll() {
  plots.forEach(draw);
  document.querySelectorAll("[data-method]").forEach((button) => {
    button.setAttribute("aria-pressed", shown.has(Number(button.dataset.method)));
  });
  const count = document.getElementById("count");
  if (count) count.textContent = `${shown.size} of ${data.methods.length} shown`;
  if (cursor !== null && cursorPlot) point(cursorPlot, cursor);
}

function listenPanel(plot) {
  const at = (event) => {
    if (!plot.scale) return;
    const x = event.clientX - plot.svg.getBoundingClientRect().left;
    const all = steps(plot);
    point(plot, all[nearest(all.map(plot.scale.X), x)]);
  };
  plot.svg.addEventListener("pointermove", at);
  plot.svg.addEventListener("pointerdown", at);
  plot.svg.addEventListener("pointerleave", () => { if (document.activeElement !== plot.svg) point(plot, null); });
  plot.svg.addEventListener("blur", () => point(plot, null));
  plot.svg.addEventListener("keydown", (event) => {
    if (event.key === "Escape") point(plot, null);
    const move = { ArrowRight: 1, ArrowLeft: -1, PageUp: 10, PageDown: -10, Home: -Infinity, End: Infinity }[event.key];
    if (move === undefined || !plot.scale) return;
    event.preventDefault();
    const all = steps(plot);
    const from = cursor === null ? (move > 0 ? -1 : all.length) : nearest(all, cursor);
    point(plot, all[Math.min(all.length - 1, Math.max(0, from + move))]);
  });
}

function listenScatter(plot) {
  plot.svg.addEventListener("pointermove", (event) => {
    const box = plot.svg.getBoundingClientRect();
    const far = (plot.spots || []).map((each) => Math.hypot(each.x - event.clientX + box.left, each.y - event.clientY + box.top));
    const least = far.indexOf(Math.min(...far));
    spot(plot, far[least] < 40 ? least : -1);
  });
  plot.svg.addEventListener("pointerleave", () => spot(plot, -1));
  plot.svg.addEventListener("blur", () => spot(plot, -1));
  plot.svg.addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const count = (plot.spots || []).length;
    if (event.key === "Escape") spot(plot, -1);
    if (move === undefined || !count) return;
    event.preventDefault();
    const now = plot.chosen ?? -1;
    spot(plot, now < 0 ? (move > 0 ? 0 : count - 1) : (now + move + count) % count);
  });
}

function make(figure) {
  const panel = data.panels[Number(figure.dataset.panel)];
  const svg = figure.querySelector(".plot");
  const plot = { panel, svg, tip: html("div", "tip", figure), empty: html("p", "faint", figure, "No method that is shown has this.") };
  plot.tip.hidden = true;
  plot.tip.setAttribute("role", "status");
  if (panel.points) listenScatter(plot);
  else listenPanel(plot);
  return plot;
}

function emphasise(method) {
  loud = method;
  drawAll();
}

document.documentElement.classList.add("js");
const plots = [...document.querySelectorAll("figure[data-panel]")].map(make);
document.querySelectorAll("[data-method]").forEach((button) => {
  const method = Number(button.dataset.method);
  button.addEventListener("click", (event) => {
    if (event.shiftKey) {
      shown.clear();
      shown.add(method);
    } else if (!shown.delete(method)) shown.add(method);
    drawAll();
  });
  button.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse" && shown.has(method)) emphasise(method); });
  button.addEventListener("pointerleave", () => emphasise(null));
});
document.querySelectorAll("[data-choice]").forEach((button) => {
  button.addEventListener("click", () => {
    shown.clear();
    if (button.dataset.choice === "all") data.methods.forEach((_, index) => shown.add(index));
    if (button.dataset.choice === "few") data.shown.forEach((index) => shown.add(index));
    drawAll();
  });
});
const single = document.getElementById("single-runs");
if (single) single.addEventListener("change", () => { oneByOne = single.checked; drawAll(); });
const side = document.querySelector("details.side");
if (side && matchMedia("(max-width: 62rem)").matches) side.open = false;
document.querySelectorAll("details[data-page]").forEach((details) => {
  details.addEventListener("toggle", () => {
    const frame = details.querySelector("iframe");
    if (details.open && !frame.srcdoc) frame.srcdoc = data.pages[Number(details.dataset.page)];
  });
});
let waiting = 0;
new ResizeObserver(() => {
  cancelAnimationFrame(waiting);
  waiting = requestAnimationFrame(drawAll);
}).observe(document.querySelector("main"));
drawAll();
