// The mailboxes with their folders, and the tags, beside the list; above it where the window is narrow.

import { html, nothing } from "../../vendor/lit.js";
import { count } from "../format.js";
import { go, href, listQuery } from "../routes.js";
import { View, state } from "../store.js";
import { removeAll } from "./actions.js";
/** @import { Mailbox } from "../types" */

/** The accounts that have mail, or that are shown, with all their folders. @param {string} shown @returns {Map<string, Mailbox[]>} */
function accounts(shown) {
  /** @type {Map<string, Mailbox[]>} */
  const accounts = new Map();
  for (const one of state.mailboxes) accounts.set(one.account, [...(accounts.get(one.account) ?? []), one]);
  return new Map([...accounts].filter(([account, folders]) => account === shown || folders.some(({ messages }) => messages)));
}

/** INBOX first, then by name. @param {Mailbox[]} folders */
export function ordered(folders) {
  const rank = (/** @type {Mailbox} */ { mailbox }) => (mailbox === "INBOX" ? 0 : 1);
  return [...folders].sort((one, other) => rank(one) - rank(other) || one.mailbox.localeCompare(other.mailbox));
}

class Mailboxes extends View {
  render() {
    const { q: words = "", mailbox = "", folder = "" } = listQuery();
    const tags = Object.entries(state.tags);
    const current = (/** @type {boolean} */ is) => (is ? "true" : "false");
    return html`<section class="boxes">
      <h2 id="boxes-title">Mailboxes</h2>
      <ul aria-labelledby="boxes-title">
        <li><a href=${href(["mail"])} aria-current=${current(!mailbox && !words)}><span class="name">All mail</span>${number(state.unread)}</a></li>
        ${[...accounts(mailbox)].map(([account, folders]) => html`<li>
          <a href=${href(["mail"], { mailbox: account })} aria-current=${current(mailbox === account && !folder)}><span class="name" title=${account}>${account}</span>${number(folders.reduce((sum, { unseen }) => sum + unseen, 0))}</a>
          ${mailbox === account ? html`<ul class="folders" aria-label="Folders of ${account}">${ordered(folders).map((one) => this.#folder(one, folder))}</ul>` : nothing}
        </li>`)}
      </ul>
      ${tags.length ? html`<h2 id="tags-title">Tags</h2><ul aria-labelledby="tags-title">${tags.map(([tag, number]) => html`
        <li><a href=${href(["mail"], { q: tagWord(tag) })} aria-current=${current(words === tagWord(tag))}><span class="tag">${tag}</span><span class="count">${count(number)}</span></a></li>`)}</ul>` : nothing}
      ${state.total ? html`<p><button class="quiet" @click=${removeAll}>Empty everything …</button></p>` : nothing}
    </section>`;
  }

  /** @param {Mailbox} one @param {string} shown */
  #folder({ account, mailbox, messages, unseen }, shown) {
    const levels = mailbox.split("/");
    return html`<li><a class="level-${Math.min(levels.length, 5)} ${messages ? "" : "is-empty"}" href=${href(["mail"], { mailbox: account, folder: mailbox })} aria-current=${mailbox === shown ? "true" : "false"} title="${mailbox}: ${count(messages)} messages">
      <span class="name">${levels.at(-1)}</span>${number(unseen)}</a></li>`;
  }
}

/** @param {number} unread */
function number(unread) {
  return unread ? html`<span class="count" title="unread">${count(unread)}</span>` : nothing;
}

/** The same choice as one field. */
export function mailboxField() {
  const { mailbox = "", folder = "" } = listQuery();
  const choose = (/** @type {Event} */ event) => {
    const [account, name] = /** @type {HTMLSelectElement} */ (event.target).value.split("\n");
    go(href(["mail"], { mailbox: account, folder: name }));
  };
  const option = (/** @type {string} */ value, /** @type {string} */ title) => html`<option value=${value} ?selected=${value === [mailbox, folder].filter(Boolean).join("\n")}>${title}</option>`;
  return html`<select class="mailbox-field" aria-label="Mailbox" @change=${choose}>${option("", "All mail")}
    ${[...accounts(mailbox)].map(([account, folders]) => html`${option(account, account)}${ordered(folders).filter(({ messages, mailbox: name }) => messages || name === folder).map(({ mailbox: name }) => option(`${account}\n${name}`, `${account}: ${name}`))}`)}</select>`;
}

/** @param {string} tag */
function tagWord(tag) {
  return /\s/.test(tag) ? `tag:"${tag}"` : `tag:${tag}`;
}

customElements.define("post-mailboxes", Mailboxes);
