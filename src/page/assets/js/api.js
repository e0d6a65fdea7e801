// Requests to the interface, which is documented in docs/http.md.

import { address } from "./routes.js";
import { setBusy } from "./store.js";

/** What the server answered instead of what was asked for. */
export class Refusal extends Error {
  /** @param {number} status @param {string} text */
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/**
 * Answers in the place of a server, where there is none.
 * @type {((path: string) => unknown) | null}
 */
let source = null;

/** @param {(path: string) => unknown} answers what is at a path of the interface, if anything */
export function answerFrom(answers) {
  source = answers;
}

let open = 0;

/** @param {number} change */
function busy(change) {
  const was = open > 0;
  open += change;
  if (was !== open > 0) setBusy(open > 0);
}

/**
 * @param {string} method
 * @param {string} path
 * @param {{ query?: Record<string, string | number | undefined>, body?: unknown, type?: string, signal?: AbortSignal }} options a body
 *   without a type is sent as JSON
 */
async function request(method, path, { query = {}, body, type, signal }) {
  if (source) return sourced(source(path));
  const url = new URL(address(path));
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") url.searchParams.set(name, String(value));
  }
  busy(1);
  try {
    const headers = body === undefined ? undefined : { "Content-Type": type ?? "application/json" };
    const bytes = type ? /** @type {BodyInit} */ (body) : body === undefined ? undefined : JSON.stringify(body);
    const response = await fetch(url, { method, headers, body: bytes, signal });
    if (!response.ok) throw new Refusal(response.status, explain(await response.text(), response));
    return response;
  } finally {
    busy(-1);
  }
}

/** @param {unknown} answer */
function sourced(answer) {
  if (answer === undefined) throw new Refusal(404, "This report does not have it.");
  return Response.json(answer);
}

/** @param {string} text @param {Response} response */
function explain(text, response) {
  try {
    const answer = JSON.parse(text);
    return String(answer.detail ?? answer.error ?? answer.Error ?? text);
  } catch {
    return text.trim() || `the server answered ${response.status}`;
  }
}

/**
 * @template T
 * @param {string} path
 * @param {Record<string, string | number | undefined>} [query]
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
export async function get(path, query, signal) {
  return (await request("GET", path, { query, signal })).json();
}

/** The bytes of an answer. @param {string} path @param {Record<string, string | number | undefined>} [query] */
export async function bytes(path, query) {
  return new Uint8Array(await (await request("GET", path, { query })).arrayBuffer());
}

/**
 * @param {"POST" | "PUT" | "DELETE"} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {Record<string, string | number | undefined>} [query]
 */
export async function change(method, path, body, query) {
  return request(method, path, { body, query });
}

/** Sends a file as it is. @param {string} path @param {Blob} file @param {string} type @param {Record<string, string | undefined>} query */
export async function upload(path, file, type, query) {
  return request("POST", path, { query, body: file, type });
}

/** The part of an address for one thing. @param {string} text */
export const part = encodeURIComponent;

/** What to tell the reader of an error. @param {unknown} error */
export function reason(error) {
  if (error instanceof Refusal) return error.message;
  if (error instanceof TypeError) return "the server cannot be reached";
  return error instanceof Error ? error.message : String(error);
}
