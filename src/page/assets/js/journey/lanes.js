// Lanes: a column for each host, time downwards, an arrow for each conversation. Made to teach, and to print.

import { html, svg, nothing } from "../../vendor/lit.js";
import { duration, timeOf } from "../format.js";
/** @import { Timeline, Row } from "../types" */

const COLUMN = 150, ROW = 46, TOP = 44;

/** @param {Timeline} timeline @param {number} chosen @param {(at: number) => void} choose */
export function lanes(timeline, chosen, choose) {
  const width = Math.max(2, timeline.hosts.length) * COLUMN, height = TOP + timeline.rows.length * ROW + 20;
  const x = (/** @type {string} */ host) => timeline.hosts.indexOf(host) * COLUMN + COLUMN / 2;
  const hosts = timeline.hosts.filter((host) => timeline.rows.some((row) => row.kind !== "wait" && (row.from === host || row.to === host)));
  return html`<div class="lanes" tabindex="0" role="region" aria-label="Lanes"><svg viewBox="0 0 ${width} ${height}" width=${width} height=${height} role="img" aria-label="A column for each host, an arrow for each conversation">
    <defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" fill="context-stroke"/></marker></defs>
    ${hosts.map((host) => svg`<text class="lane-name" x=${x(host)} y="20" text-anchor="middle">${host.slice(0, 20)}</text><line class="lane" x1=${x(host)} x2=${x(host)} y1="30" y2=${height}/>`)}
    ${timeline.rows.map((row, at) => arrow(row, TOP + at * ROW + 20, x, at === chosen, () => choose(at)))}</svg></div>`;
}

/** @param {Row} row @param {number} y @param {(host: string) => number} x @param {boolean} isChosen @param {() => void} choose */
function arrow(row, y, x, isChosen, choose) {
  const isHop = row.kind === "hop" && row.to && row.to !== row.from;
  const here = x(row.kind === "wait" || row.kind === "fetch" ? row.host : row.from);
  const there = isHop && row.to ? x(row.to) : here;
  const word = isHop ? `${row.sign} ${row.reply}`.slice(0, 34) : `${row.sign} ${row.from === "waits" ? "waits" : row.what || row.from} ${row.reply}`.slice(0, 40);
  const time = row.took === null ? timeOf(row.start) : `${timeOf(row.start)}, ${duration(row.took)}`;
  return svg`<g class="arrow ${row.tone} ${isChosen ? "chosen" : ""}" @click=${choose}>
    ${isHop ? svg`<line x1=${here} x2=${there} y1=${y} y2=${y + 10} marker-end="url(#head)"/>` : svg`<circle cx=${here} cy=${y + 4} r="4"/>`}
    <text x=${isHop ? (here + there) / 2 : here + 10} y=${isHop ? y - 3 : y + 8} text-anchor=${isHop ? "middle" : "start"}>${word}</text>
    ${isHop ? svg`<text class="lane-time" x=${(here + there) / 2} y=${y + 22} text-anchor="middle">${time}</text>` : nothing}</g>`;
}
