// What happens in the world, as it happens: server-sent events, and questions once a second where a proxy lets none through.

import { get } from "./api.js";
import { address } from "./routes.js";
import { set } from "./store.js";
/** @import { PostEvent } from "./types" */

/**
 * What views listen to: `journey` (detail: an event of the log), `messages` (detail: `{ kind, data }`), `faults`, `sessions`, and `reset`, after
 * which all that was read before may be old.
 */
export const live = new EventTarget();

const RETRIES = [1, 2, 3, 5, 10];
const POLL_MS = 1000;

let last = 0;
let failures = 0;
let hasStreamed = false;

/** @param {string} name @param {unknown} [detail] */
function tell(name, detail) {
  live.dispatchEvent(new CustomEvent(name, { detail }));
}

/** Calls back with each event until the signal says stop. @param {string[]} names @param {(event: CustomEvent) => void} callback @param {AbortSignal} signal */
export function listen(names, callback, signal) {
  for (const name of names) live.addEventListener(name, /** @type {EventListener} */ (callback), { signal });
}

export function startLive() {
  const url = new URL(address("api/v1/events/stream"));
  url.searchParams.set("dialogue", "false");
  if (last) url.searchParams.set("since", String(last));
  const source = new EventSource(url);
  source.addEventListener("start", (event) => {
    last = JSON.parse(event.data).last;
    failures = 0;
    hasStreamed = true;
    set({ connection: { state: "live", retryAt: 0 } });
    // What happened since the views read, before this answer began, is told to nobody else.
    tell("reset");
  });
  source.addEventListener("journey", (event) => {
    last = Number(event.lastEventId) || last;
    tell("journey", JSON.parse(event.data));
  });
  source.addEventListener("reset", () => tell("reset"));
  source.addEventListener("faults", () => tell("faults"));
  source.addEventListener("sessions", () => tell("sessions"));
  for (const kind of ["added", "changed", "deleted"]) {
    source.addEventListener(`message-${kind}`, (event) => tell("messages", { kind, data: JSON.parse(event.data) }));
  }
  source.onerror = () => {
    source.close();
    if (hasStreamed) retry(startLive);
    else void poll();
  };
}

/** Says that the connection is lost, and tries again. @param {() => void} again */
function retry(again) {
  const seconds = RETRIES[Math.min(failures, RETRIES.length - 1)];
  failures += 1;
  set({ connection: { state: "lost", retryAt: Date.now() + seconds * 1000 } });
  setTimeout(again, seconds * 1000);
}

let known = "";

/** Asks once a second. */
async function poll() {
  try {
    const isFirst = !known;
    /** @type {{ last: number, events: PostEvent[] }} */
    const page = await get("api/v1/events", { since: isFirst ? Number.MAX_SAFE_INTEGER : last });
    const list = await get("api/v1/messages", { limit: 1 });
    last = page.last;
    if (failures) tell("reset");
    failures = 0;
    set({ connection: { state: "polling", retryAt: 0 } });
    const now = JSON.stringify(list);
    if (!isFirst) page.events.forEach((event) => tell("journey", event));
    if (!isFirst && now !== known) tell("messages", { kind: "some", data: null });
    if (page.events.length) tell("faults");
    tell("sessions");
    known = now;
    setTimeout(poll, POLL_MS);
  } catch {
    retry(poll);
  }
}
