// What the drawer says of an attempt: its phases, the hosts that were tried before, and the answers of DNS that led there.

import { html, nothing } from "../../vendor/lit.js";
import { brief } from "../fate.js";
import { duration } from "../format.js";
import { TITLES } from "./phases.js";
/** @import { Lookup, Row } from "../types" */

/** The questions to DNS of a step, with those of the hosts that were tried before. @param {Row} row @returns {Lookup[]} */
export function lookupsOf({ event, tried = [] }) {
  return [...tried, event].flatMap((one) => one?.attempt?.lookups ?? []);
}

/** @param {Row} row */
export function phaseList({ event, phases }) {
  if (!event?.attempt) return nothing;
  const shown = phases.filter(({ name }) => name !== "failed");
  return shown.length ? html`<ul class="legend phases" aria-label="Phases">${shown.map(({ name, start, end }) => html`<li><i class="key ${name}"></i>${TITLES[name]} ${duration(end - start)}</li>`)}</ul>` : nothing;
}

/** @param {Row} row */
export function triedList({ tried = [] }) {
  if (!tried.length) return nothing;
  return html`<ul class="tried" aria-label="Tried before">${tried.map(({ to, attempt, reason }) => html`<li><span class="sign wait" aria-hidden="true">✕</span> ${to}${attempt?.preference === undefined ? "" : `, MX ${attempt.preference}`} <span class="soft">${brief(reason ?? "")}</span></li>`)}</ul>`;
}

/** What an outcome means. @type {Record<string, string>} */
const OUTCOMES = { alias: "an alias", nodata: "no such record", nxdomain: "no such name", failed: "the server failed", timeout: "no answer" };

/** @param {Lookup[]} lookups */
export function dnsTab(lookups) {
  return html`<ol class="lookups">${lookups.map(({ name, type, outcome, answers = [], cached, took_ms, error }) => html`<li>
    <p><span class="mono">${name} ${type}</span> <span class="soft">${cached ? "from the cache" : took_ms === undefined ? "" : duration(took_ms)}</span></p>
    ${answers.length ? html`<ul>${answers.map((answer) => html`<li class="mono S">${answer}</li>`)}</ul>` : nothing}
    ${outcome === "found" ? nothing : html`<p class=${outcome === "alias" ? "soft" : "wait"}>${OUTCOMES[outcome] ?? outcome}${error ? `: ${error}` : ""}</p>`}</li>`)}</ol>`;
}
