// The time axis: where nothing happens for long, it folds.

import { union } from "./timeline.js";
/** @import { Timeline } from "../types" */

/** The width of the axis in units; rows place themselves by percent of it. */
const WIDTH = 1000;
/** A gap folds that is longer than so many times all that happened. */
const FOLD_FACTOR = 20;
/** No shorter gap folds, in milliseconds. */
const SHORTEST_FOLD = 400;
/** The width of a fold, and of all folds together. */
const FOLD_WIDTH = 190;
const FOLDS_WIDTH = 450;
/** The least width of a stretch between folds. */
const LEAST_WIDTH = 90;
/** Room before and after what happens. */
const MARGIN = 12;

/** @typedef {{ from: number, to: number, x: number, width: number, isFold: boolean }} Stretch */

export class Axis {
  /** @param {Timeline} timeline @param {boolean} isUnfolded */
  constructor(timeline, isUnfolded) {
    const { start, end } = timeline;
    const marks = timeline.rows.flatMap((row) => (row.kind === "wait" ? [[row.start, row.start], ...(row.isOpen ? [] : [[row.end, row.end]])] : [[row.start, row.end]]));
    const busy = union([...marks, [start, start], [end, end]]);
    const all = Math.max(1, busy.reduce((sum, [from, to]) => sum + to - from, 0));
    /** @type {{ from: number, to: number, isFold: boolean }[]} */
    const parts = [];
    let from = start;
    for (const [at, [, to]] of busy.entries()) {
      const next = busy[at + 1]?.[0];
      const isFold = !isUnfolded && next !== undefined && next - to > Math.max(SHORTEST_FOLD, FOLD_FACTOR * all);
      if (!isFold) continue;
      parts.push({ from, to, isFold: false }, { from: to, to: next, isFold: true });
      from = next;
    }
    parts.push({ from, to: Math.max(end, from), isFold: false });
    this.stretches = place(parts);
    this.start = start;
  }

  /** The place of a time, in percent. @param {number} time */
  x(time) {
    const stretch = this.stretches.find(({ to }) => time <= to) ?? /** @type {Stretch} */ (this.stretches.at(-1));
    const length = stretch.to - stretch.from;
    const share = length > 0 ? Math.max(0, Math.min(1, (time - stretch.from) / length)) : 0;
    // A stretch in which one moment is, shows it in its middle.
    const inner = length > 0 ? stretch.x + share * stretch.width : stretch.x + stretch.width / 2;
    return inner / (WIDTH / 100);
  }

  get folds() {
    return this.stretches.filter(({ isFold }) => isFold).map((fold) => ({ ...fold, x: fold.x / (WIDTH / 100), width: fold.width / (WIDTH / 100) }));
  }
}

/** @param {{ from: number, to: number, isFold: boolean }[]} parts @returns {Stretch[]} */
function place(parts) {
  const folds = parts.filter(({ isFold }) => isFold).length;
  const fold = folds ? Math.min(FOLD_WIDTH, FOLDS_WIDTH / folds) : 0;
  const open = parts.filter(({ isFold }) => !isFold);
  const room = WIDTH - 2 * MARGIN - folds * fold;
  const least = Math.min(LEAST_WIDTH, room / open.length);
  const spare = room - least * open.length;
  const all = open.reduce((sum, { from, to }) => sum + to - from, 0);
  let x = MARGIN;
  return parts.map((part) => {
    const width = part.isFold ? fold : least + (all > 0 ? (spare * (part.to - part.from)) / all : spare / open.length);
    const placed = { ...part, x, width };
    x += width;
    return placed;
  });
}
