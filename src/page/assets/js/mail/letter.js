// A letter: who wrote to whom, what became of it, and its parts under tabs.

import { html, nothing } from "../../vendor/lit.js";
import { Refusal, bytes, get, part, reason, change } from "../api.js";
import { fateOf } from "../fate.js";
import { person, size, whole } from "../format.js";
import { icon } from "../icons.js";
import { onKeys } from "../keys.js";
import { listen } from "../live.js";
import { go, href, listQuery } from "../routes.js";
import { View } from "../store.js";
import { throttled } from "../world-state.js";
import { attempt, mark, moveTo, remove, retag } from "./actions.js";
import "./check.js";
import { headersTab } from "./headers.js";
import { htmlTab } from "./html.js";
import { linksTab } from "./links.js";
import { parse } from "./mime.js";
import { partsTab } from "./parts.js";
import { pathStrip } from "./path.js";
import { sourceTab, textTab } from "./text.js";
import { threadTab } from "./thread.js";
import { remoteContent } from "./remote.js";
/** @import { Letter, Journey, Summary } from "../types" */
/** @import { Part } from "./mime.js" */
/** @import { Remote } from "./remote.js" */

class LetterView extends View {
  static properties = { letterId: {}, tab: {} };
  letterId = "";
  tab = "";
  /** @type {Letter | null} */
  letter = null;
  /** @type {Journey | null} */
  journey = null;
  /** @type {Part | null} */
  structure = null;
  /** @type {Uint8Array} */
  source = new Uint8Array();
  /** @type {Remote | null} */
  remote = null;
  /** The messages of its thread, oldest first. @type {Summary[]} */
  thread = [];
  /** @type {unknown} */
  #error = null;
  /** The width of the sheet in pixels; 0 for all that there is. */
  width = 0;
  isDark = false;
  isRaw = false;
  #stop = new AbortController();
  #readJourney = throttled(async () => {
    const id = this.letterId;
    const journey = /** @type {Journey} */ (await get(`api/v1/journeys/${part(id)}`));
    if (id === this.letterId) this.show({ journey });
  }, 300);

  #readThread = throttled(async () => {
    const id = this.letterId;
    const { messages } = /** @type {{ messages: Summary[] }} */ (await get(`api/v1/message/${part(id)}/thread`));
    if (id === this.letterId) this.show({ thread: messages });
  }, 500);

  connectedCallback() {
    super.connectedCallback();
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    onKeys((key) => this.#key(key), signal);
    listen(["journey"], ({ detail }) => detail.journey === this.letterId && void this.#readJourney(), signal);
    listen(["reset"], () => void this.#readJourney(), signal);
    listen(["messages"], ({ detail: { kind, data } }) => {
      if (kind !== "changed") void this.#readThread();
      if (kind === "changed" && data.ID === this.letterId && this.letter) this.show({ letter: { ...this.letter, Read: data.Read, Tags: data.Tags } });
      if (kind === "deleted" && data.ID === this.letterId) this.#fail(new Refusal(404, ""));
    }, signal);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#stop.abort();
  }

  /** @param {Partial<LetterView>} patch */
  show(patch) {
    Object.assign(this, patch);
    this.requestUpdate();
  }

  /** @param {unknown} error */
  #fail(error) {
    this.#error = error;
    this.requestUpdate();
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (!changed.has("letterId")) return;
    this.letter = this.journey = this.structure = this.remote = null;
    this.thread = [];
    this.#error = null;
    void this.#read(this.letterId);
    void this.#readJourney();
  }

  /** @param {string} id */
  async #read(id) {
    try {
      const letter = /** @type {Letter} */ (await get(`api/v1/message/${part(id)}`));
      const source = await bytes(`api/v1/message/${part(id)}/raw`);
      if (id !== this.letterId) return;
      if (id === "latest") return go(href(["mail", letter.ID]), { replace: true });
      this.show({ letter, source, structure: parse(source), remote: remoteContent(letter.HTML) });
      void this.#readThread();
      this.querySelector("h1")?.scrollIntoView?.({ block: "nearest" });
    } catch (error) {
      if (id === this.letterId) this.#fail(error);
    }
  }

  /** @param {string} key */
  #key(key) {
    if (!this.letter) return false;
    if (key === "r" || key === "f") go(this.#compose(key === "r" ? "reply" : "forward"));
    else if (key === "o") go(href(["journey", this.letterId]));
    else if (key === "v") void moveTo([this.letterId], this.#place());
    else return false;
    return true;
  }

  /** @param {string} how */
  #compose(how) {
    return href(["compose"], { [how]: this.letterId });
  }

  /** @param {string} tab */
  #href(tab) {
    return href(["mail", this.letterId, tab].filter(Boolean), listQuery());
  }

  render() {
    const back = href(["mail"], listQuery());
    const backLink = html`<a class="button icon-only back" href=${back} aria-label="Back to the list" title="Back to the list (Escape)">${icon("back")}</a>`;
    if (this.#error) return html`<article class="letter"><div class="letter-head">${backLink}</div><div class="empty">${gone(this.#error)}</div></article>`;
    const { letter } = this;
    if (!letter) return html`<article class="letter" aria-busy="true"><div class="letter-head">${backLink}<p class="soft waiting">Reading …</p></div></article>`;
    const files = [...letter.Inline, ...letter.Attachments];
    const found = letter.Links.length + letter.Codes.length;
    /** @type {[string, string, number][]} */
    const tabs = [["html", "HTML", 0], ["text", "Text", 0], ["headers", "Headers", 0], ["parts", "Parts", files.length], ["source", "Source", 0], ["links", "Links, codes", found], ["check", "Check", 0], ["thread", "Thread", this.thread.length]];
    const shown = tabs.filter(([name]) => (!["html", "check"].includes(name) || letter.HTML) && (name !== "thread" || this.thread.length > 1 || this.tab === "thread"));
    const tab = shown.some(([name]) => name === this.tab) ? this.tab : shown[0][0];
    return html`<article class="letter">
      <header class="letter-head">
        <div class="letter-title">${backLink}<h1>${letter.Subject || html`<i>no subject</i>`}${letter.Tags.map((tag) => html`<span class="tag">${tag}</span>`)}</h1>
          <div class="letter-actions">
            <a class="button" href=${this.#compose("reply")} title="Reply (r)">${icon("reply")}<span class="name">Reply</span></a>
            <a class="button" href=${this.#compose("forward")} title="Forward (f)">${icon("forward")}<span class="name">Forward</span></a>
            <button title="Send it into the world again" @click=${() => this.#again()}>${icon("again")}<span class="name">Send again</span></button>
            <button class="icon-only" title="Unread (u)" aria-label="Mark as unread" @click=${() => mark([this.letterId], false)}>${icon("mail")}</button>
            <button class="icon-only" title="Move to a folder (v)" aria-label="Move to a folder" @click=${() => moveTo([this.letterId], this.#place())}>${icon("folder")}</button>
            <button class="icon-only" title="Tags" aria-label="Tags" @click=${() => this.#retag()}>${icon("tag")}</button>
            <button class="icon-only" title="Delete (#)" aria-label="Delete" @click=${() => this.#remove(back)}>${icon("trash")}</button>
          </div></div>
        ${people(letter)}
        ${envelope(letter)}
        ${this.journey ? pathStrip(this.journey) : html`<div class="path waiting"></div>`}
        ${this.journey ? fates(this.journey) : nothing}
      </header>
      <nav class="tabs" aria-label="Parts of the letter">${shown.map(([name, title, number]) => html`
        <a href=${this.#href(name)} aria-current=${name === tab ? "page" : "false"}>${title}${number ? html` <span class="soft">${number}</span>` : nothing}</a>`)}</nav>
      <div class="tab-content ${tab}">${this.#content(tab, letter)}</div>
    </article>`;
  }

  /** @param {string} tab @param {Letter} letter */
  #content(tab, letter) {
    switch (tab) {
      case "html":
        return htmlTab(this, letter);
      case "headers":
        return headersTab(this);
      case "parts":
        return partsTab(this, letter);
      case "source":
        return sourceTab(this.source, letter.ID);
      case "links":
        return linksTab(letter);
      case "check":
        return html`<post-html-check .letterId=${letter.ID}></post-html-check>`;
      case "thread":
        return threadTab(this.thread, letter.ID);
      default:
        return textTab(letter);
    }
  }

  /** Where the list is that it was opened from. */
  #place() {
    const { mailbox, folder } = listQuery();
    return { mailbox, folder };
  }

  async #again() {
    const { letter } = this;
    if (!letter) return;
    await attempt(() => change("POST", `api/v1/message/${part(letter.ID)}/release`, { To: letter.Envelope.To }), "Sent again, as a new message");
  }

  async #retag() {
    const tags = await retag([this.letterId], this.letter?.Tags ?? []);
    if (tags && this.letter) this.show({ letter: { ...this.letter, Tags: tags } });
  }

  /** @param {string} back */
  async #remove(back) {
    if (await remove([this.letterId], this.#place())) go(back, { replace: true });
  }
}

/** @param {Letter} letter */
function people(letter) {
  const list = (/** @type {string} */ title, /** @type {import("../types").Person[]} */ people) =>
    people.length ? html`<span class="soft">${title}</span> ${people.map((one, at) => html`${at ? ", " : ""}<b>${person(one)}</b>`)} ` : nothing;
  return html`<p class="people-line">${list("From", [letter.From])}${list("to", letter.To)}${list("Cc", letter.Cc)}${list("Reply-To", letter.ReplyTo)}
    <span class="soft">· ${whole(letter.Date)} · ${size(letter.Size)}${letter.Username ? ` · sent by ${letter.Username}` : ""}</span></p>`;
}

/** Envelope addresses, those marked that the header does not have. @param {Letter} letter */
function envelope({ Envelope, From, To, Cc, Bcc }) {
  const same = (/** @type {string} */ one, /** @type {string} */ other) => one.toLowerCase() === other.toLowerCase();
  const isNamed = (/** @type {string} */ address) => [...To, ...Cc].some((one) => same(one.Address, address));
  const sender = Envelope.From || "<>";
  const isSender = same(Envelope.From, From.Address);
  const many = Envelope.To.length > 12;
  return html`<p class="envelope"><span class="soft">Envelope</span>
    <span class="mono ${isSender ? "" : "differs"}" title=${isSender ? "" : "not the address of the From field"}>${sender}</span> <span class="soft">→</span>
    ${Envelope.To.slice(0, 12).map((address, at) => html`${at ? html`<span class="soft">,</span> ` : nothing}<span class="mono ${isNamed(address) ? "" : "differs"}">${address}</span>${
      isNamed(address) ? nothing : html` <span class="tag" title="no header field names this recipient">${Bcc.some((one) => same(one.Address, address)) ? "Bcc" : "not named"}</span>`} `)}
    ${many ? html`<span class="soft">and ${Envelope.To.length - 12} more</span>` : nothing}</p>`;
}

/** What became of it for each recipient, unless it simply arrived. @param {Journey} journey */
function fates(journey) {
  const each = Object.entries(journey.recipients).map(([address, fate]) => ({ address, fate: fateOf(fate), report: fate.status === "failed" ? fate.report : null }));
  const shown = each.filter(({ fate }) => fate.word !== "delivered");
  if (!shown.length) return nothing;
  return html`<ul class="fates">${shown.slice(0, 8).map(({ address, fate, report }) => html`
    <li><span class="sign ${fate.tone}" aria-hidden="true">${fate.sign}</span> <span class="mono">${address}</span> <span class=${fate.tone}>${fate.line}</span>
    ${report ? html` <a href=${href(["mail", report])}>report to the sender</a>` : nothing}</li>`)}
    ${shown.length > 8 ? html`<li class="soft">and ${shown.length - 8} more</li>` : nothing}</ul>`;
}

/** @param {unknown} error */
function gone(error) {
  if (error instanceof Refusal && (error.status === 404 || error.status === 400)) {
    return html`<h1>This message is not here</h1><p>It was deleted, or never was in this world.</p><p><a class="button" href=${href(["mail"])}>All mail</a></p>`;
  }
  return html`<h1>The letter could not be read</h1><p>${reason(error)}</p>`;
}

customElements.define("post-letter", LetterView);
