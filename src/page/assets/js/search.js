// One field for mail, hosts and commands: it suggests words, values, places, and what can be done.

import { html, nothing } from "../vendor/lit.js";
import { change, reason } from "./api.js";
import { icon } from "./icons.js";
import { go, href, listQuery } from "./routes.js";
import { View, say, state } from "./store.js";

/** @typedef {{ text: string, help: string, run?: () => void, fill?: string }} Suggestion */

/** The words of searches. */
const WORDS = [
  ["from:", "the sender"], ["to:", "a recipient"], ["subject:", "words of the subject"], ["is:unread", "not read yet"],
  ["is:read", "read"], ["is:tagged", "with any tag"], ["tag:", "with this tag"], ["has:attachments", "with files"],
  ["before:", "a day, as 2026-11-29"], ["after:", "a day, as 2026-11-29"], ["larger:", "than 1M"], ["smaller:", "than 10K"],
  ["cc:", ""], ["bcc:", ""], ["reply-to:", ""], ["addressed:", "anywhere among the addresses"], ["message-id:", ""],
  ["has:inline", "with pictures in the text"],
];
const PREFIXES = [...WORDS.map(([word]) => word.split(":")[0]), "in"];

/** @returns {Suggestion[]} */
function places() {
  const views = ["mail", "world", "queues", "sessions", "faults", "log", "learn", "compose"];
  return [
    ...views.map((view) => ({ text: `Go to ${view}`, help: "view", run: () => go(href([view])) })),
    ...state.hosts.map((host) => ({ text: host.name, help: `${host.role.toUpperCase()}, ${host.on ? "on" : "off"}`, run: () => go(href(["world", host.name])) })),
    ...state.hosts.filter((host) => host.role !== "mua").map((host) => ({
      text: `Switch ${host.name} ${host.on ? "off" : "on"}`, help: "command",
      run: () => void act(`api/v1/hosts/${host.name}/${host.on ? "off" : "on"}`, `${host.name} is ${host.on ? "off" : "on"}`),
    })),
    { text: "Try everything that waits now", help: "command", run: () => void act("api/v1/queue/flush?all=true", "all queues are tried now") },
  ];
}

/** @param {string} path @param {string} done */
async function act(path, done) {
  try {
    await change("POST", path);
    say(done);
  } catch (error) {
    say(reason(error));
  }
}

/** Values of the word that is being written. @param {string} word @returns {string[]} */
function values(word) {
  const name = word.split(":")[0].replace(/^[-!]/, "");
  if (name === "tag") return Object.keys(state.tags).map((tag) => (tag.includes(" ") ? `tag:"${tag}"` : `tag:${tag}`));
  if (["from", "to", "addressed", "cc", "bcc"].includes(name)) {
    const accounts = new Set([...(state.world?.users ?? []), ...state.mailboxes.map((one) => one.account)]);
    return [...accounts].map((account) => `${name}:${account}`);
  }
  return [];
}

/** A word of the form `name:value` that means nothing. @param {string} text */
function unknownWord(text) {
  const words = text.match(/(?:[^\s"]|"[^"]*"?)+/g) ?? [];
  return words.find((word) => {
    const name = /^[-!]?([a-z-]+):/i.exec(word)?.[1]?.toLowerCase();
    return name && !PREFIXES.includes(name) && !/^https?$/.test(name);
  });
}

class Search extends View {
  static properties = { text: { state: true }, isOpen: { state: true }, chosen: { state: true } };
  text = "";
  isOpen = false;
  chosen = -1;
  #shownFor = "";

  willUpdate() {
    const words = state.route.query.get("q") ?? "";
    if (words !== this.#shownFor) {
      this.#shownFor = words;
      this.text = words;
    }
  }

  /** @returns {Suggestion[]} */
  #suggestions() {
    const start = this.text.search(/\S*$/), last = this.text.slice(start).toLowerCase(), before = this.text.slice(0, start);
    const bare = last.replace(/^[-!]/, "");
    const fitting = bare.includes(":") ? values(bare).filter((value) => value.toLowerCase().startsWith(bare)) : [];
    /** @type {Suggestion[]} */
    const words = [
      ...fitting.map((value) => ({ text: value, help: "", fill: `${before}${value} ` })),
      ...WORDS.filter(([word]) => word.startsWith(bare) && word !== bare).map(([word, help]) => ({ text: word, help, fill: before + word })),
    ];
    const typed = this.text.trim().toLowerCase();
    const found = typed ? places().filter((place) => place.text.toLowerCase().includes(typed)) : [];
    return [...found.slice(0, 6), ...words].slice(0, 10);
  }

  /** @param {Suggestion} suggestion */
  #take(suggestion) {
    if (suggestion.fill !== undefined) {
      this.text = suggestion.fill;
      this.chosen = -1;
      this.querySelector("input")?.focus();
      return;
    }
    this.text = "";
    this.#leave();
    suggestion.run?.();
  }

  #leave() {
    this.isOpen = false;
    this.chosen = -1;
    this.querySelector("input")?.blur();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const list = this.#suggestions();
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.chosen = Math.max(-1, Math.min(list.length - 1, this.chosen + step));
    } else if (event.key === "Tab" && this.chosen < 0 && this.text && list[0]?.fill !== undefined && !event.shiftKey) {
      event.preventDefault();
      this.#take(list[0]);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (list[this.chosen]) return this.#take(list[this.chosen]);
      this.#leave();
      const place = state.route.view === "mail" ? listQuery() : {};
      go(href(["mail"], { ...place, q: this.text.trim() }));
    } else if (event.key === "Escape") {
      if (this.text) this.text = "";
      else this.#leave();
      if (state.route.query.get("q")) go(href(["mail"]));
    }
  }

  render() {
    const list = this.isOpen ? this.#suggestions() : [];
    const wrong = unknownWord(this.text);
    return html`<form class="search" role="search" @submit=${(/** @type {Event} */ event) => event.preventDefault()}>
      ${icon("search")}
      <input type="text" role="combobox" aria-label="Search mail, hosts and commands" placeholder="subject:welcome to:ann@ is:unread"
        aria-expanded=${list.length > 0} aria-controls="suggestions" aria-autocomplete="list" autocomplete="off" spellcheck="false"
        aria-activedescendant=${this.chosen >= 0 ? `suggestion-${this.chosen}` : nothing}
        .value=${this.text}
        @input=${(/** @type {Event} */ event) => { this.text = /** @type {HTMLInputElement} */ (event.target).value; this.chosen = -1; this.isOpen = true; }}
        @focus=${() => (this.isOpen = true)} @blur=${() => setTimeout(() => (this.isOpen = this.contains(document.activeElement)), 150)}
        @keydown=${this.#key}>
      ${this.text ? nothing : html`<kbd aria-hidden="true">/</kbd>`}
      <div class="suggestions" ?hidden=${!list.length && !(wrong && this.isOpen)}>
        ${wrong ? html`<p class="wrong" role="alert">There is no search word “${wrong.split(":")[0]}:”, so it is searched as text.</p>` : nothing}
        <ul id="suggestions" role="listbox" aria-label="Suggestions">
          ${list.map((one, at) => html`<li id="suggestion-${at}" role="option" aria-selected=${at === this.chosen} @mousedown=${(/** @type {Event} */ event) => { event.preventDefault(); this.#take(one); }}>
            <span class=${one.fill === undefined ? "" : "mono"}>${one.text}</span><span class="soft">${one.help}</span></li>`)}
        </ul>
      </div>
    </form>`;
  }
}

customElements.define("post-search", Search);

