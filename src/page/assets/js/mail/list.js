// The list of messages: only the rows in sight are in the document, however many there are.

import { html, nothing, repeat } from "../../vendor/lit.js";
import { styles } from "../styles.js";
import { Refusal, reason } from "../api.js";
import { fateOfAll } from "../fate.js";
import { count, plural, when, who, whole } from "../format.js";
import { icon } from "../icons.js";
import { onKeys } from "../keys.js";
import { listen } from "../live.js";
import { go, href } from "../routes.js";
import { View } from "../store.js";
import { throttled } from "../world-state.js";
import { mark, moveTo, remove, retag } from "./actions.js";
import { importFiles } from "./import.js";
import { mailboxField } from "./mailboxes.js";
import { Pages } from "./pages.js";
/** @import { Summary } from "../types" */

/** The height of a row in CSS pixels, as in mail.css. */
const ROW = 80;
/** Rows beyond the edge, so that scrolling shows no gap. */
const BEYOND = 6;
/** A row whose number has the same rest by this is drawn into the same element; more than are ever drawn at once. */
const SLOTS = 128;

class List extends View {
  static properties = { words: {}, mailbox: {}, folder: {}, openId: {}, isOver: { state: true } };
  words = "";
  mailbox = "";
  folder = "";
  /** Whether files are held over the list. */
  isOver = false;
  openId = "";
  /** @type {Pages} */
  pages = new Pages({}, () => this.requestUpdate());
  /** @type {Set<string>} */
  #selected = new Set();
  #cursor = -1;
  #top = 0;
  #height = 900;
  #stop = new AbortController();
  #resized = new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.height === this.#height) return;
    this.#height = contentRect.height;
    this.requestUpdate();
  });
  /** @type {Set<string>} */
  #moved = new Set();
  #refresh = throttled(async () => this.pages.refresh(), 400);
  #refreshFates = throttled(async () => {
    const ids = [...this.#moved];
    this.#moved.clear();
    await this.pages.readFates(ids);
  }, 400);

  connectedCallback() {
    super.connectedCallback();
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    const rows = this.querySelector(".rows");
    if (rows) this.#resized.observe(rows);
    listen(["messages", "reset"], () => void this.#refresh(), signal);
    listen(["journey"], ({ detail }) => {
      if (this.pages.placeOf(detail.journey) < 0) return;
      this.#moved.add(detail.journey);
      void this.#refreshFates();
    }, signal);
    onKeys((key) => this.#key(key), signal);
    signal.addEventListener("abort", () => this.#resized.disconnect());
  }

  firstUpdated() {
    this.#resized.observe(/** @type {HTMLElement} */ (this.querySelector(".rows")));
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#stop.abort();
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (!["words", "mailbox", "folder"].some((name) => changed.has(name))) return;
    const isFirst = !this.pages.isRead;
    this.pages = new Pages({ words: this.words, mailbox: this.mailbox, folder: this.folder }, () => this.requestUpdate());
    this.#selected.clear();
    this.#cursor = -1;
    if (!isFirst) this.querySelector(".rows")?.scrollTo(0, 0);
    this.#top = 0;
  }

  /** @param {Event} event */
  #scrolled({ currentTarget }) {
    this.#top = /** @type {HTMLElement} */ (currentTarget).scrollTop;
    this.requestUpdate();
  }

  /** @param {string} key */
  #key(key) {
    const current = this.pages.row(this.#cursor);
    const ids = this.#selected.size ? [...this.#selected] : current ? [current.ID] : this.openId ? [this.openId] : [];
    switch (key) {
      case "j":
      case "k":
        this.#move(key === "j" ? 1 : -1);
        return true;
      case "Enter":
        if (!current || document.activeElement?.closest("a, button")) return false;
        go(this.#href(current.ID));
        return true;
      case "x":
        if (current) this.#select(current.ID, !this.#selected.has(current.ID));
        return true;
      case "u":
        if (ids.length) void mark(ids, !this.#isRead(ids[0]));
        return true;
      case "#":
        if (ids.length) void this.#remove(ids);
        return true;
      case "v":
        if (ids.length) void this.#moveTo(ids);
        return true;
      case ".":
        if (!this.#selected.size && current) this.#select(current.ID, true);
        void this.updateComplete.then(() => /** @type {HTMLElement | null} */ (this.querySelector(".actions button"))?.focus());
        return true;
      case "Escape":
        if (this.#selected.size) this.#clear();
        else if (this.openId) go(this.#href(""));
        return true;
    }
    return false;
  }

  /** @param {string} id */
  #isRead(id) {
    return this.pages.row(this.pages.placeOf(id))?.Read ?? true;
  }

  /** @param {number} step */
  #move(step) {
    const from = this.#cursor >= 0 ? this.#cursor : this.openId ? this.pages.placeOf(this.openId) : -1;
    this.#cursor = Math.max(0, Math.min(this.pages.total - 1, from + step));
    const rows = this.querySelector(".rows"), top = this.#cursor * ROW;
    if (rows && top < rows.scrollTop) rows.scrollTop = top;
    if (rows && top + ROW > rows.scrollTop + rows.clientHeight) rows.scrollTop = top + ROW - rows.clientHeight;
    this.requestUpdate();
    void this.updateComplete.then(() => /** @type {HTMLElement | null} */ (this.querySelector(".row.cursor .open"))?.focus({ preventScroll: true }));
  }

  /** @param {string} id @param {boolean} isSelected */
  #select(id, isSelected) {
    if (isSelected) this.#selected.add(id);
    else this.#selected.delete(id);
    this.requestUpdate();
  }

  #clear() {
    this.#selected.clear();
    this.requestUpdate();
  }

  /** @param {string[]} ids */
  async #remove(ids) {
    if (!(await remove(ids, this.#place()))) return;
    this.#selected.clear();
    if (ids.includes(this.openId)) go(this.#href(""), { replace: true });
  }

  /** @param {string[]} ids */
  async #moveTo(ids) {
    if (await moveTo(ids, this.#place())) this.#clear();
  }

  #place() {
    return { mailbox: this.mailbox || undefined, folder: this.folder || undefined };
  }

  /** @param {string} id */
  #href(id) {
    return href(id ? ["mail", id] : ["mail"], { q: this.words, ...this.#place() });
  }

  /** Files that are dropped are imported. @param {DragEvent} event */
  #dragged(event) {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    this.isOver = event.type === "dragover";
    if (event.type === "drop") void importFiles([...event.dataTransfer.files], this.#place());
  }

  render() {
    const { pages } = this;
    const first = Math.max(0, Math.floor(this.#top / ROW) - BEYOND);
    const end = Math.min(pages.total, Math.ceil((this.#top + this.#height) / ROW) + BEYOND, first + SLOTS);
    pages.want(first, Math.max(end, first + 1));
    const places = Array.from({ length: Math.max(0, end - first) }, (_, at) => first + at);
    return html`${this.#selected.size ? this.#bar() : this.#head()}
      <div class="rows ${this.isOver ? "is-over" : ""}" @scroll=${this.#scrolled} @dragover=${this.#dragged} @dragleave=${this.#dragged} @drop=${this.#dragged}>
        ${pages.error ? html`<div class="empty"><h2>The mail could not be read</h2><p>${explain(pages.error)}</p><p><button @click=${() => pages.refresh()}>Try again</button></p></div>`
          : pages.isRead && !pages.total ? this.#empty() : nothing}
        <ol class="sheet" aria-label="Messages" ${styles({ height: `${pages.total * ROW}px` })} ?hidden=${!pages.total}>
          ${repeat(places, (at) => at % SLOTS, (at) => this.#row(at, pages.row(at)))}
        </ol>
      </div>`;
  }

  #head() {
    const { pages } = this;
    const place = [this.folder, this.mailbox].filter(Boolean).join(" of ");
    const title = this.words ? `Found in ${place || "all mail"}` : place || "All mail";
    return html`<div class="list-head">
      <input type="checkbox" aria-label="Select all that is shown" .checked=${false} @change=${() => this.#selectShown()} ?disabled=${!pages.total}>
      <h1 title=${title}>${title}<span class="soft">, newest first</span></h1>${mailboxField()}
      <label class="button icon-only import" title="Import .eml files; they can be dropped on the list, too">${icon("import")}<span class="hidden">Import .eml files</span>
        <input class="hidden" type="file" multiple accept=".eml,message/rfc822" @change=${(/** @type {Event} */ event) => this.#import(event)}></label>
      <span class="soft numbers">${pages.isRead ? count(pages.total) : "…"}</span></div>`;
  }

  /** @param {Event} event */
  async #import({ target }) {
    const field = /** @type {HTMLInputElement} */ (target);
    await importFiles([...(field.files ?? [])], this.#place());
    field.value = "";
  }

  #selectShown() {
    for (const [, row] of this.pages.rows()) this.#selected.add(row.ID);
    this.requestUpdate();
  }

  #bar() {
    const ids = [...this.#selected];
    const tags = this.pages.row(this.pages.placeOf(ids[0]))?.Tags ?? [];
    return html`<div class="list-head actions" role="toolbar" aria-label="Selected messages">
      <input type="checkbox" aria-label="Select none" .checked=${true} @change=${() => this.#clear()}>
      <span>${count(ids.length)}</span>
      <button @click=${() => mark(ids, true)}>Read</button><button @click=${() => mark(ids, false)}>Unread</button>
      <button @click=${() => retag(ids, tags)}>Tag</button><button title="Move (v)" @click=${() => this.#moveTo(ids)}>Move</button><button class="danger" @click=${() => this.#remove(ids)}>Delete</button></div>`;
  }

  #empty() {
    if (this.words) return html`<div class="empty"><h2>Nothing found</h2><p>No message matches <code>${this.words}</code>.</p><p><a class="button" href=${href(["mail"])}>All mail</a></p></div>`;
    if (this.folder) return html`<div class="empty"><h2>${this.folder} of ${this.mailbox} is empty</h2><p>Mail can be moved here, and .eml files dropped.</p></div>`;
    if (this.mailbox) return html`<div class="empty"><h2>No mail for ${this.mailbox}</h2></div>`;
    return html`<post-empty></post-empty>`;
  }

  /** @param {number} at @param {Summary | undefined} row */
  #row(at, row) {
    const place = styles({ transform: `translateY(${at * ROW}px)` });
    if (!row) return html`<li class="row loading" ${place} aria-hidden="true"><span></span><div class="open"><i></i><i></i><i></i></div></li>`;
    const fate = fateOfAll(this.pages.fates(row.ID));
    const isSelected = this.#selected.has(row.ID), isOpen = row.ID === this.openId;
    const classes = ["row", row.Read ? "" : "unread", isOpen ? "is-open" : "", isSelected ? "is-selected" : "", at === this.#cursor ? "cursor" : ""].join(" ");
    return html`<li class=${classes} ${place} aria-setsize=${this.pages.total} aria-posinset=${at + 1}>
      <span class="choose"><span class="sign ${fate.tone}" role="img" aria-label=${fate.word}>${fate.sign}</span>
        <input type="checkbox" aria-label="Select: ${row.Subject || "no subject"}" .checked=${isSelected} @change=${(/** @type {Event} */ event) => this.#select(row.ID, /** @type {HTMLInputElement} */ (event.target).checked)}></span>
      <a class="open" href=${this.#href(row.ID)} aria-current=${isOpen ? "true" : "false"} @click=${() => { this.#cursor = at; }}>
        <span class="people"><span class="names">${who(row.From)} → ${recipients(row)}</span><time datetime=${row.Created} title=${whole(row.Created)}>${when(row.Created)}</time></span>
        <span class="subject"><span>${row.Subject || html`<i>no subject</i>`}</span>${row.Tags.map((tag) => html`<span class="tag">${tag}</span>`)}${row.Attachments ? html`<span title=${plural(row.Attachments, "file")}>${icon("clip")}</span>` : nothing}</span>
        <span class="snippet ${fate.line && fate.tone !== "ok" ? fate.tone : ""}">${fate.line && fate.tone !== "ok" ? fate.line : row.Snippet}</span>
      </a></li>`;
  }
}

/** @param {Summary} row */
function recipients({ Envelope, To }) {
  if (Envelope.To.length > 3) return plural(Envelope.To.length, "recipient");
  return Envelope.To.join(", ") || To.map(who).join(", ") || "nobody";
}

/** @param {unknown} error */
function explain(error) {
  if (error instanceof Refusal && error.status === 400) return `The search was not understood: ${error.message}`;
  return `${reason(error)}. Is the world still running?`;
}

customElements.define("post-list", List);
