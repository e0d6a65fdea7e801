// The thread of a letter: what it answers, and what answers it.

import { html, nothing } from "../../vendor/lit.js";
import { when, who, whole } from "../format.js";
import { href, listQuery } from "../routes.js";
/** @import { Summary } from "../types" */

/** @param {Summary[]} thread @param {string} id the letter that is open */
export function threadTab(thread, id) {
  if (thread.length < 2) return html`<div class="desk padded"><p class="soft">No other message here belongs to this one: none names it in <code>References</code> or <code>In-Reply-To</code>, nor answers its subject.</p></div>`;
  return html`<div class="desk padded"><ol class="thread-list" aria-label="Thread, oldest first">${thread.map((one) => html`<li class="${one.ID === id ? "is-open" : ""} ${one.Read ? "" : "unread"}">
    <a href=${href(["mail", one.ID, "thread"], listQuery())} aria-current=${one.ID === id ? "true" : "false"}>
      <span class="people"><span class="names">${who(one.From)} → ${one.To.map(who).join(", ") || one.Envelope.To.join(", ") || "nobody"}</span> <time datetime=${one.Created} title=${whole(one.Created)}>${when(one.Created)}</time></span>
      <span class="subject">${one.Subject || html`<i>no subject</i>`}</span>
      ${one.Snippet ? html`<span class="snippet soft">${one.Snippet}</span>` : nothing}</a></li>`)}</ol></div>`;
}
