// Puts files with messages into a mailbox.

import { reason, upload } from "../api.js";
import { dialog } from "../dialogs.js";
import { plural } from "../format.js";
import { say, state } from "../store.js";
/** @import { Place } from "./actions.js" */

/** @param {File[]} files @param {Place} place where to; it is asked for if no mailbox is shown */
export async function importFiles(files, { mailbox, folder = "INBOX" }) {
  if (!files.length) return;
  const what = files.length === 1 ? files[0].name : plural(files.length, "file");
  const account = mailbox ?? (await askWhere(what));
  if (!account) return;
  /** @type {string[]} */
  const failed = [];
  for (const file of files) {
    try {
      await upload("api/v1/mailboxes/messages", file, "message/rfc822", { account, mailbox: folder });
    } catch (error) {
      failed.push(`${file.name}: ${reason(error)}`);
    }
  }
  say(failed.length ? `Not imported: ${failed.slice(0, 3).join("; ")}` : `${what} imported into ${folder} of ${account}`);
}

/** @param {string} what */
async function askWhere(what) {
  const accounts = [...new Set([...(state.world?.users ?? []), ...state.mailboxes.map(({ account }) => account)])];
  const answer = await dialog.ask({ title: `Import ${what}`, label: "Into the mailbox of", value: accounts[0] ?? "", values: accounts, yes: "Import" });
  return answer?.trim() ?? "";
}
