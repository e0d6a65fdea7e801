// The faults: what was made to go wrong, and a form to make something else go wrong.

import { html, nothing } from "../../vendor/lit.js";
import { change } from "../api.js";
import { when } from "../format.js";
import { attempt } from "../mail/actions.js";
import { View, state } from "../store.js";
import { refreshFaults } from "../world-state.js";
import "./fault-form.js";
/** @import { SeenFault } from "../types" */

/** Faults that ended, in the list. */
const SHOWN = 50;

class Faults extends View {
  render() {
    const active = state.faults, over = state.pastFaults.filter((fault) => fault.until).slice(0, SHOWN);
    return html`<div class="page narrow"><header class="page-head"><h1>Faults</h1>${active.length ? html`<button @click=${() => this.#end("api/v1/faults", "All faults ended")}>End all</button>` : nothing}</header>
      ${active.length ? html`<ul class="cards">${active.map((fault) => this.#card(fault))}</ul>` : html`<p class="soft">Nothing is made to go wrong at the moment.</p>`}
      <h2>Begin a fault</h2><post-fault-form></post-fault-form>
      ${over.length ? html`<h2>Ended</h2><ul class="cards">${over.map((fault) => html`<li><span>${fault.title}</span><span class="soft">${when(fault.since)} to ${when(fault.until ?? 0)}</span></li>`)}</ul>` : nothing}</div>`;
  }

  /** @param {SeenFault} fault */
  #card(fault) {
    return html`<li><span><b class="bad">⚡ ${fault.title}</b><br><span class="soft small">since ${when(fault.since)}</span></span><button @click=${() => this.#end(`api/v1/faults/${fault.id}`, `${fault.title}: ended`)}>End</button></li>`;
  }

  /** @param {string} path @param {string} done */
  #end(path, done) {
    return attempt(async () => {
      await change("DELETE", path);
      void refreshFaults();
    }, done);
  }
}

customElements.define("post-faults", Faults);
