// Second part: what all drawings share. Colours go from the lowest fifth of the losses to the highest.

const FAINT = 0.12;
const LIGHT = ["#1f3a6e", "#3b6a8f", "#6b8f8c", "#a8a26a", "#d1a22b"];
const DARK = ["#f4d35e", "#b9c27a", "#7ea98f", "#5b86a6", "#5a6fa8"];

function colors() {
  const style = getComputedStyle(document.documentElement);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const named = Object.fromEntries(["text", "dim", "line", "link", "card"].map((n) => [n, style.getPropertyValue(`--${n}`)]));
  return { ...named, ramp: dark ? DARK : LIGHT, goal: dark ? "#ffa37d" : "#d55e00" };
}
function canvasFor(box, width, height, label) {
  const canvas = make("canvas", { role: "img", "aria-label": label });
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  box.append(canvas);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.font = "12px Arial, sans-serif";
  return { canvas, context };
}
// Where a value lies on a line from `start` to `end`; what is missing lies before its start, apart.
function scale(column, start, end) {
  const step = end > start ? 1 : -1;
  const inner = start + step * 14;
  if (column.kind === "text") {
    const n = column.levels.filter((level) => level !== "").length;
    const shown = column.levels.filter((level) => level !== "").sort();
    const at = new Map(shown.map((level, k) => [level, inner + (end - inner) * (k + 0.5) / n]));
    return { at: (value) => at.get(value) ?? start, ticks: shown.map((level) => [at.get(level), level]), levels: at };
  }
  const of = column.log ? Math.log10 : (value) => value;
  const low = of(column.low), span = of(column.high) - low || 1;
  const at = (value) => value === null ? start : inner + (end - inner) * (of(value) - low) / span;
  const back = (place) => {
    const value = low + span * (place - inner) / (end - inner);
    return column.log ? 10 ** value : value;
  };
  const values = column.log ? decades(column.low, column.high) : rounds(column.low, column.high);
  return { at, back, ticks: values.map((value) => [at(value), String(Number(value.toPrecision(3)))]) };
}
function decades(low, high) {
  const found = [];
  const steps = Math.log10(high / low) > 3 ? [1] : [1, 2, 5];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++) {
    for (const step of steps) found.push(Number(`${step}e${power}`));
  }
  return found.filter((value) => value >= low && value <= high);
}
function rounds(low, high) {
  const raw = (high - low) / 4 || 1, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((one) => one * power >= raw);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) found.push(Number((k * step).toPrecision(6)));
  return found;
}

function frame(context, look, x, width, upper, lower, title, across, up) {
  context.strokeStyle = look.line;
  context.strokeRect(x, upper, width, lower - upper);
  context.fillStyle = look.text;
  context.textAlign = "left";
  context.fillText(title, x, upper - 8);
  context.fillStyle = look.dim;
  context.textAlign = "right";
  for (const [y, text] of up.ticks) context.fillText(text, x - 5, y + 4);
  context.textAlign = "center";
  for (const [at, text] of across.ticks) context.fillText(text.length > 9 ? `${text.slice(0, 8)}…` : text, x + at, lower + 14);
}
