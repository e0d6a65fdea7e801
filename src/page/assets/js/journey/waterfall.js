// The waterfall: a row for each conversation, wait, report and retrieval on one time axis.

import { html, nothing } from "../../vendor/lit.js";
import { styles } from "../styles.js";
import { duration, soon, timeOf } from "../format.js";
import { href } from "../routes.js";
import { now, state } from "../store.js";
import { Axis } from "./axis.js";
import { TITLES } from "./phases.js";
/** @import { Row, Timeline, SeenFault } from "../types" */

/** @param {number} percent */
const pct = (percent) => `${percent.toFixed(3)}%`;

/**
 * @typedef {object} Handling
 * @property {number} chosen the number of the chosen row
 * @property {boolean} isUnfolded
 * @property {() => void} unfold
 * @property {(at: number) => void} choose
 * @property {(row: Row) => unknown} actions what can be done at a row
 */

/** @param {Timeline} timeline @param {Handling} handling */
export function waterfall(timeline, handling) {
  const axis = new Axis(timeline, handling.isUnfolded);
  return html`<div class="waterfall" role="table" aria-label="What happened, in order">
    <div class="wf-row wf-head" role="row"><span role="columnheader">from, to</span><span class="wf-time" role="columnheader" aria-label="time">${labels(axis, timeline)}</span><span role="columnheader">reply</span></div>
    ${timeline.rows.map((row, at) => line(row, at, axis, handling))}</div>`;
}

/** A fault and what it led to are noted so far apart, in milliseconds. */
const CLOCKS_MS = 100;
/** The width of a letter of a label in the units of the axis, if the axis is as narrow as it gets. */
const LETTER = 17;

/** @typedef {{ from: number, to: number, rank: number, draw: () => unknown }} Label */

/** A label that ends at `right`, or begins at `left`. @param {{ left?: number, right?: number, text: string, rank: number }} label @returns {Label} */
function textLabel({ left, right, text, rank }) {
  const width = text.length * LETTER, from = left ?? (right ?? 0) - width;
  return { from, to: from + width, rank, draw: () => html`<span class="wf-label ${left === undefined ? "later" : ""}" ${styles({ left: pct((left ?? right ?? 0) / 10) })}>${text}</span>` };
}

/** The first label is the reader's clock, the next is relative, and after a fold comes the clock again; those that have no room are left out. @param {Axis} axis @param {Timeline} timeline */
function labels(axis, timeline) {
  /** @type {Label[]} */
  const wanted = axis.stretches.flatMap((stretch, at) => {
    const { x, width, from, to, isFold } = stretch;
    if (isFold) {
      const text = `${coarse(to - from)} folded`, place = styles({ left: pct(x / 10), width: pct(width / 10) });
      return [{ from: x, to: x + width, rank: 1, draw: () => html`<span class="wf-label fold" ${place} title=${text}>${text}</span>` }];
    }
    const clock = textLabel({ ...(x > 800 ? { right: 1000 } : { left: x }), text: timeOf(from), rank: at ? 2 : 0 });
    const steps = to > from ? (at === 0 && width > 600 ? [0.5, 1] : [1]) : [];
    return [clock, ...steps.map((share) => textLabel({ right: x + share * width, text: `+${duration(from + share * (to - from) - timeline.start)}`, rank: 3 }))];
  });
  /** @type {Label[]} */
  const placed = [];
  for (const one of [...wanted].sort((one, other) => one.rank - other.rank)) {
    if (placed.every((other) => one.to <= other.from + 1 || other.to <= one.from + 1)) placed.push(one);
  }
  return placed.map(({ draw }) => draw());
}

/** Minutes without their seconds. @param {number} ms */
function coarse(ms) {
  return ms >= 60_000 && ms < 3_600_000 ? `${Math.round(ms / 60_000)} min` : duration(ms);
}

