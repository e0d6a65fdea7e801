// The queues: what waits where, since when, until when, and why.

import { html, nothing } from "../../vendor/lit.js";
import { change, get, reason } from "../api.js";
import { dialog } from "../dialogs.js";
import { brief } from "../fate.js";
import { count, plural, soon, when } from "../format.js";
import { listen } from "../live.js";
import { attempt } from "../mail/actions.js";
import { goQuery, href } from "../routes.js";
import { View, state } from "../store.js";
import { throttled } from "../world-state.js";
/** @import { Queued } from "../types" */

const LIMIT = 200;

class Queues extends View {
  static properties = { host: {} };
  host = "";
  #total = 0;
  /** @type {Queued[] | null} */
  #messages = null;
  #error = "";
  #stop = new AbortController();
  #read = throttled(async () => {
    try {
      const list = /** @type {{ total: number, messages: Queued[] }} */ (await get("api/v1/queue", { host: this.host || undefined, limit: LIMIT }));
      this.#total = list.total;
      this.#messages = list.messages;
      this.#error = "";
    } catch (error) {
      this.#error = reason(error);
    }
    this.requestUpdate();
  }, 400);

  connectedCallback() {
    super.connectedCallback();
    this.#stop = new AbortController();
    listen(["journey", "reset"], () => void this.#read(), this.#stop.signal);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#stop.abort();
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (changed.has("host")) void this.#read();
  }

  /** @param {string} what @param {Record<string, string | undefined>} which @param {string} done */
  #act(what, which, done) {
    return attempt(async () => {
      await change("POST", `api/v1/queue/${what}`, undefined, which);
      void this.#read();
    }, done);
  }

  render() {
    const hosts = state.hosts.filter((host) => host.queued !== undefined);
    const all = this.host ? { host: this.host } : { all: "true" };
    return html`<div class="page"><header class="page-head"><h1>Queues</h1>
        <label>Host <select @change=${(/** @type {Event} */ event) => goQuery({ host: /** @type {HTMLSelectElement} */ (event.target).value })}><option value="">all</option>${hosts.map((host) => html`<option value=${host.name} ?selected=${host.name === this.host}>${host.name} (${host.queued})</option>`)}</select></label>
        ${this.#total ? html`<button class="primary" @click=${() => this.#act("flush", all, "All of them are tried now")}>Try all now</button><button @click=${() => this.#act("release", all, "Released")}>Release all</button>` : nothing}</header>
      ${this.#error ? html`<p class="wrong" role="alert">${this.#error}</p>` : nothing}
      ${this.#messages === null ? html`<p class="soft waiting">Reading …</p>` : this.#messages.length ? this.#table(this.#messages) : html`<div class="empty"><h2>Nothing waits</h2><p>What a host could not pass on yet would stand here. <a href=${href(["world"])}>Switch a host off</a> and send it mail to see it.</p></div>`}</div>`;
  }

  /** @param {Queued[]} messages */
  #table(messages) {
    return html`<div class="table-scroll" tabindex="0" role="region" aria-label="Queued messages"><table class="list"><thead><tr><th scope="col">message</th><th scope="col">at</th><th scope="col">since</th><th scope="col">next try</th><th scope="col">why</th><th scope="col"><span class="hidden">what can be done</span></th></tr></thead>
      <tbody>${messages.map((one) => {
        const which = { host: one.host, id: one.id }, isHeld = one.state === "held";
        return html`<tr><td><a href=${href(["journey", one.id.split("-")[0]])}>${one.reverse_path ?? "<>"} → ${one.recipients.slice(0, 2).join(", ")}${one.recipients.length > 2 ? ` +${one.recipients.length - 2}` : ""}</a></td>
          <td><a href=${href(["world", one.host])}>${one.host}</a></td><td>${when(one.arrived)}</td><td class="wait">${isHeld ? "held" : soon(one.due)}<br><span class="soft small">${plural(one.attempts, "attempt")}</span></td><td class="reason">${brief(one.reason ?? "")}</td>
          <td class="row-actions">${isHeld ? html`<button @click=${() => this.#act("release", which, "Released")}>Release</button>` : html`<button @click=${() => this.#act("flush", which, "It is tried now")}>Try now</button><button @click=${() => this.#act("hold", which, "Held")}>Hold</button>`}
            <button class="danger" @click=${async () => (await dialog.confirm("Delete it from the queue?", "Delete", "These recipients do not get it, and the sender gets no report.")) && this.#act("delete", which, "Deleted")}>Delete</button></td></tr>`;
      })}</tbody></table></div>${this.#total > messages.length ? html`<p class="soft">The oldest ${count(messages.length)} of ${count(this.#total)}</p>` : nothing}`;
  }
}

customElements.define("post-queues", Queues);
