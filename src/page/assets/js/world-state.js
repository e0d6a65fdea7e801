// Keeps hosts, mailboxes, tags and faults of the state fresh.

import { get } from "./api.js";
import { live } from "./live.js";
import { set } from "./store.js";
/** @import { Host, World, Mailbox, ActiveFault, FaultRecord } from "./types" */

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
  /** @type {[ActiveFault[], FaultRecord[]]} */
  const [faults, history] = await Promise.all([get("api/v1/faults"), get("api/v1/faults/history")]);
  const isActive = (/** @type {FaultRecord} */ { until, title }) => !until && faults.some((one) => one.title === title);
  const past = history.filter((one) => !isActive(one)).map(({ number, title, since, until, fault }) => ({ id: -number, title, since, fault, until: until ? Date.parse(until) : undefined }));
  set({ faults, pastFaults: past });
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
