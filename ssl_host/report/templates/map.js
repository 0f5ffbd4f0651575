"use strict";
(() => {
  const data = JSON.parse(document.getElementById("map-data").textContent);
  const canvas = document.getElementById("map");
  if (!data || !canvas) return;
  const peek = document.getElementById("peek");
  const pen = canvas.getContext("2d");
  const swatch = document.createElement("i");
  document.body.append(swatch);
  const colours = [...Array(10).keys()].map((i) => {
    swatch.className = `c${i}`;
    return getComputedStyle(swatch).color;
  });
  swatch.remove();
  const margin = 30;
  const dots = data.positions.map(([x, y]) => [
    margin + x * (canvas.width - 2 * margin), margin + y * (canvas.height - 2 * margin)]);
  dots.forEach(([x, y], i) => {
    pen.fillStyle = colours[(data.labels[i] ?? 0) % 10];
    pen.globalAlpha = 0.75;
    pen.beginPath();
    pen.arc(x, y, 6, 0, 7);
    pen.fill();
  });
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const scale = canvas.width / box.width;
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
    let best = -1, least = 30 * 30;
    dots.forEach(([a, b], i) => {
      const far = (a - x) ** 2 + (b - y) ** 2;
      if (far < least) { least = far; best = i; }
    });
    peek.style.display = best < 0 ? "none" : "block";
    if (best < 0) return;
    const zoom = 84 / data.tile;
    peek.style.backgroundImage = `url(${data.sheet})`;
    peek.style.backgroundSize = `${data.columns * data.tile * zoom}px auto`;
    peek.style.backgroundPosition =
      `${-(best % data.columns) * 84}px ${-Math.floor(best / data.columns) * 84}px`;
    peek.style.left = `${Math.min(dots[best][0] / scale + 10, box.width - 90)}px`;
    peek.style.top = `${Math.max(dots[best][1] / scale - 92, 0)}px`;
    peek.title = data.classes[data.labels[best]] ?? "";
  });
  canvas.addEventListener("pointerleave", () => { peek.style.display = "none"; });
})();