/** @param {Row} row @param {number} at @param {Axis} axis @param {Handling} handling */
function line(row, at, axis, { chosen, unfold, choose, actions }) {
  const isChosen = at === chosen;
  const title = html`<span class="sign ${row.tone}" aria-hidden="true">${row.forks ? "↳" : row.sign}</span>
    <span class="wf-names">${row.to ? `${row.from} → ${row.to}` : row.from}</span> <span class="soft">${row.what}</span>`;
  return html`<div class="wf-row ${row.kind} ${row.tone} ${isChosen ? "chosen" : ""}" role="row">
    <span class="wf-who depth-${Math.min(row.depth, 8)}" role="rowheader"><button class="wf-open" aria-pressed=${isChosen} @click=${() => choose(at)}>${title}</button></span>
    <span class="wf-time" role="cell">${bands(row, axis)}${axis.folds.map((fold) => html`<button class="wf-fold" tabindex="-1" aria-hidden="true" title="Unfold" ${styles({ left: pct(fold.x), width: pct(fold.width) })} @click=${unfold}></button>`)}${bars(row, axis)}
      <span class="hidden">${timeOf(row.start)}, ${duration(row.end - row.start)}</span></span>
    <span class="wf-reply" role="cell">${reply(row)}${actions(row)}</span></div>`;
}

/** @param {Row} row */
function reply(row) {
  if (row.link) return html`<a href=${href(["journey", row.link])}>journey ${row.link}</a>`;
  if (row.until !== undefined) {
    const left = row.until - now();
    return html`<span class="wait">next try ${left > 0 && left < 120_000 ? `in ${duration(Math.ceil(left / 1000) * 1000)}` : left <= 0 ? "now" : `at ${soon(row.until)}`}</span> <span class="soft">since ${duration(row.end - row.start)}</span>`;
  }
  return html`<span class=${row.tone === "ok" ? "" : row.tone}>${row.reply}</span>${row.took === null ? nothing : html` <span class="soft">${duration(row.took)}</span>`}`;
}

/** @param {Row} row @param {Axis} axis */
function bars(row, axis) {
  if (row.kind === "wait") {
    const left = axis.x(row.start), width = Math.max(0, axis.x(row.end) - left);
    return html`<span class="wf-wait ${row.isOpen ? "open" : ""}" ${styles({ left: pct(left), width: pct(width) })}></span>
      ${apart(row.tries, axis).map((time) => html`<span class="wf-ring" title="tried at ${timeOf(time)}" ${styles({ left: pct(axis.x(time)) })}></span>`)}`;
  }
  if (!row.phases.length) return html`<span class="wf-dot ${row.tone}" ${styles({ left: pct(axis.x(row.start)) })}></span>`;
  return row.phases.map((phase) => {
    const left = axis.x(phase.start), width = axis.x(phase.end) - left;
    return html`<span class="wf-bar ${phase.name}" title="${TITLES[phase.name]} ${duration(phase.end - phase.start)}" ${styles({ left: pct(left), width: pct(width) })}></span>`;
  });
}

/** As many of the times as can be told apart. @param {number[]} times @param {Axis} axis */
function apart(times, axis) {
  let last = -Infinity;
  return times.filter((time) => {
    const x = axis.x(time), isApart = x - last > 1.8;
    if (isApart) last = x;
    return isApart;
  });
}

/** Faults over the rows that they touch. @param {Row} row @param {Axis} axis */
function bands(row, axis) {
  return faultsAt(row.host, row).map((fault) => {
    const left = axis.x(Math.max(axis.start, Date.parse(fault.since))), right = axis.x(fault.until ?? now());
    return html`<span class="wf-band" title=${fault.title} ${styles({ left: pct(left), width: pct(Math.max(0.6, right - left)) })}></span>`;
  });
}

/** The faults of a host or link while something happened there. @param {string} host @param {{ start: number, end: number, from: string, to?: string }} when @returns {SeenFault[]} */
export function faultsAt(host, { start, end, from, to }) {
  return [...state.faults, ...state.pastFaults].filter((fault) => {
    const { fault: about } = fault;
    const between = /** @type {string[] | undefined} */ (about.between);
    const touches = between ? between.includes(host) && (!to || from === "waits" || between.includes(from)) : about.host === host;
    return touches && Date.parse(fault.since) <= end + CLOCKS_MS && (fault.until === undefined || fault.until >= start - CLOCKS_MS);
  });
}
