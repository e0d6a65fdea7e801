// The mailboxes and tags beside the list.

import { html, nothing } from "../../vendor/lit.js";
import { count } from "../format.js";
import { href } from "../routes.js";
import { View, state } from "../store.js";
import { removeAll } from "./actions.js";

class Mailboxes extends View {
  /** The accounts with their folders that have mail. */
  #accounts() {
    /** @type {Map<string, { unseen: number, messages: number, folders: { name: string, messages: number }[] }>} */
    const accounts = new Map();
    for (const { account, mailbox, messages, unseen } of state.mailboxes) {
      const one = accounts.get(account) ?? { unseen: 0, messages: 0, folders: [] };
      accounts.set(account, one);
      one.unseen += unseen;
      one.messages += messages;
      if (messages) one.folders.push({ name: mailbox, messages });
    }
    return [...accounts].filter(([, { messages }]) => messages > 0);
  }

  render() {
    const { query } = state.route;
    const mailbox = query.get("mailbox") ?? "", words = query.get("q") ?? "";
    const accounts = this.#accounts(), tags = Object.entries(state.tags);
    const current = (/** @type {boolean} */ is) => (is ? "true" : "false");
    return html`<section class="boxes">
      <h2 id="boxes-title">Mailboxes</h2>
      <ul aria-labelledby="boxes-title">
        <li><a href=${href(["mail"])} aria-current=${current(!mailbox && !words)}><span class="name">All mail</span>${state.unread ? html`<span class="count" title="unread">${count(state.unread)}</span>` : nothing}</a></li>
        ${accounts.map(([account, { unseen, folders }]) => html`<li>
          <a href=${href(["mail"], { mailbox: account })} aria-current=${current(mailbox === account)}><span class="name">${account}</span>${unseen ? html`<span class="count" title="unread">${count(unseen)}</span>` : nothing}</a>
          ${folders.length > 1 && mailbox === account ? html`<ul class="folders">${folders.map(({ name, messages }) => html`<li><span class="name">${name}</span><span class="count" title="messages">${count(messages)}</span></li>`)}</ul>` : nothing}
        </li>`)}
      </ul>
      ${tags.length ? html`<h2 id="tags-title">Tags</h2><ul aria-labelledby="tags-title">${tags.map(([tag, number]) => html`
        <li><a href=${href(["mail"], { q: tagWord(tag) })} aria-current=${current(words === tagWord(tag))}><span class="tag">${tag}</span><span class="count">${count(number)}</span></a></li>`)}</ul>` : nothing}
      ${state.total ? html`<p><button class="quiet" @click=${removeAll}>Empty everything …</button></p>` : nothing}
    </section>`;
  }
}

/** @param {string} tag */
function tagWord(tag) {
  return /\s/.test(tag) ? `tag:"${tag}"` : `tag:${tag}`;
}

customElements.define("post-mailboxes", Mailboxes);
