// Learn: a letter of one's own, and what happened to it, step by step in plain words.

import { html, nothing } from "../vendor/lit.js";
import { get, part } from "./api.js";
import { brief, fateOfAll } from "./fate.js";
import { duration } from "./format.js";
import { pathStrip } from "./mail/path.js";
import { timelineOf } from "./journey/timeline.js";
import { listen } from "./live.js";
import { go, href } from "./routes.js";
import { sendSampleLetter } from "./sample.js";
import { View, state } from "./store.js";
import { throttled } from "./world-state.js";
/** @import { Journey, Row } from "./types" */

/** @param {number} number @param {string} [section] */
function rfc(number, section = "") {
  const url = `https://www.rfc-editor.org/rfc/rfc${number}${section ? `#section-${section}` : ""}`;
  return html`<a href=${url} target="_blank" rel="noopener noreferrer">RFC ${number}${section ? `, section ${section}` : ""}</a>`;
}

/** What a row means. @param {Row} row */
function explain(row) {
  const role = (/** @type {string | undefined} */ name) => state.hosts.find((host) => host.name === name)?.role;
  if (row.kind === "wait") return html`<p>The next host did not take it, so it waits in the queue and is tried again, at first soon, then more and more rarely (${rfc(5321, "4.5.4.1")}). No letter is lost by that.</p>`;
  if (row.kind === "fetch") return html`<p>A mail program read it. POP3 takes letters away; with IMAP they stay in the mailbox, and all programs of a user see the same (${rfc(9051)}).</p>`;
  if (row.kind === "report") return html`<p>The sender is told by a letter of its own, with the null sender, so that no report is ever about a report (${rfc(3464)}).</p>`;
  if (row.tone === "bad") return html`<p>This host gave up: the answer began with 5, which is final. The sender gets a report (${rfc(5321, "6.1")}).</p>`;
  if (row.tone === "wait") return html`<p>The answer began with 4, or there was none: not now (${rfc(5321, "4.2.1")}). The host keeps the letter.</p>`;
  if (/submission|HTTP/i.test(row.what)) return html`<p>A program handed the letter to its provider. This is <b>submission</b> (${rfc(6409)}): <code>MAIL FROM</code> says who sends it, <code>RCPT TO</code> who gets it. These two, the envelope, decide where it goes, whatever the letter says in its header.</p>`;
  if (role(row.to) === "mda") return html`<p>The last MTA hands it over <b>LMTP</b> (${rfc(2033)}) to the host that keeps mailboxes. It answers for each recipient on its own, and “250” means that the letter lies in the mailbox, on disk.</p>`;
  return html`<p>One MTA passes it to the next over <b>SMTP</b> (${rfc(5321)}). It looked up in the DNS who takes mail for the domain, connected, and switched to TLS (${rfc(3207)}). With its “250” the next host takes the responsibility: from now on it must deliver the letter, or report why not. It also wrote a <code>Received</code> line on top of the letter.</p>`;
}

class Learn extends View {
  static properties = { step: {} };
  step = 0;
  /** @type {Journey | null} */
  #journey = null;
  #id = "";
  #stop = new AbortController();
  #read = throttled(async () => {
    if (!this.#id) return;
    this.#journey = /** @type {Journey} */ (await get(`api/v1/journeys/${part(this.#id)}`));
    this.requestUpdate();
  }, 200);

  connectedCallback() {
    super.connectedCallback();
    this.#stop = new AbortController();
    listen(["journey"], ({ detail }) => detail.journey === this.#id && void this.#read(), this.#stop.signal);
    this.#id = state.route.query.get("letter") ?? "";
    void this.#read();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#stop.abort();
  }

  async #send() {
    const id = await sendSampleLetter();
    if (!id) return;
    this.#id = id;
    go(this.#href(1));
    await this.#read();
  }

  /** @param {number} step */
  #href(step) {
    return href(step ? ["learn", String(step)] : ["learn"], { letter: this.#id });
  }

  render() {
    if (!this.step || !this.#id) {
      return html`<div class="learn"><h1>How does mail get there?</h1>
        <p>A letter goes from host to host, and each one says “250” only when it has stored it. Send one, and look at every station of its way.</p>
        <p><button class="primary" @click=${() => this.#send()}>Send a sample letter</button></p>
        <h2>Then try</h2><ul>
          <li><a href=${href(["world"])}>Switch a host off</a>, send a letter, and see it wait. Switch it on again: it arrives.</li>
          <li><a href=${href(["compose"], { to: `nobody@${Object.keys(state.world?.domains ?? {})[0] ?? "sina.test"}` })}>Write to somebody who does not exist</a>, and read the report.</li>
          <li><a href=${href(["faults"])}>Make a server answer 451</a>, as greylisting does.</li></ul></div>`;
    }
    const journey = this.#journey;
    if (!journey) return html`<div class="learn"><p class="soft waiting">The letter is on its way …</p></div>`;
    const { rows } = timelineOf(journey, state.hosts, Date.now());
    const last = rows.length + 1, row = rows[this.step - 1];
    return html`<div class="learn">${pathStrip(journey)}
      ${row ? html`<p class="soft">Step ${this.step} of ${rows.length}</p><h1><span class="sign ${row.tone}" aria-hidden="true">${row.sign}</span> ${row.to ? `${row.from} → ${row.to}` : row.from}</h1>
        ${explain(row)}
        <p class="soft">The answer: <code>${brief(row.reply)}</code>${row.took === null ? nothing : `, after ${duration(row.took)}`}. <a href=${href(["journey", this.#id], { step: String(this.step - 1) })}>What was said</a></p>`
        : html`<h1>${fateOfAll(journey.recipients).word === "delivered" ? "It arrived" : "It is on its way"}</h1><p>That is all of it: <a href=${href(["mail", this.#id])}>read the letter</a>, or look at <a href=${href(["journey", this.#id])}>its journey</a> as a whole.</p>`}
      <p class="buttons">${this.step > 1 ? html`<a class="button" href=${this.#href(this.step - 1)}>Back</a>` : nothing}${this.step < last ? html`<a class="button primary" href=${this.#href(this.step + 1)}>Next</a>` : html`<a class="button" href=${href(["learn"])}>From the beginning</a>`}</p></div>`;
  }
}

customElements.define("post-learn", Learn);
