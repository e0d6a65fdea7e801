// The log: what happened, one line each, newest first.

import { html, nothing } from "../../vendor/lit.js";
import { get, reason } from "../api.js";
import { brief } from "../fate.js";
import { timeOf, whole } from "../format.js";
import { listen } from "../live.js";
import { href } from "../routes.js";
import { View } from "../store.js";
/** @import { PostEvent } from "../types" */

/** Lines that are kept. */
const MAX_LINES = 500;
/** How far back the first look goes. */
const FIRST = 300;

/** @param {PostEvent} event @returns {[string, string, string]} */
function words(event) {
  const to = (event.recipients ?? [event.recipient ?? ""]).slice(0, 3).join(", ");
  switch (event.step) {
    case "received": return ["→", "way", `took it from ${event.from} for ${to}`];
    case "relayed": return ["✓", "ok", `passed it to ${event.to} for ${to}: ${event.reply}`];
    case "tried": return ["✕", "wait", `tried ${event.to} in vain for ${to}: ${brief(event.reason ?? "")}`];
    case "deferred": return ["◷", "wait", `tries again later for ${to}: ${brief(event.reason ?? "")}`];
    case "failed": return ["✕", "bad", `gave up for ${to}: ${brief(event.reason ?? "")}`];
    case "delivered": return ["✓", "ok", `stored it for ${event.recipient} in ${event.mailbox}`];
    case "retrieved": return ["↓", "ok", `gave it to ${event.account} over ${(event.protocol ?? "").toUpperCase()}`];
    case "reported": return ["✉", "way", `wrote a report about ${event.about}`];
    case "expanded": return ["↳", "way", `expanded ${event.recipient} to ${(event.targets ?? []).join(", ")}`];
    default: return ["·", "way", `${event.step} ${to}`];
  }
}

class Log extends View {
  static properties = { filter: { state: true } };
  filter = "";
  /** @type {PostEvent[] | null} */
  #events = null;
  #error = "";
  #stop = new AbortController();

  connectedCallback() {
    super.connectedCallback();
    this.#stop = new AbortController();
    listen(["journey"], ({ detail }) => {
      this.#events = [...(this.#events ?? []), detail].slice(-MAX_LINES);
      this.requestUpdate();
    }, this.#stop.signal);
    listen(["reset"], () => void this.#read(), this.#stop.signal);
    void this.#read();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#stop.abort();
  }

  async #read() {
    try {
      // A number beyond the end tells the last one.
      const { last } = /** @type {{ last: number }} */ (await get("api/v1/events", { since: Number.MAX_SAFE_INTEGER }));
      let since = Math.max(0, last - FIRST);
      /** @type {PostEvent[]} */
      const found = [];
      for (let page = 0; page < 10; page++) {
        const answer = /** @type {{ last: number, events: PostEvent[] }} */ (await get("api/v1/events", { since }));
        found.push(...answer.events);
        if (!answer.events.length || answer.last === since) break;
        since = answer.last;
      }
      this.#events = found.slice(-MAX_LINES);
      this.#error = "";
    } catch (error) {
      this.#error = reason(error);
    }
    this.requestUpdate();
  }

  render() {
    const wanted = this.filter.toLowerCase();
    const lines = (this.#events ?? []).filter((event) => !wanted || JSON.stringify({ ...event, dialogue: undefined }).toLowerCase().includes(wanted)).reverse();
    return html`<div class="page"><header class="page-head"><h1>Log</h1><label>Only lines with <input .value=${this.filter} @input=${(/** @type {Event} */ event) => (this.filter = /** @type {HTMLInputElement} */ (event.target).value)}></label></header>
      ${this.#error ? html`<p class="wrong" role="alert">${this.#error}</p>` : nothing}
      ${this.#events === null ? html`<p class="soft waiting">Reading …</p>` : lines.length ? html`<div class="table-scroll" tabindex="0" role="region" aria-label="Events"><table class="list log"><thead><tr><th scope="col">time</th><th scope="col">host</th><th scope="col">journey</th><th scope="col">what happened</th></tr></thead><tbody>${lines.map((event) => {
        const [sign, tone, text] = words(event);
        return html`<tr><td title=${whole(event.at)}>${timeOf(event.at)}</td><td><a href=${href(["world", event.host])}>${event.host}</a></td><td><a class="mono" href=${href(["journey", event.journey])}>${event.journey}</a></td><td><span class="sign ${tone}" aria-hidden="true">${sign}</span> ${text}</td></tr>`;
      })}</tbody></table></div>` : html`<p class="soft">Nothing happened${wanted ? " that has these words" : " yet"}.</p>`}</div>`;
  }
}

customElements.define("post-log", Log);
