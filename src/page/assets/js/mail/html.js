// HTML in a cage: a frame without scripts into which nothing is loaded. The server adds a policy of its own (`/sheet/ID`).

import { html, nothing } from "../../vendor/lit.js";
import { plural } from "../format.js";
import { icon } from "../icons.js";
import { address } from "../routes.js";
/** @import { Letter } from "../types" */
/** @import { Remote } from "./remote.js" */

/** @param {Remote} remote */
function blocked({ images, trackers, others }) {
  const words = [
    images ? plural(images, "remote image") : "",
    trackers ? plural(trackers, "tracker") : "",
    others ? plural(others, "other file") : "",
  ].filter(Boolean);
  return words.length ? `${words.join(", ")} blocked` : "nothing from elsewhere in it";
}

/**
 * @param {{ width: number, isDark: boolean, remote: Remote | null, show: (patch: { width?: number, isDark?: boolean }) => void }} view
 * @param {Letter} letter
 */
export function htmlTab(view, letter) {
  const url = new URL(address(`sheet/${encodeURIComponent(letter.ID)}`));
  if (view.isDark) url.searchParams.set("dark", "true");
  const widths = [[375, "375"], [768, "768"], [0, "full"]];
  return html`<div class="sheet-bar"><details class="blocked"><summary>${icon("shield")} ${view.remote ? blocked(view.remote) : nothing}</summary>
      ${view.remote?.urls.length ? html`<ul>${view.remote.urls.slice(0, 50).map((one) => html`<li class="mono">${one}</li>`)}</ul>` : html`<p class="soft">All of it is shown.</p>`}</details>
    <div class="segments" role="group" aria-label="Width">${widths.map(([width, title]) => html`
      <button aria-pressed=${view.width === width} @click=${() => view.show({ width: Number(width) })}>${title}</button>`)}</div>
    <button aria-pressed=${view.isDark} title="How it looks in a dark mail program" @click=${() => view.show({ isDark: !view.isDark })}>☾ dark</button></div>
    <div class="desk"><iframe class="frame-sheet width-${view.width} ${view.isDark ? "is-dark" : ""}" title="The letter" sandbox="allow-popups allow-popups-to-escape-sandbox"
      referrerpolicy="no-referrer" src=${url.href}></iframe></div>`;
}
