// The page's own script, first part: elements, numbers as the report says them, filters, and the trials as they are read.
// No name becomes markup: all text goes in as text. Nothing is loaded, nothing is sent.

const HELP = "Numbers: <0.1, >=2, 0.01..0.1, or none. Text: a part of it, a|b for either, =a for the whole.";

function make(tag, attributes = {}, ...children) {
  const one = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) one.addEventListener(name.slice(2), value);
    else if (value === true) one.setAttribute(name, "");
    else if (value !== false && value !== null) one.setAttribute(name, value);
  }
  one.append(...children);
  return one;
}

// Numbers as the report says them elsewhere: three digits, ties to the even one as Python rounds.
function fixed(value, digits) {
  const scaled = value * 10 ** digits;
  if (Number.isInteger(value * 2 ** (digits + 1)) && Math.abs(scaled % 1) === 0.5) {
    const low = Math.floor(scaled);
    return ((low % 2 === 0 ? low : low + 1) / 10 ** digits).toFixed(digits);
  }
  return value.toFixed(digits);
}
function general(value) {
  const [digits, exponent] = value.toExponential(2).split("e");
  const power = Number(exponent);
  const bare = (text) => text.includes(".") ? text.replace(/\.?0+$/, "") : text;
  if (power >= -4 && power < 3) return bare(value.toFixed(2 - power));
  return `${bare(digits)}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}
function numberText(value) {
  if (value === null || !Number.isFinite(value)) return "";
  const size = Math.abs(value);
  if (Number.isInteger(value)) return size < 1e9 ? String(value) : general(value);
  if (size < 1e-3 || size >= 1e5) return general(value);
  return fixed(value, Math.max(0, Math.min(5, 2 - Number(value.toExponential().split("e")[1]))));
}

// A filter's text as a test of one value; null where it is no filter.
function condition(column, text) {
  const asked = text.trim();
  if (asked === "") return () => true;
  if (asked === "none") return (value) => value === null || value === "";
  if (column.kind === "text") {
    const parts = asked.toLowerCase().split("|").map((part) => part.trim()).filter((part) => part !== "");
    return (value) => parts.some((part) =>
      part.startsWith("=") ? value.toLowerCase() === part.slice(1) : value.toLowerCase().includes(part));
  }
  const number = "([-+]?(?:\\d+\\.?\\d*|\\.\\d+)(?:e[-+]?\\d+)?)";
  const range = asked.match(new RegExp(`^${number}\\s*\\.\\.\\s*${number}$`, "i"));
  if (range) return (value) => value !== null && value >= Number(range[1]) && value <= Number(range[2]);
  const bound = asked.match(new RegExp(`^(<=|>=|<|>|=)?\\s*${number}$`, "i"));
  if (!bound) return null;
  const limit = Number(bound[2]);
  const tests = { "<": (v) => v < limit, ">": (v) => v > limit, "<=": (v) => v <= limit, ">=": (v) => v >= limit };
  const test = tests[bound[1]] || ((v) => v === limit || numberText(v) === numberText(limit));
  return (value) => value !== null && test(value);
}

function read(data) {
  for (const column of data.columns) {
    if (column.codes) column.values = column.codes.map((code) => column.levels[code]);
    const known = column.values.filter((value) => value !== null && value !== "");
    column.several = new Set(known).size > 1;
    if (column.kind === "text") continue;
    column.low = known.reduce((a, b) => Math.min(a, b), Infinity);
    column.high = known.reduce((a, b) => Math.max(a, b), -Infinity);
    column.log = column.low > 0 && column.high >= 20 * column.low;
  }
  data.by = Object.fromEntries(data.columns.map((column) => [column.key, column]));
  data.place = new Map(data.keys.map((key, row) => [key, row]));
  data.page = new Map(data.pages.map((page) => [page.row, page]));
  // In range and out of range are compared by eye: one scale for both.
  const sides = [data.by.in_range, data.by.out_of_range];
  const low = Math.min(...sides.map((one) => one.low)), high = Math.max(...sides.map((one) => one.high));
  for (const one of sides) Object.assign(one, { low, high, log: low > 0 && high >= 20 * low });
  return data;
}
const cellText = (column, row) => column.kind === "text" ? column.values[row] : numberText(column.values[row]);
