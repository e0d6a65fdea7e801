// The structure of a message as its bytes have it: header fields, parts, encodings. RFC 5322, RFC 2045 to 2047, RFC 2231.

/** @typedef {{ name: string, raw: string, value: string }} Field */
/**
 * @typedef {object} Part
 * @property {string} id as in the interface: 1, 1.2
 * @property {Field[]} fields
 * @property {string} type
 * @property {Record<string, string>} parameters of the type
 * @property {string} encoding
 * @property {string} name of the file
 * @property {string} disposition
 * @property {Uint8Array} body as it stands in the message
 * @property {Part[]} children
 */

const MAX_DEPTH = 50;
const MAX_PARTS = 1000;

/** One character for each byte. @param {Uint8Array} bytes */
function latin1(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return text;
}

/** @param {string} text */
function toBytes(text) {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

/** @param {Uint8Array} bytes @param {string} charset */
export function decodeText(bytes, charset) {
  const name = charset.toLowerCase().trim();
  try {
    if (name && name !== "us-ascii") return new TextDecoder(name).decode(bytes);
  } catch { /* an unknown charset is read as others are */ }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

/** @param {string} text @returns {Uint8Array} */
function fromBase64(text) {
  const clean = text.replace(/[^A-Za-z0-9+/]/g, "");
  try {
    return toBytes(atob(clean.slice(0, clean.length - (clean.length % 4 === 1 ? 1 : 0))));
  } catch {
    return new Uint8Array();
  }
}

/** @param {string} text @param {boolean} isWord of a header field, where `_` is a space */
function fromQuoted(text, isWord) {
  const soft = isWord ? text.replace(/_/g, " ") : text.replace(/[ \t]+(?=\r?\n|$)/g, "").replace(/=\r?\n/g, "");
  return toBytes(soft.replace(/=([0-9A-Fa-f]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))));
}

/** A field's value for people: encoded words decoded, raw octets read. RFC 2047 §6.2. @param {string} raw */
export function decodeWords(raw) {
  const joined = raw.replace(/(=\?[^?\s]+\?[bq]\?[^?\s]*\?=)\s+(?==\?[^?\s]+\?[bq]\?)/gi, "$1");
  const pieces = joined.split(/(=\?[^?\s]+\?[bq]\?[^?]*\?=)/i);
  return pieces.map((piece) => {
    const word = /^=\?([^?*\s]+)(?:\*[^?]*)?\?([bq])\?([^?]*)\?=$/i.exec(piece);
    if (!word) return decodeText(toBytes(piece), "");
    const bytes = word[2].toLowerCase() === "b" ? fromBase64(word[3]) : fromQuoted(word[3], true);
    return decodeText(bytes, word[1]);
  }).join("");
}

/** @param {string} text @returns {Field[]} */
function readFields(text) {
  /** @type {Field[]} */
  const fields = [];
  for (const line of text.split(/\r?\n(?![ \t])/)) {
    const at = line.indexOf(":");
    if (at <= 0) continue;
    const raw = line.slice(at + 1).replace(/^[ \t]/, "");
    fields.push({ name: line.slice(0, at).trim(), raw: decodeText(toBytes(raw), ""), value: decodeWords(raw.replace(/\r?\n[ \t]+/g, " ").trim()) });
  }
  return fields;
}

/** A value with parameters, as of Content-Type. @param {string} text */
function readParameters(text) {
  const [first = ""] = text.split(";");
  /** @type {Record<string, string>} */
  const parameters = {};
  for (const [, name, quoted, plain] of text.matchAll(/;\s*([^\s=;]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]*))/g)) {
    parameters[name.toLowerCase()] = decodeWords((quoted ?? plain ?? "").replace(/\\(.)/g, "$1"));
  }
  for (const name of ["name", "filename"]) parameters[name] = extended(parameters, name) ?? parameters[name] ?? "";
  return { value: first.trim().toLowerCase(), parameters };
}

/** RFC 2231: `name*0*=utf-8''a%20b`. @param {Record<string, string>} parameters @param {string} name */
function extended(parameters, name) {
  const single = parameters[`${name}*`];
  let text = single ?? "";
  for (let at = 0; single === undefined; at++) {
    const piece = parameters[`${name}*${at}*`] ?? parameters[`${name}*${at}`];
    if (piece === undefined) break;
    text += piece;
  }
  if (!text) return undefined;
  const [, charset, rest] = /^([^']*)'[^']*'(.*)$/s.exec(text) ?? [null, "", text];
  return decodeText(toBytes(rest.replace(/%([0-9A-Fa-f]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)))), charset);
}

/** @param {Uint8Array} bytes @returns {Part} */
export function parse(bytes) {
  let left = MAX_PARTS;
  return read(latin1(bytes), "", 0);

  /** @param {string} text @param {string} id @param {number} depth @returns {Part} */
  function read(text, id, depth) {
    const end = /\r?\n\r?\n/.exec(text.startsWith("\n") || text.startsWith("\r\n") ? `\n${text}` : text);
    const isBare = text.startsWith("\n") || text.startsWith("\r\n");
    const head = isBare ? "" : end ? text.slice(0, end.index) : text;
    const body = isBare ? text.replace(/^\r?\n/, "") : end ? text.slice(end.index + end[0].length) : "";
    const fields = readFields(head);
    const field = (/** @type {string} */ name) => fields.find((one) => one.name.toLowerCase() === name)?.raw.replace(/\r?\n[ \t]+/g, " ") ?? "";
    const type = readParameters(field("content-type")), disposition = readParameters(field("content-disposition"));
    /** @type {Part} */
    const part = {
      id: id || "0", fields, type: type.value || "text/plain", parameters: type.parameters, encoding: field("content-transfer-encoding").trim().toLowerCase(),
      name: disposition.parameters.filename || type.parameters.name || "", disposition: disposition.value, body: toBytes(body), children: [],
    };
    const { boundary } = type.parameters;
    if (part.type.startsWith("multipart/") && boundary && depth < MAX_DEPTH) {
      for (const [at, piece] of pieces(body, boundary).entries()) {
        if (left-- <= 0) break;
        part.children.push(read(piece, id ? `${id}.${at + 1}` : String(at + 1), depth + 1));
      }
    }
    return part;
  }
}

/** The pieces between the boundaries. RFC 2046 §5.1.1. @param {string} body @param {string} boundary */
function pieces(body, boundary) {
  const line = new RegExp(`(?:^|\\r?\\n)--${boundary.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}(--)?[ \\t]*(?=\\r?\\n|$)`, "g");
  const found = [];
  let start = -1;
  for (const match of body.matchAll(line)) {
    if (start >= 0) found.push(body.slice(start, match.index).replace(/^\r?\n/, ""));
    start = match.index + match[0].length;
    if (match[1]) return found;
  }
  if (start >= 0) found.push(body.slice(start).replace(/^\r?\n/, ""));
  return found;
}

/** The content of a part. @param {Part} part @returns {Uint8Array} */
export function contentOf({ body, encoding }) {
  if (encoding === "base64") return fromBase64(latin1(body));
  if (encoding === "quoted-printable") return fromQuoted(latin1(body), false);
  return body;
}

/** The text of a part. @param {Part} part */
export function textOf(part) {
  return decodeText(contentOf(part), part.parameters.charset ?? "");
}

/** All parts, the message first. @param {Part} part @returns {Generator<Part>} */
export function* walk(part) {
  yield part;
  for (const child of part.children) yield* walk(child);
}
