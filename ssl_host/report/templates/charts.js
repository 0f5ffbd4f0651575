"use strict";
(() => {
  const tip = document.createElement("div");
  tip.className = "tip";
  const hide = () => tip.remove();
  for (const chart of document.querySelectorAll("svg.chart")) {
    const lines = [...chart.querySelectorAll(".line")].map((line) => ({
      name: line.dataset.name,
      at: line.getAttribute("points").split(" ").map((p) => p.split(",").map(Number)),
      values: line.dataset.values.split(";").map((p) => p.split(",").map(Number)),
    }));
    chart.addEventListener("pointermove", (event) => {
      const box = chart.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * chart.viewBox.baseVal.width;
      const rows = lines.map((line) => {
        let best = 0;
        line.at.forEach((p, i) => { if (Math.abs(p[0] - x) < Math.abs(line.at[best][0] - x)) best = i; });
        return `${line.name} ${line.values[best][1]} at ${line.values[best][0]}`;
      });
      tip.textContent = rows.join(" · ");
      tip.style.left = `${Math.min(event.clientX + 12, innerWidth - 220)}px`;
      tip.style.top = `${event.clientY - 34}px`;
      document.body.append(tip);
    });
    chart.addEventListener("pointerleave", hide);
  }
})();
