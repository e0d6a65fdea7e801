// Plots of a simulation: bars, lines over time with the faults behind them, and the times of the faults.

import { html, svg, nothing } from "../../vendor/lit.js";
import { count, duration } from "../format.js";
/** @import { Report } from "../types" */

/** Sizes in units of the drawing: of the whole, and of the margins for the axes. */
const WIDTH = 860, HEIGHT = 220, LEFT = 56, BOTTOM = 28, TOP = 10, RIGHT = 24;
const TICKS = 5, TIMES = 4, MAX_LINES = 6, ROW = 34;

/** @typedef {{ name: string, points: [number, number][] }} Series */

/** @param {number} seconds @returns {(at: number) => number} */
const scale = (seconds) => (at) => LEFT + (at / Math.max(seconds, Number.MIN_VALUE)) * (WIDTH - LEFT - RIGHT);

/** @param {number} highest */
function axis(highest) {
  const ticks = Math.max(1, Math.min(TICKS, Math.floor(highest)));
  return Array.from({ length: ticks + 1 }, (_, tick) => {
    const value = (highest * tick) / ticks, y = height(value, highest);
    return svg`<line class="grid" x1=${LEFT} x2=${WIDTH} y1=${y} y2=${y}/><text text-anchor="end" x=${LEFT - 6} y=${y + 4}>${count(Math.round(value))}</text>`;
  });
}

/** @param {number} value @param {number} highest */
function height(value, highest) {
  return HEIGHT - BOTTOM - (value / highest) * (HEIGHT - TOP - BOTTOM);
}

/** @param {number} x @param {string} text @param {string} [anchor] */
const label = (x, text, anchor = "middle") => svg`<text text-anchor=${anchor} x=${x} y=${HEIGHT - 7}>${text}</text>`;

/** @param {number} seconds */
const length = (seconds) => (seconds ? duration(seconds * 1000) : "0");

/** @param {[string, number][]} values @param {string} title */
export function bars(values, title) {
  const highest = Math.max(1, ...values.map(([, number]) => number));
  const width = (WIDTH - LEFT - 10) / Math.max(1, values.length), every = Math.max(1, Math.ceil(values.length / 6));
  return html`<svg class="plot" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label=${title}>${axis(highest)}
    ${values.map(([name, number], at) => svg`<rect class="bar" x=${LEFT + at * width} y=${height(number, highest)} width=${Math.max(1, width - 2)} height=${HEIGHT - BOTTOM - height(number, highest)}><title>${name}: ${count(number)}</title></rect>${at % every ? nothing : label(LEFT + (at + 0.5) * width, name)}`)}</svg>`;
}

/** The times of the faults in seconds. @param {Report} report */
function intervals(report) {
  const since = (/** @type {string} */ time) => (Date.parse(time) - Date.parse(report.began)) / 1000;
  return report.faults.map(({ what, from, until }) => ({ what, from: since(from), to: until ? since(until) : report.seconds }));
}

/** Each value holds until the next. @param {Series[]} series @param {Report} report @param {string} title */
export function lines(series, report, title) {
  const shown = series.slice(0, MAX_LINES), { seconds } = report, x = scale(seconds);
  const highest = Math.max(1, ...shown.flatMap(({ points }) => points.map(([, value]) => value)));
  const path = (/** @type {Series} */ { points }) => points.map(([at, value], number) => `${number ? `H${x(at).toFixed(1)}V` : `M${x(at).toFixed(1)} `}${height(value, highest).toFixed(1)}`).join("") + (points.length ? `H${x(seconds).toFixed(1)}` : "");
  return html`<svg class="plot" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label=${title}>
    ${intervals(report).map(({ what, from, to }) => svg`<rect class="fault" x=${x(from)} y=${TOP} width=${Math.max(1, x(to) - x(from))} height=${HEIGHT - TOP - BOTTOM}><title>${what}</title></rect>`)}${axis(highest)}
    ${Array.from({ length: TIMES + 1 }, (_, tick) => label(tick === TIMES ? WIDTH : x((seconds * tick) / TIMES), length((seconds * tick) / TIMES), tick === TIMES ? "end" : "middle"))}
    ${shown.map((one, at) => svg`<path class="series series-${at}" d=${path(one)}><title>${one.name}</title></path>`)}</svg>
    <p class="legend">${shown.map(({ name }, at) => html`<span><i class="key series-${at}"></i>${name}</span>`)}${report.faults.length ? html`<span><i class="key fault"></i>a fault</span>` : nothing}</p>`;
}

/** One row a fault, on the time axis of the other plots. @param {Report} report */
export function timeline(report) {
  const all = intervals(report), names = [...new Set(all.map(({ what }) => what))], x = scale(report.seconds);
  return html`<svg class="plot" viewBox="0 0 ${WIDTH} ${ROW * names.length + 4}" role="img" aria-label="Times of the faults">${names.map((name, row) => svg`
    <text x=${LEFT} y=${row * ROW + 13}>${name}</text>${all.filter(({ what }) => what === name).map(({ from, to }) => svg`<rect class="fault-bar" x=${x(from)} y=${row * ROW + 18} width=${Math.max(1.5, x(to) - x(from))} height="11" rx="2"><title>${length(from)} to ${length(to)}</title></rect>`)}`)}</svg>`;
}
