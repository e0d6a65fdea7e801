// Mail: the list, and the letter that is open.

import { html } from "../../vendor/lit.js";
import { listQuery } from "../routes.js";
import { View, state } from "../store.js";
import "./empty.js";
import "./list.js";
import "./mailboxes.js";

class Mail extends View {
  render() {
    const [id = "", tab = ""] = state.route.parts;
    const { q = "", mailbox = "", folder = "" } = listQuery();
    return html`<div class="mail ${id ? "has-letter" : ""}">
      <post-list .words=${q} .mailbox=${mailbox} .folder=${folder} .openId=${id}></post-list>
      ${id ? html`<post-letter .letterId=${id} .tab=${tab}></post-letter>`
        : html`<div class="no-letter"><p class="soft">No message is open.</p><p class="soft"><kbd>j</kbd> <kbd>k</kbd> move, <kbd>Enter</kbd> opens, <kbd>?</kbd> shows all keys.</p></div>`}
    </div>`;
  }
}

customElements.define("post-mail", Mail);
