// Writing a letter: a new one, a reply, or one that is passed on. It enters the world as any user's would.

import { html, nothing } from "../vendor/lit.js";
import { change, get, part, reason } from "./api.js";
import { person, whole } from "./format.js";
import { icon } from "./icons.js";
import { go, href } from "./routes.js";
import { View, say, state } from "./store.js";
/** @import { Letter, Person } from "./types" */

/** `Ann <ann@x>, bob@y` as the interface wants it. @param {string} text @returns {{ Name: string, Email: string }[]} */
function people(text) {
  return (text.match(/(?:"[^"]*"|[^,;])+/g) ?? []).map((one) => {
    const [, name = "", address = one] = /^\s*(.*?)\s*<([^>]*)>\s*$/.exec(one) ?? [];
    return { Name: name.replace(/^"|"$/g, ""), Email: address.trim() };
  }).filter((one) => one.Email);
}

/** @param {string} text */
function quoted(text) {
  return text.replace(/\s+$/, "").split("\n").map((line) => (line.startsWith(">") ? `>${line}` : `> ${line}`)).join("\n");
}

/** @param {File} file */
async function readFile(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return { Filename: file.name, ContentType: file.type || "application/octet-stream", Content: btoa(text) };
}

class Compose extends View {
  static properties = { isReady: { state: true }, isSending: { state: true } };
  isReady = false;
  isSending = false;
  #error = "";
  #letter = { from: "", to: "", cc: "", bcc: "", subject: "", text: "", html: "" };
  /** @type {Record<string, string>} */
  #headers = {};
  /** @type {File[]} */
  #files = [];

  connectedCallback() {
    super.connectedCallback();
    void this.#fill();
  }

  async #fill() {
    const { query } = state.route;
    const reply = query.get("reply"), forward = query.get("forward");
    if (reply || forward) {
      try {
        const letter = /** @type {Letter} */ (await get(`api/v1/message/${part(reply ?? forward ?? "")}`));
        if (reply) this.#reply(letter);
        else this.#forward(letter);
      } catch (error) {
        this.#error = `The letter could not be read: ${reason(error)}`;
      }
    } else {
      this.#letter.to = query.get("to") ?? "";
    }
    this.isReady = true;
    await this.updateComplete;
    /** @type {HTMLElement | null} */ (this.querySelector(reply ? "textarea" : this.#letter.from ? "[name=to]" : "[name=from]"))?.focus();
  }

  /** @param {Letter} letter */
  #reply(letter) {
    const to = letter.ReplyTo.length ? letter.ReplyTo : [letter.From];
    Object.assign(this.#letter, {
      from: letter.Envelope.To[0] ?? "", to: to.map(person).join(", "), subject: /^re:/i.test(letter.Subject) ? letter.Subject : `Re: ${letter.Subject}`,
      text: `\n\n${person(letter.From)} wrote on ${whole(letter.Date)}:\n${quoted(letter.Text)}\n`,
    });
    if (letter.MessageID) this.#headers = { "In-Reply-To": `<${letter.MessageID}>`, References: `<${letter.MessageID}>` };
  }

  /** @param {Letter} letter */
  #forward(letter) {
    const head = (/** @type {string} */ name, /** @type {Person[]} */ list) => (list.length ? `${name}: ${list.map(person).join(", ")}\n` : "");
    Object.assign(this.#letter, {
      from: letter.Envelope.To[0] ?? "", subject: /^fwd?:/i.test(letter.Subject) ? letter.Subject : `Fwd: ${letter.Subject}`,
      text: `\n\n-------- Forwarded message --------\n${head("From", [letter.From])}${head("To", letter.To)}Date: ${whole(letter.Date)}\nSubject: ${letter.Subject}\n\n${letter.Text}`,
    });
  }

  /** @param {Event} event */
  async #send(event) {
    event.preventDefault();
    const letter = this.#letter;
    const [from] = people(letter.from);
    if (!from || ![letter.to, letter.cc, letter.bcc].some((list) => people(list).length)) return this.#fail("A letter needs a sender and a recipient.");
    this.isSending = true;
    try {
      const answer = await change("POST", "api/v1/send", {
        From: from, To: people(letter.to), Cc: people(letter.cc), Bcc: people(letter.bcc).map((one) => one.Email), Subject: letter.subject,
        Text: letter.text, HTML: letter.html, Headers: this.#headers, Attachments: await Promise.all(this.#files.map(readFile)),
      });
      say("Sent");
      go(href(["mail", (await answer.json()).ID]));
    } catch (error) {
      this.#fail(`It was not sent: ${reason(error)}`);
    }
    this.isSending = false;
  }

  /** @param {string} text */
  #fail(text) {
    this.#error = text;
    this.requestUpdate();
  }

  render() {
    if (!this.isReady) return html`<div class="compose"><p class="soft waiting">Reading …</p></div>`;
    const accounts = [...new Set([...(state.world?.users ?? []), ...state.mailboxes.map((one) => one.account)])];
    const letter = this.#letter;
    const field = (/** @type {"from" | "to" | "cc" | "bcc" | "subject"} */ name, /** @type {string} */ title, /** @type {boolean} */ isAddress = true) => html`
      <label><span>${title}</span><input name=${name} .value=${letter[name]} autocomplete="off" list=${isAddress ? "accounts" : nothing} @input=${(/** @type {Event} */ event) => (letter[name] = /** @type {HTMLInputElement} */ (event.target).value)}></label>`;
    return html`<form class="compose" @submit=${this.#send} @keydown=${(/** @type {KeyboardEvent} */ event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && this.#send(event)}>
      <h1>${state.route.query.get("reply") ? "Reply" : state.route.query.get("forward") ? "Forward" : "New letter"}</h1>
      ${this.#error ? html`<p class="wrong" role="alert">${this.#error}</p>` : nothing}
      <datalist id="accounts">${accounts.map((account) => html`<option value=${account}></option>`)}</datalist>
      ${field("from", "From")}${field("to", "To")}${field("cc", "Cc")}${field("bcc", "Bcc")}${field("subject", "Subject", false)}
      <label class="body"><span>Text</span><textarea name="text" rows="14" .value=${letter.text} @input=${(/** @type {Event} */ event) => (letter.text = /** @type {HTMLTextAreaElement} */ (event.target).value)}></textarea></label>
      <details><summary>HTML</summary><label class="body"><span class="hidden">HTML</span><textarea name="html" class="mono" rows="8" .value=${letter.html} @input=${(/** @type {Event} */ event) => (letter.html = /** @type {HTMLTextAreaElement} */ (event.target).value)}></textarea></label></details>
      <label class="files-field">${icon("clip")}<span>Files</span><input type="file" multiple @change=${(/** @type {Event} */ event) => (this.#files = [.../** @type {HTMLInputElement} */ (event.target).files ?? []])}></label>
      <p class="buttons"><button class="primary" ?disabled=${this.isSending}>${this.isSending ? "Sending …" : "Send"}</button><span class="soft">Ctrl+Enter</span></p>
    </form>`;
  }
}

customElements.define("post-compose", Compose);
