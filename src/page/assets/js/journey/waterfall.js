// The waterfall: a row for each conversation, wait, report and retrieval on one time axis.

import { html, nothing } from "../../vendor/lit.js";
import { styles } from "../styles.js";
import { duration, soon, timeOf } from "../format.js";
import { goQuery, href } from "../routes.js";
import { state } from "../store.js";
import { Axis } from "./axis.js";
/** @import { Row, Story, SeenFault } from "../types" */

/** @param {number} percent */
const pct = (percent) => `${percent.toFixed(3)}%`;

/** @param {Story} story @param {number} chosen @param {boolean} isUnfolded @param {() => void} unfold @param {(row: Row) => unknown} actions */
export function waterfall(story, chosen, isUnfolded, unfold, actions) {
  const axis = new Axis(story, isUnfolded);
  return html`<div class="waterfall" role="table" aria-label="What happened, in order">
    <div class="wf-row wf-head" role="row"><span role="columnheader">from, to</span><span class="wf-time" role="columnheader" aria-label="time">${labels(axis, story)}</span><span role="columnheader">reply</span></div>
    ${story.rows.map((row, at) => line(row, at, at === chosen, axis, unfold, actions))}</div>`;
}

/** The first label is the reader's clock, the next is relative, and after a fold comes the clock again. @param {Axis} axis @param {Story} story */
function labels(axis, story) {
  return axis.stretches.map((stretch, at) => {
    if (stretch.isFold) {
      const left = styles({ left: pct(stretch.x / 10), width: pct(stretch.width / 10) });
      return html`<span class="wf-label fold" ${left} title="${duration(stretch.to - stretch.from)} folded">${coarse(stretch.to - stretch.from)} folded</span>`;
    }
    const isLast = stretch.x > 800;
    const clock = html`<span class="wf-label ${isLast ? "later" : ""}" ${styles({ left: pct(isLast ? 100 : stretch.x / 10) })}>${timeOf(stretch.from)}</span>`;
    const length = stretch.to - stretch.from;
    if (length <= 0 || stretch.width < 220) return clock;
    const steps = at === 0 && stretch.width > 600 ? [0.5, 1] : [1];
    return html`${clock}${steps.map((share) => html`<span class="wf-label later" ${styles({ left: pct((stretch.x + share * stretch.width) / 10) })}>+${duration(stretch.from + share * length - story.start)}</span>`)}`;
  });
}

/** Minutes without their seconds. @param {number} ms */
function coarse(ms) {
  return ms >= 60_000 && ms < 3_600_000 ? `${Math.round(ms / 60_000)} min` : duration(ms);
}

/** @param {Row} row @param {number} at @param {boolean} isChosen @param {Axis} axis @param {() => void} unfold @param {(row: Row) => unknown} actions */
function line(row, at, isChosen, axis, unfold, actions) {
  const choose = () => goQuery({ step: String(at) }, { replace: true });
  const title = html`<span class="sign ${row.tone}" aria-hidden="true">${row.forks ? "↳" : row.sign}</span>
    <span class="wf-names">${row.to ? `${row.from} → ${row.to}` : row.from}</span> <span class="soft">${row.what}</span>`;
  return html`<div class="wf-row ${row.kind} ${row.tone} ${isChosen ? "chosen" : ""}" role="row">
    <span class="wf-who depth-${Math.min(row.depth, 8)}" role="rowheader"><button class="wf-open" aria-pressed=${isChosen} @click=${choose}>${title}</button></span>
    <span class="wf-time" role="cell">${bands(row, axis)}${axis.folds.map((fold) => html`<button class="wf-fold" tabindex="-1" aria-hidden="true" title="Unfold" ${styles({ left: pct(fold.x), width: pct(fold.width) })} @click=${unfold}></button>`)}${bars(row, axis)}
      <span class="hidden">${timeOf(row.start)}, ${duration(row.end - row.start)}</span></span>
    <span class="wf-reply" role="cell">${reply(row)}${actions(row)}</span></div>`;
}

/** @param {Row} row */
function reply(row) {
  if (row.link) return html`<a href=${href(["journey", row.link])}>journey ${row.link}</a>`;
  if (row.until !== undefined) {
    const left = row.until - Date.now();
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
    return html`<span class="wf-bar ${phase.name}" ${styles({ left: pct(left), width: pct(width) })}></span>`;
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
    const left = axis.x(Math.max(axis.start, Date.parse(fault.since))), right = axis.x(fault.until ?? Date.now());
    return html`<span class="wf-band" title=${fault.title} ${styles({ left: pct(left), width: pct(Math.max(0.6, right - left)) })}></span>`;
  });
}

/** The faults of a host or link while something happened there. @param {string} host @param {{ start: number, end: number, from: string, to?: string }} when @returns {SeenFault[]} */
export function faultsAt(host, { start, end, from, to }) {
  return state.faults.filter((fault) => {
    const { fault: about } = fault;
    const between = /** @type {string[] | undefined} */ (about.between);
    const touches = between ? between.includes(host) && (!to || from === "waits" || between.includes(from)) : about.host === host;
    return touches && Date.parse(fault.since) <= end + 1000 && (fault.until === undefined || fault.until >= start - 1000);
  });
}
