// What a simulation came to: numbers, what was expected, plots, and the slowest messages.

import { html, nothing } from "../../vendor/lit.js";
import { count, duration, whole } from "../format.js";
import { href } from "../routes.js";
import { bars, lines, timeline } from "./plots.js";
/** @import { Report } from "../types" */

/** @param {Report} report */
export function reportView(report) {
  const { outcomes, latency } = report;
  /** @type {[string, number][]} */
  const numbers = [
    ["written", report.written], ["copies delivered", outcomes.delivered], ["duplicates", outcomes.duplicates], ["bounced", outcomes.bounced],
    ["waiting in a queue", outcomes.waiting], ["lost", outcomes.lost], ["refused by the provider", report.refused], ["not yet submitted", report.unsent],
    ["hops", report.hops], ["temporary failures", report.deferred], ["fetched", report.retrieved],
  ];
  const length = (/** @type {number} */ seconds) => duration(seconds * 1000);
  return html`<div class="page report"><header class="page-head"><h1>${report.scenario}, seed ${report.seed} <span class="tag ${report.passed ? "ok" : "bad"}">${report.passed ? "✓ passed" : "✕ failed"}</span></h1></header>
    <p>${report.about}</p><p class="soft">${length(report.seconds)} of virtual time from ${whole(report.began)}</p>
    <div class="report-columns"><section><h2>Messages</h2><table class="list"><tbody>${numbers.map(([name, number]) => html`<tr><th scope="row">${name}</th><td class="number">${count(number)}</td></tr>`)}</tbody></table></section>
      <section><h2>Time to the mailbox</h2><table class="list"><tbody>${/** @type {[string, number][]} */ ([["half of them", latency.p50], ["95 of 100", latency.p95], ["99 of 100", latency.p99], ["the longest", latency.max]]).map(([name, seconds]) => html`<tr><th scope="row">${name}</th><td class="number">${length(seconds)}</td></tr>`)}</tbody></table>
        ${bars(report.distribution.map(({ up_to, count }) => [length(up_to), count]), "Copies by the time to the mailbox, up to")}</section></div>
    <h2>Invariants and expectations</h2><ul class="cards">
      ${report.violations.length ? report.violations.map(({ promise, journey, what }) => verdict(false, promise, what, journey ? [journey] : [], report)) : verdict(true, "Every invariant held", "no message was lost, misdelivered or duplicated without cause", [], report)}
      ${report.expectations.map(({ expected, found, held, messages = [] }) => verdict(held, expected, found, messages, report))}</ul>
    ${report.worst.length ? html`<h2>Slowest messages</h2><ul class="cards">${report.worst.map((one) => html`<li><span><a class="mono" href=${href(["journey", one.id])}>${one.id}</a> for ${one.recipient}</span><span class="soft">${one.outcome}</span></li>`)}</ul>` : nothing}
    <h2>Queues</h2>${lines(report.queues.map(({ host, samples }) => ({ name: host, points: samples })), report, "Messages in queues")}
    <h2>Deliveries and temporary failures</h2>${lines([{ name: "copies delivered", points: report.pace.map(({ at, delivered }) => [at, delivered]) }, { name: "temporary failures", points: report.pace.map(({ at, deferred }) => [at, deferred]) }], report, "Deliveries and temporary failures")}
    ${report.faults.length ? html`<h2>Faults</h2>${timeline(report)}` : nothing}
    <p class="soft">${count(report.events)} events, trace <code>${report.trace}</code></p></div>`;
}

/** @param {boolean} held @param {string} what @param {string} found @param {string[]} messages @param {Report} report */
function verdict(held, what, found, messages, report) {
  const has = (/** @type {string} */ id) => report.worst.some((one) => one.id === id);
  return html`<li><span><span class="sign ${held ? "ok" : "bad"}" role="img" aria-label=${held ? "held" : "did not hold"}>${held ? "✓" : "✕"}</span> ${what} ${messages.map((id) => (has(id) ? html` <a class="mono" href=${href(["journey", id])}>${id}</a>` : html` <code>${id}</code>`))}</span><span class="soft">${found}</span></li>`;
}
