// Third part: a trial's page. Setting, figures, where it is found again, decision surface, curves, replicas one by one.

const UI = "http://127.0.0.1:5000";
const CURVES = [["train", "Training", "#009e73"], ["test", "Test", "#0072b2"], ["in_range", "In range", "#9a4f83"],
  ["out_of_range", "Out of range", "#d55e00"]];
const REPLICA_TITLES = { seed: "Seed", train: "Training loss", test: "Test loss", in_range: "In range",
  out_of_range: "Out of range", first_passage: "First below goal at epoch" };

function trialParts(data, row) {
  const page = data.page.get(row);
  const settings = data.columns.filter((one) => one.part === "setting" && cellText(one, row) !== "");
  const plain = settings.map((one) => `${one.title.toLowerCase()} ${one.kind === "text" ? one.values[row] : String(one.values[row])}`);
  const figures = data.columns.filter((one) => one.part === "result" && one.kind !== "text").map((one) =>
    make("div", {}, make("dt", {}, one.title), make("dd", {}, cellText(one, row) || data.by.result.values[row])));
  const parts = [
    make("p", { class: "setting" }, page ? page.setting : plain.join(", ")),
    make("dl", { class: "figures" }, ...figures),
    make("p", {}, data.commands[row] ? make("code", {}, data.commands[row]) : "No command: `replay` takes search trials, this is none.",
      ...(data.commands[row] ? [" trains it again and compares every bit."] : [])),
    make("p", {}, "In MLflow: ", make("a", { href: UI, rel: "noopener noreferrer" }, UI), " once ", make("code", {}, "python -m sweeps ui"),
      " runs, search for ", make("code", {}, `tags."sweep.uid" = '${data.uids[row]}'`), "."),
  ];
  if (!page) {
    parts.push(make("p", { class: "missing" }, "Curves and replicas are on the page of the best trials and of the stages only; the "
      + "log has every trial's."));
    return parts;
  }
  if (page.url) {
    parts.push(make("p", {}, make("a", { href: page.url, rel: "noopener noreferrer" }, "Open on the Playground page"), ", first replica's seed."));
  }
  parts.push(make("p", { class: "notes" }, page.notes.join("; ")));
  const surface = typeof page.surface === "string" ? make("p", { class: "missing" }, `${page.surface}.`)
    : make("figure", {}, make("div", { class: "surface" }), make("figcaption", {},
      `Mean prediction of n = ${page.surface.n} networks: orange -1, blue +1. Square: training range.`));
  const curves = make("figure", {}, make("div", { class: "plot curves" }), make("figcaption", {},
    `Means over n = ${page.replicas.test.length} replicas, both axes logarithmic; band: the middle 80 % of test losses.`));
  parts.push(make("div", { class: "pictures" },
    make("div", {}, make("h5", {}, "Decision surface, in range and beyond"), surface),
    make("div", { class: "wide" }, make("h5", {}, "Loss by epoch"), curves)));
  parts.push(make("h5", {}, "Replicas, one by one"), ...replicas(page.replicas));
  return parts;
}

function drawTrial(trial, page) {
  const box = trial.querySelector(".curves");
  if (page.curves.epoch.length) drawCurves(box, page.curves);
  else box.replaceWith(make("p", { class: "missing" }, "not shown: no loss was recorded."));
  if (typeof page.surface !== "string") drawSurface(trial.querySelector(".surface"), page.surface);
}

function drawCurves(box, curves) {
  const look = colors(), width = box.clientWidth, height = 280, left = 56, right = 110;
  const known = CURVES.filter(([key]) => curves[key]);
  const every = [...known.flatMap(([key]) => curves[key]), ...(curves.test_low || []), ...(curves.test_high || [])].filter((v) => v > 0);
  const ends = (values) => ({ kind: "figure", low: Math.min(...values), high: Math.max(...values), log: true });
  const last = known.map(([key, title]) => `${title.toLowerCase()} ${numberText(curves[key].at(-1) ?? null) || "unknown"}`);
  const { context } = canvasFor(box, width, height, `Loss by epoch; at the last one ${last.join(", ")}.`);
  if (!every.length) return;
  const x = scale(ends(curves.epoch), left, width - right), y = scale(ends(every), height - 40, 14);
  frame(context, look, left, width - left - right, 14, height - 40, "", { ticks: x.ticks.map(([at, text]) => [at - left, text]) }, y);
  context.fillText("epoch", (left + width - right) / 2, height - 6);
  if (curves.test_low && curves.test_high) {
    context.globalAlpha = 0.15;
    context.fillStyle = "#0072b2";
    context.beginPath();
    const edge = [...curves.test_low.map((v, k) => [k, v]), ...curves.test_high.map((v, k) => [k, v]).reverse()];
    edge.filter(([, v]) => v > 0).forEach(([k, v], i) => context[i ? "lineTo" : "moveTo"](x.at(curves.epoch[k]), y.at(v)));
    context.fill();
    context.globalAlpha = 1;
  }
  known.forEach(([key, title, color], i) => {
    context.strokeStyle = context.fillStyle = color;
    context.lineWidth = 2;
    context.setLineDash(key === "out_of_range" ? [6, 3] : key === "in_range" ? [2, 3] : []);
    context.beginPath();
    const points = curves[key].map((v, k) => [k, v]).filter(([, v]) => v > 0);
    points.forEach(([k, v], j) => context[j ? "lineTo" : "moveTo"](x.at(curves.epoch[k]), y.at(v)));
    context.moveTo(width - right + 8, 24 + 20 * i);
    context.lineTo(width - right + 28, 24 + 20 * i);
    context.stroke();
    context.setLineDash([]);
    context.fillStyle = look.text;
    context.textAlign = "left";
    context.fillText(title, width - right + 34, 28 + 20 * i);
  });
}

