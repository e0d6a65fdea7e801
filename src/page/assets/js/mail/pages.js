// The messages of a list, read in pieces as they come into sight, and read again when something changes.

import { get } from "../api.js";
/** @import { Summary, MessageList, JourneyHead, Fates } from "../types" */

const PIECE = 50;
/** Rows beyond those in sight that are read, too. */
const AHEAD = 25;
/** Requests while the reader scrolls are at least so many milliseconds apart. */
const PACE_MS = 80;
/** Pieces that are kept; beyond, those that were not looked at longest go. */
const MAX_PIECES = 40;

export class Pages {
  /** How many there are. */
  total = 0;
  isRead = false;
  /** @type {unknown} */
  error = null;
  /** @type {Map<number, Summary[]>} */
  #pieces = new Map();
  /** @type {Map<string, Fates>} */
  #fates = new Map();
  /** @type {Set<number>} */
  #stale = new Set();
  /** @type {Set<number>} */
  #asked = new Set();
  #generation = 0;
  /** @type {[number, number]} */
  #wanted = [0, 0];
  #timer = 0;
  #readAt = -Infinity;

  /** @param {{ words?: string, mailbox?: string, folder?: string }} which @param {() => void} changed */
  constructor({ words = "", mailbox = "", folder = "" }, changed) {
    this.words = words;
    this.place = { mailbox, folder };
    this.changed = changed;
  }

  /** @param {number} at @returns {Summary | undefined} */
  row(at) {
    return this.#pieces.get(Math.floor(at / PIECE))?.[at % PIECE];
  }

  /** @param {string} id */
  fates(id) {
    return this.#fates.get(id);
  }

  /** Every row that was read, by its place. */
  *rows() {
    for (const [piece, rows] of [...this.#pieces].sort(([one], [other]) => one - other)) {
      for (const [at, row] of rows.entries()) yield /** @type {[number, Summary]} */ ([piece * PIECE + at, row]);
    }
  }

  /** @param {string} id */
  placeOf(id) {
    for (const [at, row] of this.rows()) if (row.ID === id) return at;
    return -1;
  }

  /** Reads what is in sight and not there yet, without those that the reader scrolls past. @param {number} first @param {number} end */
  want(first, end) {
    this.#wanted = [first, end];
    if (this.#timer || !this.#missing().length) return;
    const wait = Math.max(0, this.#readAt + PACE_MS - performance.now());
    if (!wait) return this.#readMissing();
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      this.#readMissing();
    }, wait);
  }

  #readMissing() {
    const missing = this.#missing();
    if (missing.length) this.#readAt = performance.now();
    for (const piece of missing) void this.#read(piece);
  }

  /** The pieces that are wanted and neither there nor asked for. */
  #missing() {
    const [first, end] = this.#wanted;
    const from = this.isRead ? Math.max(0, first - AHEAD) : 0, last = Math.max(0, (this.isRead ? Math.min(end + AHEAD, this.total) : PIECE) - 1);
    const missing = [];
    for (let piece = Math.floor(from / PIECE); piece <= Math.floor(last / PIECE); piece++) {
      if ((!this.#pieces.has(piece) || this.#stale.has(piece)) && !this.#asked.has(piece)) missing.push(piece);
    }
    return missing;
  }

  /** All may be other than it was. What was read stays until its like arrives. */
  refresh() {
    this.#stale = new Set(this.#pieces.keys());
    this.#generation += 1;
    this.#asked.clear();
    this.changed();
  }

  /** @param {number} piece */
  async #read(piece) {
    const generation = this.#generation;
    this.#asked.add(piece);
    try {
      const query = { start: piece * PIECE, limit: PIECE, ...this.place };
      const tz = Intl.DateTimeFormat().resolvedOptions().timeZone;
      /** @type {MessageList} */
      const list = this.words ? await get("api/v1/search", { ...query, query: this.words, tz }) : await get("api/v1/messages", query);
      if (generation !== this.#generation) return;
      this.total = list.messages_count;
      this.isRead = true;
      this.error = null;
      this.#pieces.delete(piece);
      this.#pieces.set(piece, list.messages);
      this.#stale.delete(piece);
      this.#forget();
      this.changed();
      void this.readFates(list.messages.map((message) => message.ID)).catch(() => {});
    } catch (error) {
      this.error = error;
      this.isRead = true;
      this.changed();
    } finally {
      if (generation === this.#generation) this.#asked.delete(piece);
    }
  }

  /** @param {string[]} ids */
  async readFates(ids) {
    if (!ids.length) return;
    /** @type {{ journeys: JourneyHead[] }} */
    const { journeys } = await get("api/v1/journeys", { ids: ids.join(",") });
    for (const journey of journeys) this.#fates.set(journey.id, journey.recipients);
    this.changed();
  }

  /** @param {string} id @param {Partial<Summary>} patch */
  patch(id, patch) {
    for (const [, row] of this.rows()) if (row.ID === id) Object.assign(row, patch);
    this.changed();
  }

  #forget() {
    for (const piece of this.#pieces.keys()) {
      if (this.#pieces.size <= MAX_PIECES) return;
      for (const row of this.#pieces.get(piece) ?? []) this.#fates.delete(row.ID);
      this.#pieces.delete(piece);
    }
  }
}
