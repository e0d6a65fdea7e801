// The text of a letter, and its source.

import { html } from "../../vendor/lit.js";
import { size } from "../format.js";
import { address } from "../routes.js";
import { decodeText } from "./mime.js";
/** @import { Letter } from "../types" */

/** More is not shown at once. */
const MAX_CHARS = 400_000;
const LINK = /\bhttps?:\/\/[^\s<>"')\]]+/g;

/** Text whose links can be followed. @param {string} text */
export function withLinks(text) {
  const parts = [];
  let from = 0;
  for (const match of text.matchAll(LINK)) {
    parts.push(text.slice(from, match.index), html`<a href=${match[0]} target="_blank" rel="noopener noreferrer">${match[0]}</a>`);
    from = match.index + match[0].length;
  }
  return [...parts, text.slice(from)];
}

/** @param {Letter} letter */
export function textTab({ Text, HTML }) {
  if (!Text.trim()) return html`<div class="empty"><h2>No text</h2><p>${HTML ? "This letter has HTML only." : "This letter is empty."}</p></div>`;
  return html`<div class="desk"><pre class="text-sheet" tabindex="0">${withLinks(Text.slice(0, MAX_CHARS))}</pre></div>`;
}

/** @param {Uint8Array} source @param {string} id */
export function sourceTab(source, id) {
  const raw = address(`api/v1/message/${encodeURIComponent(id)}/raw`);
  return html`<div class="sheet-bar"><span class="soft">${size(source.length)}${source.length > MAX_CHARS ? `, the first ${size(MAX_CHARS)} of them here` : ""}</span>
    <a class="button" href="${raw}?dl=1" download="${id}.eml">Download .eml</a></div>
    <div class="desk"><pre class="source" tabindex="0">${decodeText(source.subarray(0, MAX_CHARS), "")}</pre></div>`;
}
