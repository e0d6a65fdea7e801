// What tests and people take out of a letter: codes, links, how to unsubscribe, invitations.

import { html, nothing } from "../../vendor/lit.js";
import { copy } from "./empty.js";
/** @import { Letter } from "../types" */

/** @param {string} url */
function isWeb(url) {
  return /^https?:\/\//i.test(url);
}

/** @param {Letter} letter */
export function linksTab({ Codes, Links, Unsubscribe, Invitations }) {
  const link = (/** @type {string} */ url) => html`<li>${isWeb(url) ? html`<a class="mono" href=${url} target="_blank" rel="noopener noreferrer">${url}</a>` : html`<span class="mono">${url}</span>`}
    <button class="quiet" aria-label="Copy ${url}" @click=${() => copy(url)}>Copy</button></li>`;
  if (![Codes, Links, Unsubscribe.Links, Invitations].some((list) => list.length)) return html`<div class="empty"><h2>No links, no codes</h2></div>`;
  return html`<div class="desk padded">
    ${Codes.length ? html`<h2>Codes</h2><ul class="codes">${Codes.map((code) => html`<li><code>${code}</code><button class="quiet" aria-label="Copy ${code}" @click=${() => copy(code)}>Copy</button></li>`)}</ul>` : nothing}
    ${Links.length ? html`<h2>Links</h2><ul class="links">${Links.map(link)}</ul>` : nothing}
    ${Unsubscribe.Links.length ? html`<h2>Unsubscribe${Unsubscribe.OneClick ? html` <span class="tag">one click</span>` : nothing}</h2><ul class="links">${Unsubscribe.Links.map(link)}</ul>` : nothing}
    ${Invitations.length ? html`<h2>Invitations</h2>${Invitations.map((one) => html`<table class="fields"><tbody>${Object.entries(one).map(([name, value]) => html`
      <tr><th scope="row">${name}</th><td>${typeof value === "string" ? value : JSON.stringify(value)}</td></tr>`)}</tbody></table>`)}` : nothing}</div>`;
}
