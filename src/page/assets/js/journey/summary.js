// Where the time of a journey went, in one bar and in words.

import { html, nothing } from "../../vendor/lit.js";
import { styles } from "../styles.js";
import { duration } from "../format.js";
import { TITLES } from "./phases.js";
import { faultsAt } from "./waterfall.js";
/** @import { Timeline } from "../types" */

/** Where the time went, largest first. @param {Timeline} timeline @param {(at: number) => void} choose */
export function summaryBar(timeline, choose) {
  /** @type {[string, string, number][]} */
  const parts = [["waiting", "waiting", timeline.waited], ...timeline.sums.map(([name, ms]) => /** @type {[string, string, number]} */ ([name, TITLES[name], ms]))];
  const shown = parts.filter(([, , ms]) => ms > 0.05).sort(([, , one], [, , other]) => other - one);
  const all = shown.reduce((sum, [, , ms]) => sum + ms, 0) || 1;
  const faults = timeline.rows.filter((row) => row.kind === "wait").flatMap((row) => faultsAt(row.host, row));
  const longest = timeline.rows.reduce((best, row, at) => (row.end - row.start > timeline.rows[best].end - timeline.rows[best].start ? at : best), 0);
  return html`<button class="where-time" title="Go to the longest part" @click=${() => choose(longest)}>
      ${shown.map(([name, , ms]) => html`<span class="part ${name}" ${styles({ flexGrow: Math.max(0.015, ms / all) })}></span>`)}</button>
    <p class="legend">${shown.map(([name, title, ms]) => html`<span><i class="key ${name}"></i>${title} ${duration(ms)}${name === "waiting" && faults[0] ? html` <b class="bad">(${faults[0].title})</b>` : nothing}</span>`)}</p>`;
}
