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

/** Asks when it is more than one. @param {string[]} ids @param {string} [mailbox] */
export async function remove(ids, mailbox) {
  const what = plural(ids.length, "message");
  const where = mailbox ? `the copies in ${mailbox}` : "in all mailboxes and queues";
  if (ids.length > 1 && !(await dialog.confirm(`Delete ${what}?`, `Delete ${what}`, `They are deleted ${where}.`))) return false;
  return attempt(() => change("DELETE", "api/v1/messages", { ids }, { mailbox }), `${what} deleted`);
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
