// URLs: everything that can be looked at has one, below whatever path a proxy puts the page.

import { set, state } from "./store.js";
/** @import { Route } from "./types" */

/** A report is one file: its addresses are behind the `#`. */
const isFile = document.documentElement.hasAttribute("data-report");
/** The root of the page, which does not move when the address does. */
const root = new URL(isFile ? "." : "", document.baseURI);
const HOME = isFile ? "report" : "mail";
const VIEWS = isFile ? ["report", "journey"] : ["mail", "journey", "world", "queues", "sessions", "faults", "log", "learn", "compose"];

/** The address of a file or of the interface. @param {string} path */
export function address(path) {
  return new URL(path, root).href;
}

/** The address of a view. @param {string[]} parts @param {Record<string, string | undefined>} [query] */
export function href(parts, query = {}) {
  const url = new URL(parts.map(encodeURIComponent).join("/"), root);
  for (const [name, value] of Object.entries(query)) {
    if (value) url.searchParams.set(name, value);
  }
  return isFile ? `#/${parts.map(encodeURIComponent).join("/")}${url.search}` : url.pathname + url.search;
}

/** @param {URL} address @returns {Route} */
function parse(address) {
  const url = isFile ? new URL(address.hash.replace(/^#?\/?/, ""), root) : address;
  const path = url.pathname.startsWith(root.pathname) ? url.pathname.slice(root.pathname.length) : "";
  const [view, ...parts] = path.split("/").filter(Boolean).map(decode);
  return { view: VIEWS.includes(view) ? view : HOME, parts, query: url.searchParams };
}

/** @param {string} text */
function decode(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

/** Goes to an address of the page. @param {string} target @param {{ replace?: boolean }} [options] */
export function go(target, { replace = false } = {}) {
  const url = new URL(target, isFile ? location.href : root);
  if (url.href !== location.href) history[replace ? "replaceState" : "pushState"](null, "", url);
  set({ route: parse(url) });
}

/** What selects the list of mail: words, a mailbox, a folder of it. */
export function listQuery() {
  const { query } = state.route;
  const { q, mailbox, folder } = Object.fromEntries(query);
  return { q, mailbox, folder };
}

/** The same view with other words behind the question mark. @param {Record<string, string | undefined>} query @param {{ replace?: boolean }} [options] */
export function goQuery(query, options) {
  const { view, parts, query: old } = state.route;
  go(href([view, ...parts], { ...Object.fromEntries(old), ...query }), options);
}

/** @param {MouseEvent} event */
function clicked(event) {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.composedPath().find((one) => one instanceof HTMLAnchorElement);
  if (!(link instanceof HTMLAnchorElement) || !link.href || link.target || link.hasAttribute("download")) return;
  const url = new URL(link.href);
  const first = url.pathname.startsWith(root.pathname) ? url.pathname.slice(root.pathname.length).split("/")[0] : null;
  if (url.origin !== root.origin || first === null || !(first === "" || VIEWS.includes(first))) return;
  event.preventDefault();
  go(url.href);
}

export function startRoutes() {
  document.querySelector("base")?.setAttribute("href", root.href);
  addEventListener("popstate", () => set({ route: parse(new URL(location.href)) }));
  // Browsers follow a fragment by themselves.
  if (!isFile) document.addEventListener("click", clicked);
  set({ route: parse(new URL(location.href)) });
}
