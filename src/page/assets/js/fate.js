// What became of a message, in a sign, a tone and a line. A colour never is the only sign.

import { count, soon, timeOf } from "./format.js";
/** @import { Fates, Fate } from "./types" */

/** @typedef {{ sign: string, tone: "ok" | "wait" | "bad" | "way" | "none", word: string, line: string }} Summary */

/** The reply or failure without who said it. @param {string} text */
export function brief(text) {
  return text.replace(/^\S+ said: /, "").replace(/^[\w.-]+: (?=\d+\.\d+\.\d+\.\d+:)/, "");
}

/** For one recipient. @param {Fate} fate @returns {Summary} */
export function fateOf(fate) {
  switch (fate.status) {
    case "delivered":
      return { sign: "✓", tone: "ok", word: "delivered", line: `delivered ${timeOf(fate.at)}${fate.copies > 1 ? `, ${fate.copies} copies` : ""}` };
    case "deferred":
      return { sign: "◷", tone: "wait", word: "waits", line: `waits until ${soon(fate.until)}: ${brief(fate.reason)}` };
    case "held":
      return { sign: "◷", tone: "wait", word: "held", line: `held at ${fate.at}${fate.reason ? `: ${brief(fate.reason)}` : ""}` };
    case "failed":
      return { sign: "✕", tone: "bad", word: fate.report ? "bounced" : "failed", line: `${fate.report ? "bounced" : "failed"}: ${brief(fate.reason)}` };
    case "underway":
      return { sign: "→", tone: "way", word: "on its way", line: `on its way, at ${fate.at}` };
    case "relayed":
      return { sign: "✓", tone: "ok", word: "passed on", line: `passed on to ${fate.to}, which reports nothing` };
    case "expanded":
      return { sign: "✓", tone: "ok", word: "alias", line: `alias of ${fate.to.join(", ")}` };
    case "discarded":
      return { sign: "✓", tone: "ok", word: "discarded", line: `discarded at ${fate.at}, as the alias says` };
    case "deleted":
      return { sign: "✕", tone: "bad", word: "deleted", line: `deleted from the queue of ${fate.at}` };
    case "gone":
      return { sign: "✕", tone: "bad", word: "unknown", line: `no longer at ${fate.at}; what became of it is not known` };
  }
}

const ORDER = ["bad", "wait", "way", "ok", "none"];

/** For all recipients: the worst that happened. @param {Fates | undefined} fates @returns {Summary} */
export function fateOfAll(fates) {
  const each = Object.values(fates ?? {}).map(fateOf);
  if (!each.length) return { sign: "·", tone: "none", word: "nothing known", line: "" };
  const worst = each.reduce((one, other) => (ORDER.indexOf(other.tone) < ORDER.indexOf(one.tone) ? other : one));
  if (each.length === 1 || each.every((one) => one.tone === "ok")) return { ...worst, line: worst.tone === "ok" ? "" : worst.line };
  /** @type {Map<string, number>} */
  const words = new Map();
  for (const one of each) words.set(one.word, (words.get(one.word) ?? 0) + 1);
  const line = [...words].map(([word, number]) => `${count(number)} ${word}`).join(", ");
  return { ...worst, line: each.length < 5 ? `${line}: ${worst.line}` : line };
}
