// Keys: single letters that do what a button does, while no field has the focus.

import { dialog } from "./dialogs.js";
import { go, href } from "./routes.js";

/** @typedef {{ keys: string, what: string, where: string }} Key */

/** All keys, for the list that `?` shows. @type {Key[]} */
export const KEYS = [
  { keys: "/", what: "search, or run a command", where: "everywhere" },
  { keys: "c", what: "compose", where: "everywhere" },
  { keys: "g m, g w, g q, g s, g f, g l, g h", what: "go to mail, world, queues, sessions, faults, log, learn", where: "everywhere" },
  { keys: "t", what: "light or dark", where: "everywhere" },
  { keys: "?", what: "all keys", where: "everywhere" },
  { keys: "j k", what: "next, previous", where: "lists" },
  { keys: "Enter", what: "open", where: "lists" },
  { keys: "x", what: "select", where: "mail" },
  { keys: "u", what: "read or unread", where: "mail" },
  { keys: "v", what: "move to a folder", where: "mail" },
  { keys: "#", what: "delete", where: "mail" },
  { keys: ".", what: "what can be done", where: "mail" },
  { keys: "r, f", what: "reply, forward", where: "a letter" },
  { keys: "o", what: "open the journey", where: "a letter" },
  { keys: "Escape", what: "back, close", where: "everywhere" },
];

const GOES = { m: "mail", w: "world", q: "queues", s: "sessions", f: "faults", l: "log", h: "learn" };

/**
 * What the shown view does with keys; it returns true for those that it took.
 * @type {Set<(key: string) => boolean>}
 */
const handlers = new Set();

/** @param {(key: string) => boolean} handler @param {AbortSignal} signal */
export function onKeys(handler, signal) {
  handlers.add(handler);
  signal.addEventListener("abort", () => handlers.delete(handler));
}

/** @param {EventTarget | null} target */
function isField(target) {
  return target instanceof HTMLElement && (target.isContentEditable || target.matches("input:not([type=checkbox]), textarea, select"));
}

/** @param {{ toggleTheme: () => void, go: typeof go }} actions */
export function startKeys(actions) {
  let isGoing = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) {
      if (event.key === "k" && (event.ctrlKey || event.metaKey)) focusSearch(event);
      return;
    }
    if (isField(event.target) || document.querySelector("dialog[open]")) return;
    const wasGoing = isGoing;
    isGoing = event.key === "g" && !wasGoing;
    if (isGoing) return;
    const view = wasGoing ? /** @type {Record<string, string>} */ (GOES)[event.key] : undefined;
    if (view) return go(href([view]));
    if ([...handlers].reverse().some((handler) => handler(event.key))) return event.preventDefault();
    switch (event.key) {
      case "/":
        return focusSearch(event);
      case "c":
        event.preventDefault();
        return go(href(["compose"]));
      case "t":
        return actions.toggleTheme();
      case "?":
        return dialog.keys(KEYS);
    }
  });
}

/** @param {Event} event */
function focusSearch(event) {
  event.preventDefault();
  const field = /** @type {HTMLInputElement | null} */ (document.querySelector("post-search input"));
  field?.focus();
  field?.select();
}
