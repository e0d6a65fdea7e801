// The MIME tree, each part as it stands in the message and as it is meant; files with their pictures and checksums.

import { html, nothing } from "../../vendor/lit.js";
import { size } from "../format.js";
import { address } from "../routes.js";
import { contentOf, decodeText, textOf } from "./mime.js";
/** @import { Part } from "./mime.js" */
/** @import { Letter, Attachment } from "../types" */

const MAX_CHARS = 100_000;
/** What browsers draw. SVG in an `img` runs nothing. */
const PICTURE = /^image\/(png|jpe?g|gif|webp|avif|bmp|svg\+xml)$/;

/** @param {{ structure: Part | null }} view @param {Letter} letter */
export function partsTab({ structure }, letter) {
  const files = [...letter.Attachments, ...letter.Inline];
  return html`<div class="desk padded">
    ${files.length ? html`<h2>Files</h2><ul class="files">${files.map((file) => fileItem(file, letter.ID))}</ul>` : nothing}
    <h2>Structure</h2>${structure ? html`<ul class="tree">${branch(structure)}</ul>` : nothing}</div>`;
}

/** @param {Attachment} file @param {string} id */
function fileItem(file, id) {
  const url = address(`api/v1/message/${encodeURIComponent(id)}/part/${encodeURIComponent(file.PartID)}`);
  const name = file.FileName || `part ${file.PartID}`;
  return html`<li class="file">${PICTURE.test(file.ContentType) ? html`<img src=${url} alt="" loading="lazy">` : html`<span class="kind" aria-hidden="true">${(file.ContentType.split("/")[1] ?? "").slice(0, 4)}</span>`}
    <div><a href=${url} download=${name}><b>${name}</b></a><br><span class="soft">${file.ContentType}, ${size(file.Size)}${file.ContentID ? `, cid:${file.ContentID}` : ""}</span>
    <details><summary>Checksums</summary><p class="mono small">SHA-256 ${file.Checksums.SHA256}<br>SHA-1 ${file.Checksums.SHA1}<br>MD5 ${file.Checksums.MD5}</p></details></div></li>`;
}

/** @param {Part} part @returns {unknown} */
function branch(part) {
  const isLeaf = !part.children.length;
  const about = [part.parameters.charset, part.encoding, part.disposition, isLeaf ? size(contentOf(part).length) : ""].filter(Boolean).join(", ");
  return html`<li><details><summary><span class="mono">${part.id === "0" ? "" : `${part.id} `}${part.type}</span> ${part.name ? html`<b>${part.name}</b>` : nothing} <span class="soft">${about}</span></summary>
      <div class="part">${part.fields.length ? html`<pre tabindex="0">${part.fields.map(({ name, raw }) => `${name}: ${raw}`).join("\n").slice(0, MAX_CHARS)}</pre>` : nothing}
      ${isLeaf && /^(text|message)\//.test(part.type) ? html`<p class="soft small">decoded</p><pre tabindex="0">${textOf(part).slice(0, MAX_CHARS)}</pre>` : nothing}
      ${isLeaf && part.encoding && !/^([78]bit|binary)$/.test(part.encoding) ? html`<p class="soft small">as sent</p><pre tabindex="0">${decodeText(part.body.subarray(0, 4000), "")}</pre>` : nothing}</div></details>
    ${isLeaf ? nothing : html`<ul>${part.children.map(branch)}</ul>`}</li>`;
}
