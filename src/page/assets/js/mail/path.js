// The way of a letter in one line: its hosts, and how long each conversation took.

import { html, nothing } from "../../vendor/lit.js";
import { duration } from "../format.js";
import { timelineOf } from "../journey/timeline.js";
import { href } from "../routes.js";
import { state } from "../store.js";
/** @import { Journey, Row } from "../types" */

/** Stations of the first recipient's way. @param {Row[]} rows */
function mainWay(rows) {
  /** @type {Row[]} */
  const way = [];
  for (const row of rows) {
    if (row.forks && way.length) break;
    if (row.kind === "hop" || row.kind === "wait" || row.kind === "fetch") way.push(row);
  }
  // Of tries and waits to one host, the last one counts; and so of the hosts that were tried.
  const isPassed = (/** @type {Row} */ row, /** @type {number} */ at) => row.event?.step === "tried" && way.slice(at + 1).some((later) => later.kind === "hop" && later.from === row.from);
  return way.filter((row, at) => !isPassed(row, at)).filter((row, at, way) => row.kind === "fetch" || !(way[at + 1] && way[at + 1].host === row.host && way[at + 1].kind !== "fetch"));
}

/** @param {Journey} journey */
export function pathStrip(journey) {
  const timeline = timelineOf(journey, state.hosts, Date.now());
  const way = mainWay(timeline.rows);
  const first = way[0];
  const id = journey.id;
  return html`<div class="path"><ol tabindex="0" aria-label="The way">
    ${first && first.kind === "hop" ? html`<li><span class="dot ok" aria-hidden="true"></span><span class="station">${first.from}</span></li>` : nothing}
    ${way.slice(0, 7).map((row) => html`
      <li class="leg ${row.tone}" aria-hidden="true"><span>${row.kind === "fetch" ? row.what : row.took === null ? (row.isOpen ? "…" : "") : duration(row.took)}</span></li>
      <li><span class="dot ${row.tone} ${row.kind === "fetch" || row.isOpen ? "hollow" : ""}" aria-hidden="true"></span><span class="station">${row.kind === "fetch" ? "read" : row.to ?? row.from}</span></li>`)}
    </ol><a class="button" href=${href(["journey", id])} title="Journey (o)">Journey ›</a></div>`;
}
