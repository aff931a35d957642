// Drawing: elements, numbers, plots. No text ever becomes HTML here.
const SVG = "http://www.w3.org/2000/svg";

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function shape(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function figure(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  if (size >= 1e4) return `${(value / 1e3).toFixed(1)} k`;
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1).replace(/\.0$/, "");
  return value.toFixed(2).replace(/\.?0+$/, "");
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at++;
  }
  return `${figure(value)} ${units[at]}`;
}

export function ago(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1).replace(/\.0$/, "")} h`;
  return `${Math.round(seconds / 86400)} d`;
}

export const clock = (unix_s) => new Date(unix_s * 1000).toLocaleTimeString([], {hour: "2-digit", minute: "2-digit"});

// Rows of cells; a cell is a text, an element or {n: text} for a number. On a phone each row becomes a card by CSS,
// which takes a table's meaning away in some browsers: the roles say it.
export function table(caption, heads, rows) {
  const cells = (row) => row.map((cell, i) => {
    const is_number = cell !== null && typeof cell === "object" && !(cell instanceof Node);
    const content = is_number ? cell.n : cell;
    if (i === 0) return element("th", {scope: "row", role: "rowheader"}, content);
    return element("td", {role: "cell", "data-label": heads[i].replace("#", ""), class: is_number ? "n" : null}, content);
  });
  return element("table", {role: "table"}, element("caption", {}, caption),
    element("thead", {role: "rowgroup"}, element("tr", {role: "row"}, ...heads.map((head) =>
      element("th", {scope: "col", role: "columnheader", class: head.startsWith("#") ? "n" : null}, head.replace("#", ""))))),
    element("tbody", {role: "rowgroup"}, ...rows.map((row) => element("tr", {role: "row"}, ...cells(row)))));
}

export function spark(values, label) {
  const known = values.filter((value) => value !== null);
  const svg = shape("svg", {class: "spark", viewBox: "0 0 100 20", preserveAspectRatio: "none", role: "img",
    "aria-label": label});
  if (known.length < 2) return svg;
  const top = Math.max(...known, 1e-9);
  let path = "", pen = "M";
  values.forEach((value, i) => {
    if (value === null) {
      pen = "M";
      return;
    }
    path += `${pen}${(i * 100 / (values.length - 1)).toFixed(2)} ${(19 - 18 * value / top).toFixed(2)}`;
    pen = "L";
  });
  svg.append(shape("path", {d: path}));
  return svg;
}

// The legend of dygraphs writes style attributes, which our Content-Security-Policy forbids; ours is a list.
const plugins = () => Dygraph.PLUGINS.filter((plugin) => !/LegendPlugin|Legend/.test(plugin.prototype.toString()));

const DASHES = [null, [6, 3], [2, 2], [8, 2, 2, 2], [3, 4], [10, 3]];

export class Plot {
  constructor(parent, title, unit) {
    this.unit = unit;
    this.area = element("div", {class: "area", "aria-hidden": "true"});
    this.keys = element("ul", {class: "keys"});
    this.empty = element("p", {class: "none", hidden: ""}, "nothing in this time");
    this.rows = element("div");
    this.details = element("details", {}, element("summary", {}, "as a table"), this.rows);
    this.details.addEventListener("toggle", () => this.#fill());
    parent.append(element("figure", {class: "plot"},
      element("figcaption", {}, element("h3", {}, title), element("span", {class: "quiet"}, unit)),
      this.area, this.empty, this.keys, this.details));
    this.title = title;
  }

  // times: Unix seconds; series: [{label, values}], values with null for what is not known.
  show(times, series, step_s) {
    this.times = times;
    this.series = series;
    this.step_s = step_s;
    this.empty.hidden = series.length > 0;
    this.area.hidden = series.length === 0;
    const colors = series.map((_, i) => color(`--s${i % 6 + 1}`));
    this.keys.replaceChildren(...series.map((each, i) => this.#key(each, colors[i], DASHES[i % DASHES.length])));
    this.#fill();
    if (series.length === 0) return;
    const rows = times.map((time, i) => [new Date(time * 1000), ...series.map((each) => each.values[i])]);
    const top = Math.max(...series.flatMap((each) => each.values.filter((value) => value !== null)), 0);
    const options = {
      file: rows, labels: ["time", ...series.map((each) => each.label)], colors,
      series: Object.fromEntries(series.map((each, i) => [each.label, {strokePattern: DASHES[i % DASHES.length]}])),
      axisLineColor: color("--line"), gridLineColor: color("--grid"), valueRange: [0, top > 0 ? top * 1.12 : 1],
    };
    if (this.dygraph) {
      this.dygraph.updateOptions(options);
      return;
    }
    const {file, ...rest} = options;
    const all = Dygraph.PLUGINS;
    Dygraph.PLUGINS = plugins();
    this.dygraph = new Dygraph(this.area, file, {
      ...rest, legend: "never", strokeWidth: 1.7, connectSeparatedPoints: false, fillGraph: series.length === 1,
      fillAlpha: 0.12, highlightCircleSize: 3, interactionModel: {}, axisLabelFontSize: 12,
      axes: {y: {axisLabelWidth: 44, axisLabelFormatter: figure, pixelsPerLabel: 34},
             x: {pixelsPerLabel: 70, axisLabelFormatter: (date) => clock(date.getTime() / 1000)}},
    });
    Dygraph.PLUGINS = all;
  }

  redraw() {
    if (this.series) this.show(this.times, this.series, this.step_s);
  }

  #key(each, stroke, dash) {
    const last = each.values.findLast((value) => value !== null);
    const line = shape("line", {x1: 0, y1: 4, x2: 20, y2: 4, stroke, "stroke-width": 3});
    if (dash) line.setAttribute("stroke-dasharray", dash.map((n) => n * 0.8).join(" "));
    return element("li", {}, shape("svg", {viewBox: "0 0 20 8", "aria-hidden": "true"}, line), `${each.label} `,
      element("b", {}, figure(last)));
  }

  // Twelve steps say what the line says.
  #fill() {
    if (!this.details.open || !this.series) return;
    const n = this.times.length, every = Math.max(1, Math.ceil(n / 12)), rows = [];
    for (let from = 0; from < n; from += every) {
      rows.push([`${clock(this.times[from])}`, ...this.series.map((each) => {
        const known = each.values.slice(from, from + every).filter((value) => value !== null);
        return {n: known.length ? figure(Math.max(...known)) : "–"};
      })]);
    }
    this.rows.replaceChildren(table(`${this.title}, ${this.unit}: the largest of each ${ago(every * this.step_s)}`,
      ["from", ...this.series.map((each) => `#${each.label}`)], rows.reverse()));
  }
}