function drawSurface(box, surface) {
  const size = 294, { side, half } = surface;
  const right = surface.box.map((v) => numberText(v));
  const { context } = canvasFor(box, size, size,
    `Mean prediction between -${half} and ${half} in both inputs; training range ${right[0]} to ${right[1]} and ${right[2]} to ${right[3]}.`);
  const ends = [[245, 147, 34], [232, 234, 235], [8, 119, 189]];
  for (let k = 0; k < side * side; k++) {
    const place = parseInt(surface.levels.slice(2 * k, 2 * k + 2), 16) / 127.5;
    const [from, to] = place < 1 ? [ends[0], ends[1]] : [ends[1], ends[2]], share = place < 1 ? place : place - 1;
    context.fillStyle = `rgb(${from.map((v, c) => Math.round(v + share * (to[c] - v))).join(",")})`;
    const column = k % side, row = Math.floor(k / side), step = size / side;
    context.fillRect(column * step, size - (row + 1) * step, step + 0.5, step + 0.5);
  }
  const at = (v) => (v + half) / (2 * half) * size;
  context.strokeStyle = "#000000";
  context.lineWidth = 1.5;
  const [x0, x1, y0, y1] = surface.box;
  context.strokeRect(at(x0), size - at(y1), at(x1) - at(x0), at(y1) - at(y0));
}

// One row a replica, the worst test loss first on request: a heading sorts.
function replicas(columns) {
  const keys = Object.keys(columns).filter((key) => columns[key].length);
  const n = columns.test.length, most = 25;
  if (!n) return [make("p", { class: "missing" }, "not shown: no replica has given a loss.")];
  let order = Array.from({ length: n }, (_, k) => k), first = 0, sorted = null, down = false;
  const body = make("tbody"), pager = make("p", { class: "pager" }), head = make("tr");
  const show = () => {
    body.replaceChildren(...order.slice(first, first + most).map((k) => make("tr", {}, make("th", { scope: "row" }, String(k + 1)),
      ...keys.map((key) => make("td", { class: "number" },
        typeof columns[key][k] === "string" ? columns[key][k] : numberText(columns[key][k] ?? null) || "none")))));
    const button = (text, to, on) => make("button", { type: "button", disabled: !on, onclick: () => {
      first = to;
      show();
    } }, text);
    pager.replaceChildren(`${first + 1} to ${Math.min(n, first + most)} of ${n} `, button("Previous", first - most, first > 0), " ",
      button("Next", first + most, first + most < n));
  };
  const sortBy = (key) => {
    down = sorted === key && !down;
    sorted = key;
    const worth = (k) => columns[key][k] === null ? Infinity : Number(columns[key][k]);
    order.sort((a, b) => (down ? -1 : 1) * (worth(a) < worth(b) ? -1 : worth(a) > worth(b) ? 1 : 0) || a - b);
    for (const cell of head.children) {
      if (cell.dataset.key) cell.setAttribute("aria-sort", cell.dataset.key === key ? (down ? "descending" : "ascending") : "none");
    }
    first = 0;
    show();
  };
  head.append(make("th", { scope: "col" }, "Replica"), ...keys.map((key) => make("th", { scope: "col", "data-key": key, "aria-sort": "none" },
    make("button", { type: "button", onclick: () => sortBy(key) }, REPLICA_TITLES[key]))));
  show();
  return [make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "replicas" },
    make("table", {}, make("caption", {}, "Each replica has its own data, split, initial weights and order."), make("thead", {}, head), body)), pager];
}
