"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const days = read("days"), positions = read("positions");
  const grouped = (value, digits) => value.toLocaleString("en-US", {minimumFractionDigits: digits, maximumFractionDigits: digits});
  const percent = (share, digits = 2) => (share > 0 ? "+" : share < 0 ? "\u2212" : "") + grouped(Math.abs(100 * share), digits) + " %";
  const moment = (seconds, clock) => new Date(1000 * seconds).toISOString().replace("T", " ").slice(0, clock ? 16 : 10);
  const add = (parent, tag, name, text) => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };
  let shown = [];
  const clear = () => { shown.forEach((one) => one.remove()); shown = []; };
  const tell = (plot, x, y, title, rows) => {
    const tip = add(plot, "div", "tip");
    add(tip, "b", "", title);
    const table = add(tip, "table");
    for (const [name, value] of rows) { const row = add(table, "tr"); add(row, "td", "", name); add(row, "td", "figure", value); }
    const room = plot.getBoundingClientRect(), size = tip.getBoundingClientRect();
    const left = x + 16 + size.width > room.width ? x - 16 - size.width : x + 16;
    tip.style.left = Math.max(-room.left + 4, left) + "px";
    tip.style.top = Math.min(Math.max(0, y - size.height / 2), Math.max(0, room.height - size.height)) + "px";
    shown.push(tip);
  };
  const overTime = (plot, x, room) => {
    const from = +plot.dataset.from, to = +plot.dataset.to;
    const at = (from + (to - from) * x / room.width) / 1000;
    let best = null;
    for (const day of days) if (!best || Math.abs(day[0] - at) < Math.abs(best[0] - at)) best = day;
    if (!best) return;
    const place = (1000 * best[0] - from) / (to - from) * room.width;
    const hair = add(plot, "i", "hair");
    hair.style.left = place + "px";
    shown.push(hair);
    tell(plot, place, 40, moment(best[0]), [["This run", grouped(best[1], 2)], ["Drawdown", percent(best[2])], ["At mean exposure", grouped(best[4], 2)], ["Buy and hold", grouped(best[3], 2)], ["Invested", percent(best[5], 1)]]);
  };
  const nearest = (plot, x, y, room, places) => {
    let best = null, least = 24 * 24;
    for (const one of positions) for (const [a, b] of places(one)) {
      const distance = (a * room.width - x) ** 2 + (b * room.height - y) ** 2;
      if (distance < least) { least = distance; best = [one, a * room.width, b * room.height]; }
    }
    if (!best) return;
    const [one, px, py] = best, ring = add(plot, "i", "ring");
    ring.style.left = px + "px"; ring.style.top = py + "px";
    shown.push(ring);
    tell(plot, px, py, one[0] + " " + percent(one[5]), [["Opened", moment(one[1], true)], ["Closed", moment(one[2], true)], ["Entry", String(one[3])], ["Exit", String(one[4]) + ", " + one[8]], ["Best, worst", percent(one[6]) + ", " + percent(one[7])]]);
  };
  const point = (event) => {
    const plot = event.currentTarget, room = plot.getBoundingClientRect(), set = plot.dataset;
    const x = event.clientX - room.left, y = event.clientY - room.top;
    clear();
    if (x < 0 || x > room.width) return;
    if (plot.classList.contains("time")) return overTime(plot, x, room);
    const across = (value) => (value - set.from) / (set.to - set.from), down = (value) => 1 - (value - set.low) / (set.high - set.low);
    if (plot.classList.contains("price"))
      nearest(plot, x, y, room, (one) => one[0] === set.symbol ? [[across(1000 * one[1]), down(one[3])], [across(1000 * one[2]), down(one[4])]] : []);
    else nearest(plot, x, y, room, (one) => [[across(one[set.field === "adverse" ? 7 : 6]), down(one[5])]]);
  };
  for (const plot of document.querySelectorAll(".plot.time,.plot.price,.plot.scatter")) {
    plot.addEventListener("pointermove", point);
    plot.addEventListener("pointerdown", point);
    plot.addEventListener("pointerleave", clear);
  }
})();
