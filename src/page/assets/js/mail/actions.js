// What can be done with messages.

import { change, reason } from "../api.js";
import { dialog } from "../dialogs.js";
import { plural } from "../format.js";
import { say, state } from "../store.js";

/** Does it, and says what came of it; false if it failed. @param {() => Promise<unknown>} work @param {string} done */
export async function attempt(work, done) {
  try {
    await work();
    if (done) say(done);
    return true;
  } catch (error) {
    say(`That failed: ${reason(error)}`);
    return false;
  }
}

/** @param {string[]} ids @param {boolean} read */
export function mark(ids, read) {
  return attempt(() => change("PUT", "api/v1/messages", { ids, read }), ids.length > 1 ? `${plural(ids.length, "message")} marked` : "");
}

/** A mailbox, or a folder of one. @typedef {{ mailbox?: string, folder?: string }} Place */

/** Asks when it is more than one. @param {string[]} ids @param {Place} [place] */
export async function remove(ids, place = {}) {
  const what = plural(ids.length, "message");
  const where = place.mailbox ? `from ${[place.folder, place.mailbox].filter(Boolean).join(" of ")}; copies elsewhere stay` : "in all mailboxes and queues";
  if (ids.length > 1 && !(await dialog.confirm(`Delete ${what}?`, `Delete ${what}`, `They are deleted ${where}.`))) return false;
  return attempt(() => change("DELETE", "api/v1/messages", { ids }, place), `${what} deleted`);
}

/** Asks where, and moves the copies of messages; false if nothing was moved. @param {string[]} ids @param {Place} place */
export async function moveTo(ids, place) {
  const what = plural(ids.length, "message");
  const names = state.mailboxes.filter(({ account }) => !place.mailbox || account === place.mailbox).map(({ mailbox }) => mailbox);
  const values = [...new Set(names)].filter((name) => name !== place.folder).sort();
  const text = place.mailbox ? "" : "Each copy is moved to the folder of this name in its own mailbox.";
  const folder = await dialog.ask({ title: `Move ${what}`, text, label: "To the folder, which is made if it does not exist", value: "", values, yes: "Move" });
  if (!folder?.trim()) return false;
  return attempt(async () => {
    const { moved } = await (await change("POST", "api/v1/messages/move", { ids, folder: folder.trim() }, place)).json();
    if (!moved) throw new Error("no mailbox has a copy yet, or all are there already");
  }, `${what} moved to ${folder.trim()}`);
}

export async function removeAll() {
  const text = "All mail of this world is deleted, in mailboxes and in queues.";
  if (!(await dialog.confirm(`Delete all ${plural(state.total, "message")}?`, "Delete everything", text))) return;
  await attempt(() => change("DELETE", "api/v1/messages"), "Everything is deleted");
}

/** Asks for the tags of messages, which replace those they have. @param {string[]} ids @param {string[]} tags */
export async function retag(ids, tags) {
  const title = ids.length > 1 ? `Tags of ${plural(ids.length, "message")}` : "Tags";
  const answer = await dialog.ask({ title, label: "Tags, with commas between them", value: tags.join(", "), yes: "Set tags" });
  if (answer === null) return null;
  const wanted = answer.split(",").map((tag) => tag.trim()).filter(Boolean);
  return (await attempt(() => change("PUT", "api/v1/tags", { ids, tags: wanted }), "Tags set")) ? wanted : null;
}
