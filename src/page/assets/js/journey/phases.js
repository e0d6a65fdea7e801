// The phases of an attempt: what took how long, as the sending host measured it.

/** @import { Attempt, Phase, Row } from "../types" */

/** The phases in their order: name, field of the attempt. @type {[Phase["name"], keyof Attempt][]} */
const FIELDS = [["dns", "dns_ms"], ["connect", "connect_ms"], ["greeting", "greeting_ms"], ["tls", "tls_ms"], ["envelope", "envelope_ms"], ["content", "content_ms"], ["reply", "reply_ms"]];

/** What a phase is called; `whole` is a conversation of which only its length is known. @type {Record<Phase["name"], string>} */
export const TITLES = {
  queued: "in the queue", dns: "DNS", connect: "connect", greeting: "greeting", tls: "TLS", envelope: "envelope", content: "content", reply: "reply, commit",
  other: "connect, TLS, names", whole: "envelope, content, commit", failed: "failed",
};

/** @param {Attempt} attempt @param {number} came when the message was there @returns {Phase[]} */
export function phasesOf(attempt, came) {
  const began = Date.parse(attempt.began);
  let at = began;
  /** @type {Phase[]} */
  const phases = [];
  const waited = Math.min(Number(attempt.wait_ms ?? 0), Math.max(0, began - came));
  if (waited > 0) phases.push({ name: "queued", start: began - waited, end: began });
  for (const [name, field] of FIELDS) {
    const ms = Number(attempt[field] ?? 0);
    if (!(ms > 0)) continue;
    phases.push({ name, start: at, end: at + ms });
    at += ms;
  }
  return phases;
}

/** How long each phase of some rows took in all, in their order. @param {Row[]} rows @returns {[Phase["name"], number][]} */
export function sums(rows) {
  /** @type {Map<Phase["name"], number>} */
  const all = new Map();
  for (const { name, start, end } of rows.flatMap((row) => row.phases)) all.set(name, (all.get(name) ?? 0) + end - start);
  return /** @type {Phase["name"][]} */ (Object.keys(TITLES)).filter((name) => name !== "failed" && (all.get(name) ?? 0) > 0).map((name) => [name, all.get(name) ?? 0]);
}
