// The header: a table, decoded or raw, and the Received fields as the way that they tell.

import { html, nothing } from "../../vendor/lit.js";
import { duration, timeOf } from "../format.js";
/** @import { Part, Field } from "./mime.js" */

/** What a Received field says. RFC 5321 §4.4. @param {Field} field */
export function received({ value }) {
  const word = (/** @type {string} */ name) => new RegExp(`\\b${name}\\s+(\\S+)`, "i").exec(value)?.[1] ?? "";
  const at = new Date(value.slice(value.lastIndexOf(";") + 1).replace(/\([^)]*\)/g, "").trim());
  return { from: word("from"), by: word("by"), protocol: word("with"), id: word("id").replace(/;$/, ""), at: isNaN(at.getTime()) ? null : at };
}

/** @param {{ structure: Part | null, isRaw: boolean, show: (patch: { isRaw: boolean }) => void }} view */
export function headersTab(view) {
  const fields = view.structure?.fields ?? [];
  return html`<div class="sheet-bar"><span class="soft">${fields.length} fields</span>
      <div class="segments" role="group" aria-label="Values"><button aria-pressed=${!view.isRaw} @click=${() => view.show({ isRaw: false })}>decoded</button><button aria-pressed=${view.isRaw} @click=${() => view.show({ isRaw: true })}>raw</button></div></div>
    <div class="desk">${way(fields)}
      <table class="fields"><tbody>${fields.map((field) => html`<tr><th scope="row">${field.name}</th><td class=${view.isRaw ? "raw" : ""}>${view.isRaw ? field.raw : field.value}</td></tr>`)}</tbody></table></div>`;
}

/** The oldest Received field is the lowest. @param {Field[]} fields */
function way(fields) {
  const hops = fields.filter(({ name }) => name.toLowerCase() === "received").map(received).reverse();
  if (!hops.length) return nothing;
  return html`<ol class="received">${hops.map((hop, at) => {
    const before = at ? hops[at - 1].at : null;
    return html`<li><span class="mono">${hop.from || "?"}</span> <span class="soft">→</span> <span class="mono">${hop.by || "?"}</span>
      <span class="soft">${hop.protocol} ${hop.at ? timeOf(hop.at) : ""}${before && hop.at ? `, after ${duration(hop.at.getTime() - before.getTime())}` : ""}</span></li>`;
  })}</ol>`;
}
