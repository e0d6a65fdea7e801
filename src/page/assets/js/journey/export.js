// A journey to take along: as JSON, as a Mermaid diagram, and as text for a report of a bug.

import { duration, whole } from "../format.js";
/** @import { Journey, Timeline, Row } from "../types" */

/** @param {Row} row */
function names(row) {
  return row.to ? `${row.from} -> ${row.to}` : row.from;
}

/** @param {Journey} journey @param {Timeline} timeline */
export function asText(journey, timeline) {
  const head = `journey ${journey.id}, ${journey.reverse_path ?? "<>"} to ${Object.keys(journey.recipients).join(", ")}, began ${whole(timeline.start)}`;
  const lines = timeline.rows.map((row) => {
    const since = `+${duration(row.start - timeline.start)}`.padStart(12);
    return `${since}  ${row.sign} ${"  ".repeat(row.depth)}${names(row)}  ${row.what}  ${row.reply}${row.took === null ? "" : `  (${duration(row.took)})`}`;
  });
  return `${[head, ...lines].join("\n")}\n`;
}

/** @param {Timeline} timeline */
export function asMermaid(timeline) {
  const id = (/** @type {string} */ host) => host.replace(/[^A-Za-z0-9]/g, "_");
  const clean = (/** @type {string} */ text) => text.replace(/[;#\n]/g, " ");
  const hosts = timeline.hosts.filter((host) => host !== "waits" && timeline.rows.some((row) => row.kind === "hop" && (row.from === host || row.to === host)));
  const lines = timeline.rows.map((row) => {
    if (row.kind === "hop" && row.to) return `  ${id(row.from)}${row.tone === "ok" ? "->>" : "-x"}${id(row.to)}: ${clean(`${row.what} ${row.reply}`)}`;
    const host = hosts.includes(row.from) ? row.from : hosts.includes(row.host) ? row.host : hosts[0];
    return `  Note over ${id(host)}: ${clean(`${row.from} ${row.what} ${row.reply}`)}`;
  });
  return `${["sequenceDiagram", ...hosts.map((host) => `  participant ${id(host)} as ${host}`), ...lines].join("\n")}\n`;
}

/** @param {string} name @param {string} text @param {string} type */
export function download(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
