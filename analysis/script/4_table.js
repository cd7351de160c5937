// Last part: the table of trials and its drawings. Filters are the one selection; both drawings and the table follow them.

const PAGE = 50;
const MOST_LEVELS = 14;

function workbench(root) {
  const data = read(JSON.parse(root.querySelector("script").textContent));
  const n = data.keys.length;
  const shown = data.columns.filter((column) => column.shown && column.values.some((value) => value !== null && value !== ""))
    .filter((column) => column.key !== "dataset" || column.several);
  const settings = data.columns.filter((column) => column.part === "setting" && column.several
    && (column.kind !== "text" || column.levels.length <= MOST_LEVELS));
  const axes = [...settings, data.by.in_range, data.by.out_of_range].filter((one) => one.kind === "text" || one.high >= one.low);
  const filters = new Map([["stage", "=search"]]);
  let sort = { column: null, down: false }, first = 0, chosen = [], behind = [], marked = null, slice = settings[0] || null;
  let color = "out_of_range", drawn = [];

  const all = make("div"), trial = make("article", { class: "trial", hidden: true });
  const status = make("p", { role: "status" });
  const told = make("p", { class: "told-trial", "aria-hidden": "true" });
  const parallel = make("div", { class: "plot", role: "region", tabindex: "0", "aria-label": "parallel coordinates" });
  const slices = make("div", { class: "plot" });
  const head = make("tr"), asked = make("tr", { class: "filters" }), body = make("tbody");
  const pager = make("p", { class: "pager" });
  const inputs = new Map();

  function select() {
    const tests = [...filters].map(([key, text]) => [data.by[key], condition(data.by[key], text)]);
    const valid = tests.filter(([, test]) => test);
    const names = valid.filter(([column]) => column.part === "name");
    chosen = [];
    behind = [];
    for (let row = 0; row < n; row++) {
      if (!names.every(([column, test]) => test(column.values[row]))) continue;
      (valid.every(([column, test]) => test(column.values[row])) ? chosen : behind).push(row);
    }
    if (sort.column) order();
    for (const [key, input] of inputs) {
      if (document.activeElement !== input) input.value = filters.get(key) || "";
      input.setAttribute("aria-invalid", String(tests.some(([column, test]) => column.key === key && !test)));
    }
    const wrong = tests.filter(([, test]) => !test).map(([column]) => column.title);
    status.textContent = `${chosen.length} of ${n} trials`
      + (wrong.length ? `; ${wrong.join(", ")}: not understood. ${HELP}` : "");
    first = 0;
  }
  function order() {
    const { values } = sort.column, sign = sort.down ? -1 : 1;
    const isMissing = (row) => values[row] === null || values[row] === "";
    chosen.sort((a, b) => {
      if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b) || a - b; // what is missing comes last
      const less = typeof values[a] === "string"
        ? values[a].localeCompare(values[b], "en", { numeric: true }) : values[a] - values[b];
      return sign * less || a - b;
    });
  }
  function showRows() {
    body.replaceChildren(...chosen.slice(first, first + PAGE).map((row) => {
      const cells = shown.slice(1).map((column) =>
        make("td", { class: column.kind === "text" ? null : "number" }, cellText(column, row)));
      const link = make("a", { href: `#${data.keys[row]}` }, cellText(shown[0], row));
      const mark = () => highlight(row);
      return make("tr", { onmouseenter: mark, onfocusin: mark }, make("th", { scope: "row" }, link), ...cells);
    }));
    const last = Math.min(first + PAGE, chosen.length);
    const button = (text, to, on) => make("button", { type: "button", disabled: !on, onclick: () => {
      first = to;
      showRows();
    } }, text);
    pager.replaceChildren(
      `${chosen.length ? first + 1 : 0} to ${last} of ${chosen.length} `,
      button("Previous", Math.max(0, first - PAGE), first > 0), " ",
      button("Next", first + PAGE, last < chosen.length));
  }
  function refresh() {
    select();
    showRows();
    draw();
  }
  function setFilter(key, text) {
    if (text === "") filters.delete(key); else filters.set(key, text);
    refresh();
  }
  function sortBy(column) {
    sort = { column, down: sort.column === column && !sort.down };
    for (const cell of head.children) {
      const mine = cell.dataset.key === column.key;
      cell.setAttribute("aria-sort", mine ? (sort.down ? "descending" : "ascending") : "none");
    }
    order();
    first = 0;
    showRows();
  }

  function highlight(row) {
    marked = row;
    told.textContent = row === null ? " " : `${data.by.dataset.several ? `${data.by.dataset.values[row]} ` : ""}`
      + `${data.by.trial.values[row]}: ${axes.map((one) => `${one.title.toLowerCase()} ${cellText(one, row) || "none"}`).join(", ")}`;
    for (const one of drawn) one.over();
  }
  // One drawing: the trials on one canvas, the one pointed at on another above it, so that pointing costs nothing.
  function plot(box, height, label, paint, near, drag, least = 0) {
    box.replaceChildren();
    const width = Math.max(box.clientWidth, least);
    const base = canvasFor(box, width, height, label), top = canvasFor(box, width, height, "");
    top.canvas.removeAttribute("role");
    top.canvas.removeAttribute("aria-label");
    top.canvas.setAttribute("aria-hidden", "true");
    const painter = paint(base.context, width, height);
    let from = null;
    const over = (area) => {
      top.context.clearRect(0, 0, width, height);
      if (marked !== null) painter(top.context, marked);
      if (area) {
        top.context.strokeStyle = colors().link;
        top.context.strokeRect(...area);
      }
    };
    const at = (event) => [event.offsetX, event.offsetY];
    top.canvas.addEventListener("pointerdown", (event) => {
      from = at(event);
      top.canvas.setPointerCapture(event.pointerId);
    });
    top.canvas.addEventListener("pointermove", (event) => {
      const [x, y] = at(event);
      if (from) over([from[0], from[1], x - from[0], y - from[1]]);
      else highlight(near(x, y));
    });
    top.canvas.addEventListener("pointerup", (event) => {
      const start = from, [x, y] = at(event);
      from = null;
      if (Math.hypot(x - start[0], y - start[1]) > 6) drag(start, [x, y]);
      else if (marked !== null) location.hash = data.keys[marked];
    });
    top.canvas.addEventListener("pointerleave", () => { if (!from) highlight(null); });
    drawn.push({ over });
  }
  // The filter that a stretch of an axis stands for.
  function stretch(column, place, a, b) {
    const [low, high] = [Math.min(a, b), Math.max(a, b)];
    if (place.levels) {
      return [...place.levels].filter(([, at]) => at >= low && at <= high).map(([level]) => `=${level}`).join("|");
    }
    const ends = [place.back(a), place.back(b)].sort((one, two) => one - two).map((end) => Number(end.toPrecision(3)));
    return `${ends[0]}..${ends[1]}`;
  }
  function ramp(rows) {
    const { ramp: steps } = colors(), values = data.by[color].values;
    const known = rows.filter((row) => values[row] !== null).sort((a, b) => values[a] - values[b]);
    const found = new Map(known.map((row, k) => [row, steps[Math.floor(k * steps.length / known.length)]]));
    return (row) => found.get(row) || colors().dim;
  }

  function drawParallel(of) {
    const bottom = 36, upper = 34, look = colors();
    let places, xs;
    const line = (context, row) => {
      context.beginPath();
      axes.forEach((one, k) => context[k ? "lineTo" : "moveTo"](xs[k], places[k].at(one.values[row])));
      context.stroke();
    };
    plot(parallel, 320, `Parallel coordinates of ${chosen.length} trials over ${axes.map((one) => one.title).join(", ")}.`,
      (context, width, height) => {
        xs = axes.map((_, k) => 50 + (width - 100) * k / Math.max(1, axes.length - 1));
        places = axes.map((one) => scale(one, height - bottom, upper));
        context.strokeStyle = look.dim;
        context.globalAlpha = FAINT;
        for (const row of behind) line(context, row);
        context.globalAlpha = chosen.length > 400 ? 0.35 : 0.8;
        for (const row of chosen) {
          context.strokeStyle = of(row);
          line(context, row);
        }
        context.globalAlpha = 1;
        context.textAlign = "center";
        axes.forEach((one, k) => {
          context.strokeStyle = context.fillStyle = look.text;
          context.strokeRect(xs[k], upper, 0.5, height - bottom - upper);
          context.fillText(one.title, xs[k], k % 2 ? 12 : 26, (width - 60) / axes.length * 1.9);
          context.fillStyle = look.dim;
          for (const [y, text] of places[k].ticks) tick(context, text, xs[k], y + 4);
          if (one.values.some((value) => value === null || value === "")) tick(context, "none", xs[k], height - bottom + 4);
        });
        return (over, row) => {
          over.strokeStyle = look.link;
          over.lineWidth = 3;
          line(over, row);
        };
      },
      (x, y) => {
        const k = xs.reduce((best, at, i) => Math.abs(at - x) < Math.abs(xs[best] - x) ? i : best, 0);
        return nearest((row) => Math.abs(places[k].at(axes[k].values[row]) - y));
      },
      ([x0, y0], [x1, y1]) => axes.forEach((one, k) => {
        const hit = xs[k] >= Math.min(x0, x1) - 12 && xs[k] <= Math.max(x0, x1) + 12;
        if (hit) setFilter(one.key, stretch(one, places[k], y0, y1));
      }), 64 * axes.length);
  }
  function tick(context, text, x, y) {
    const { fillStyle } = context, short = text.length > 12 ? `${text.slice(0, 11)}…` : text;
    context.save();
    context.lineWidth = 3;
    context.strokeStyle = getComputedStyle(document.body).backgroundColor;
    context.strokeText(short, x, y);
    context.fillStyle = fillStyle;
    context.fillText(short, x, y);
    context.restore();
  }
  function drawSlices(of) {
    if (!slice) return;
    const look = colors(), sides = [data.by.in_range, data.by.out_of_range];
    const left = 56, gap = 40, upper = 22, bottom = 40;
    let panel, across, up;
    const shift = (row) => slice.kind === "text" || Number.isInteger(slice.values[row]) ? (row * 37 % 17 - 8) * 0.7 : 0;
    const point = (row, k) => [panel(k) + across.at(slice.values[row]) + shift(row), up.at(sides[k].values[row])];
    const dots = (context, rows, paint) => sides.forEach((side, k) => rows.forEach((row) => {
      if (side.values[row] === null) return;
      const [x, y] = point(row, k);
      context.fillStyle = paint(row);
      context.fillRect(x - 2.5, y - 2.5, 5, 5);
    }));
    plot(slices, 300, `Loss in range, left, and out of range, right, against ${slice.title} for ${chosen.length} trials.`,
      (context, width, height) => {
        const own = (width - left - gap - 12) / 2;
        panel = (k) => left + k * (own + gap);
        across = scale(slice, 0, own);
        up = scale(sides[0], height - bottom, upper);
        sides.forEach((side, k) => frame(context, look, panel(k), own, upper, height - bottom, side.title, across, up));
        if (data.goal !== null && data.goal >= sides[0].low && data.goal <= sides[0].high) {
          context.fillStyle = look.goal;
          for (const k of [0, 1]) context.fillRect(panel(k), up.at(data.goal), own, 1.5);
          context.textAlign = "right";
          context.fillText(`goal ${numberText(data.goal)}`, panel(0) + own, up.at(data.goal) - 4);
        }
        context.textAlign = "center";
        context.fillStyle = look.text;
        context.fillText(slice.title, width / 2, height - 4);
        context.globalAlpha = FAINT;
        dots(context, behind, () => look.dim);
        context.globalAlpha = 0.85;
        dots(context, chosen, of);
        context.globalAlpha = 1;
        return (over, row) => sides.forEach((side, k) => {
          if (side.values[row] === null) return;
          const [x, y] = point(row, k);
          over.strokeStyle = look.link;
          over.lineWidth = 2.5;
          over.strokeRect(x - 6, y - 6, 12, 12);
        });
      },
      (x, y) => nearest((row) => Math.min(...sides.map((side, k) => {
        if (side.values[row] === null) return Infinity;
        const [px, py] = point(row, k);
        return Math.hypot(px - x, py - y);
      })), 30),
      ([x0, y0], [x1, y1]) => {
        const k = x0 >= panel(1) - gap / 2 ? 1 : 0;
        filters.set(slice.key, stretch(slice, across, x0 - panel(k), x1 - panel(k)));
        setFilter(sides[k].key, stretch(sides[k], up, y0, y1));
      });
  }
  function nearest(distance, most = 14) {
    let best = null, least = most;
    for (const row of chosen) {
      const d = distance(row);
      if (d < least) [best, least] = [row, d];
    }
    return best;
  }
  function draw() {
    if (!all.clientWidth) return;
    drawn = [];
    const of = ramp([...chosen]);
    drawParallel(of);
    drawSlices(of);
  }

  function build() {
    for (const column of shown) {
      const input = make("input", { type: "text", "aria-label": `Filter ${column.title}`, title: HELP, size: column.kind === "text" ? 9 : 6,
        oninput: (event) => setFilter(column.key, event.target.value) });
      inputs.set(column.key, input);
      head.append(make("th", { scope: "col", "aria-sort": "none", "data-key": column.key },
        make("button", { type: "button", onclick: () => sortBy(column) }, column.title)));
      asked.append(make("td", {}, input));
    }
    const picker = (label, options, value, onchange, css = null) => {
      const list = make("select", { class: css, onchange: (event) => onchange(event.target.value) },
        ...options.map((one) => make("option", { value: one.key, selected: one.key === value }, one.title)));
      return make("label", {}, `${label} `, list, " ");
    };
    const clear = make("button", { type: "button", onclick: () => {
      filters.clear();
      filters.set("stage", "=search");
      for (const input of inputs.values()) input.value = "";
      for (const list of all.querySelectorAll("select.of-filter")) list.value = "";
      refresh();
    } }, "Clear filters");
    const sets = data.by.dataset.levels.map((level) => ({ key: `=${level.toLowerCase()}`, title: level }));
    const dataset = picker("Dataset", [{ key: "", title: "all" }, ...sets], "", (text) => setFilter("dataset", text), "of-filter");
    const controls = make("p", { class: "controls" },
      ...(data.by.dataset.several ? [dataset] : []),
      picker("Colour by loss", [data.by.in_range, data.by.out_of_range], color, (key) => { color = key; draw(); }), clear);
    const which = make("p", { class: "controls" });
    if (slice) which.append(picker("Loss against", settings, slice.key, (key) => { slice = data.by[key]; draw(); }));
    all.append(
      make("h4", {}, "All trials in one table"),
      make("p", {}, "Sort by a heading, filter below it. A filter holds for the table and both drawings; drawing over a "
        + "stretch of an axis, or over points, sets one. A trial's number opens its page."),
      controls, parallel, told, which, slices, status,
      make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "table of all trials" },
        make("table", {}, make("caption", {}, "Trials, with the search's own at first; of a search, the lowest loss flatters."),
          make("thead", {}, head, asked), body)),
      pager);
    root.append(all, trial);
    told.textContent = " ";
    refresh();
  }

  function openTrial(row) {
    const around = [-1, 1].map((step) => chosen[chosen.indexOf(row) + step]);
    const inOrder = chosen.includes(row);
    const link = (to, text) => to === undefined || !inOrder ? "" : make("a", { href: `#${data.keys[to]}` }, text);
    const title = make("h4", { tabindex: "-1" }, `${data.by.dataset.values[row]} ${data.by.trial.values[row]}: ${data.by.result.values[row]}`);
    trial.replaceChildren(
      make("p", { class: "pager" }, make("a", { href: `#${root.id}` }, "All trials"), " ", link(around[0], "Previous"), " ", link(around[1], "Next")),
      title, ...trialParts(data, row));
    trial.id = data.keys[row];
    all.hidden = true;
    trial.hidden = false;
    const page = data.page.get(row);
    if (page) drawTrial(trial, page);
    title.focus({ preventScroll: true });
    trial.scrollIntoView();
  }
  function route() {
    const key = decodeURIComponent(location.hash.slice(1));
    const row = data.place.get(key);
    if (row === undefined && key !== root.id && trial.hidden) return;
    if (row === undefined) {
      const was = data.place.get(trial.id);
      trial.hidden = true;
      trial.removeAttribute("id");
      all.hidden = false;
      draw();
      if (key === root.id) {
        const back = [...body.querySelectorAll("a")].find((one) => one.hash === `#${data.keys[was]}`);
        (back || root).scrollIntoView({ block: back ? "center" : "start" });
        if (back) back.focus({ preventScroll: true });
      }
      return;
    }
    for (let one = root.closest("details"); one; one = one.parentElement.closest("details")) one.open = true;
    openTrial(row);
  }

  build();
  addEventListener("hashchange", route);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    draw();
    if (!trial.hidden) openTrial(data.place.get(trial.id));
  });
  let width = 0;
  new ResizeObserver(() => {
    if (all.clientWidth === width || !all.clientWidth) return;
    width = all.clientWidth;
    draw();
  }).observe(all);
  route();
}

for (const root of document.querySelectorAll(".workbench")) workbench(root);
