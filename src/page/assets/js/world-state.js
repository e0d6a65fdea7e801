// Keeps hosts, mailboxes, tags and faults of the state fresh.

import { get } from "./api.js";
import { live } from "./live.js";
import { set, state } from "./store.js";
/** @import { Host, World, Mailbox, ActiveFault, SeenFault } from "./types" */

/** Runs at once, and then no more often than this. @param {() => Promise<unknown>} work @param {number} ms */
export function throttled(work, ms) {
  let isRunning = false, isWanted = false;
  const run = async () => {
    if (isRunning) return void (isWanted = true);
    isRunning = true;
    try { await work(); } catch { /* the line of the connection says it */ }
    setTimeout(() => {
      isRunning = false;
      if (isWanted) {
        isWanted = false;
        void run();
      }
    }, ms);
  };
  return run;
}

const readHosts = throttled(async () => set({ hosts: /** @type {Host[]} */ (await get("api/v1/hosts")) }), 700);

const readMail = throttled(async () => {
  /** @type {[{ Messages: number, Unread: number, Tags: Record<string, number> }, Mailbox[]]} */
  const [info, mailboxes] = await Promise.all([get("api/v1/info"), get("api/v1/mailboxes")]);
  set({ total: info.Messages, unread: info.Unread, tags: info.Tags, mailboxes });
}, 500);

const readFaults = throttled(async () => {
  /** @type {ActiveFault[]} */
  const active = await get("api/v1/faults");
  const now = Date.now();
  /** @type {SeenFault[]} */
  const over = state.faults
    .filter((seen) => !active.some((one) => one.id === seen.id))
    .map((seen) => (seen.until ? seen : { ...seen, until: now }));
  set({ faults: [...active, ...over.slice(-100)] });
}, 300);

export const refreshFaults = readFaults;
export const refreshHosts = readHosts;

async function readWorld() {
  set({ world: /** @type {World} */ (await get("api/v1/world")) });
}

export function startWorld() {
  const all = () => void Promise.allSettled([readWorld(), readHosts(), readMail(), readFaults()]);
  all();
  live.addEventListener("reset", all);
  live.addEventListener("messages", () => void readMail());
  live.addEventListener("journey", (event) => {
    void readHosts();
    const { step } = /** @type {CustomEvent} */ (event).detail;
    if (step === "delivered") void readMail();
  });
  live.addEventListener("faults", () => {
    void readFaults();
    void readHosts();
  });
}
