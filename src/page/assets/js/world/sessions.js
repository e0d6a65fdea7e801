// The conversations at the doors of the world: who spoke to us, and how did it end. Those that failed come first, if asked for.

import { html, nothing } from "../../vendor/lit.js";
import { get, part, reason } from "../api.js";
import { count, duration, plural, timeOf, when } from "../format.js";
import { listen } from "../live.js";
import { goQuery, href } from "../routes.js";
import { View, state } from "../store.js";
import { throttled } from "../world-state.js";
/** @import { Session } from "../types" */

const LIMIT = 200;
/** What can become of a conversation, as a reader says it. @type {Record<string, [string, "ok" | "wait" | "bad"]>} */
const OUTCOMES = {
  accepted: ["accepted mail", "ok"], retrieved: ["fetched mail", "ok"], logged_in: ["logged in", "ok"], refused: ["was refused", "bad"],
  wrong_password: ["wrong password", "bad"], tls_failed: ["TLS failed", "bad"], timed_out: ["timed out", "wait"], hung_up: ["hung up", "wait"],
  hung_up_in_data: ["hung up in a message", "bad"], broken_off: ["was broken off", "bad"],
};
const SIGNS = { ok: "✓", wait: "◷", bad: "✕" };

/** The worst of the outcomes. @param {Session} session */
function toneOf({ outcome }) {
  const tones = outcome.map((one) => OUTCOMES[one]?.[1] ?? "wait");
  return tones.includes("bad") ? "bad" : tones.includes("wait") ? "wait" : "ok";
}

class SessionsView extends View {
  static properties = { session: {} };
  /** The number of the one that is open. */
  session = "";
  /** @type {Session[] | null} */
  #sessions = null;
  /** @type {Session | null} */
  #open = null;
  #total = 0;
  #error = "";
  #stop = new AbortController();
  #read = throttled(async () => {
    const { query } = state.route;
    try {
      const list = /** @type {{ total: number, sessions: Session[] }} */ (await get("api/v1/sessions", { limit: LIMIT, outcome: query.get("outcome") ?? "", text: query.get("text") ?? "" }));
      this.#total = list.total;
      this.#sessions = list.sessions;
      this.#open = this.session ? await get(`api/v1/sessions/${part(this.session)}`) : null;
      this.#error = "";
    } catch (error) {
      this.#error = reason(error);
    }
    this.requestUpdate();
  }, 300);

  connectedCallback() {
    super.connectedCallback();
    this.#stop = new AbortController();
    listen(["sessions", "reset"], () => void this.#read(), this.#stop.signal);
    void this.#read();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#stop.abort();
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (changed.has("session")) void this.#read();
  }

  /** @param {string} name @param {Event} event */
  #filter(name, event) {
    goQuery({ [name]: /** @type {HTMLInputElement} */ (event.target).value }, { replace: true });
    void this.#read();
  }

  render() {
    const { query } = state.route, chosen = query.get("outcome") ?? "";
    const sessions = this.#sessions;
    return html`<div class="journey-frame ${this.#open ? "has-drawer" : ""}"><div class="page"><header class="page-head"><h1>Sessions</h1>
        <label>Outcome <select @change=${(/** @type {Event} */ event) => this.#filter("outcome", event)}><option value="">all</option>${Object.entries(OUTCOMES).map(([name, [title]]) => html`<option value=${name} ?selected=${name === chosen}>${title}</option>`)}</select></label>
        <label>Said <input .value=${query.get("text") ?? ""} @change=${(/** @type {Event} */ event) => this.#filter("text", event)}></label></header>
      ${this.#error ? html`<p class="wrong" role="alert">${this.#error}</p>` : nothing}
      ${!sessions ? html`<p class="soft waiting">Reading …</p>` : sessions.length ? this.#table(sessions) : html`<div class="empty"><h2>Nobody spoke to this world</h2><p>Each conversation at its ports would stand here, also those that failed.</p></div>`}</div>
      ${this.#open ? this.#drawer(this.#open) : nothing}</div>`;
  }

  /** @param {Session[]} sessions */
  #table(sessions) {
    return html`<div class="table-scroll" tabindex="0" role="region" aria-label="Conversations"><table class="list"><thead><tr><th scope="col">when</th><th scope="col">who</th><th scope="col">host</th><th scope="col">how it ended</th><th scope="col">mail</th></tr></thead><tbody>${sessions.map((one) => {
      const tone = toneOf(one);
      return html`<tr><td><a href=${this.#href(String(one.id))}>${when(one.began)}</a><br><span class="soft small">${one.ended ? duration(Date.parse(one.ended) - Date.parse(one.began)) : "goes on"}</span></td>
        <td>${one.hello ?? one.client}${one.login ? html`<br><span class="soft small">as ${one.login}</span>` : nothing}</td><td><a href=${href(["world", one.host])}>${one.host}</a> <span class="soft">${one.protocol.toUpperCase()}${one.tls ? ", TLS" : ""}</span></td>
        <td><span class="sign ${tone}" aria-hidden="true">${SIGNS[tone]}</span> ${one.outcome.map((outcome) => OUTCOMES[outcome]?.[0] ?? outcome).join(", ") || (one.ended ? "said good-bye" : "goes on")}${one.error ? html`<br><span class="soft small">${one.error}</span>` : nothing}</td>
        <td>${one.journeys.slice(0, 3).map((id) => html`<a class="mono" href=${href(["journey", id])}>${id}</a> `)}${one.journeys.length > 3 ? html`<span class="soft">+${one.journeys.length - 3}</span>` : nothing}</td></tr>`;
    })}</tbody></table></div>${this.#total > sessions.length ? html`<p class="soft">The newest ${count(sessions.length)} of ${count(this.#total)}</p>` : nothing}`;
  }

  /** @param {string} id */
  #href(id) {
    return href(id ? ["sessions", id] : ["sessions"], Object.fromEntries(state.route.query));
  }

  /** @param {Session} session */
  #drawer(session) {
    const { lines, dropped = 0 } = session.dialogue ?? { lines: [] };
    return html`<aside class="drawer" aria-label="Conversation"><header><h2>${session.hello ?? session.client} → ${session.host}</h2><a class="button icon-only" href=${this.#href("")} aria-label="Close" title="Close">✕</a></header>
      <p class="soft small about">${timeOf(session.began)} · ${session.protocol.toUpperCase()} · ${session.client} · ${session.tls ?? "no TLS"} · ${plural(session.accepted, "message")} accepted${session.refused ? ` · ${plural(session.refused, "command")} refused` : ""}${session.error ? ` · ${session.error}` : ""}</p>
      <div class="drawer-content"><ol class="dialogue timed" tabindex="0" aria-label="What was said">${lines.map(([side, line, ms]) => html`<li class=${side}><span class="soft">${ms}</span><span class="side" aria-label=${side === "C" ? "client" : "server"}>${side}</span><span>${line}</span></li>`)}
        ${dropped ? html`<li class="soft"><span></span><span></span><span>and ${dropped} more lines</span></li>` : nothing}</ol><p class="soft small">Times are milliseconds since the client connected.</p></div></aside>`;
  }
}

customElements.define("post-sessions", SessionsView);
