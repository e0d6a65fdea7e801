// Times, durations, sizes and names, as a reader says them. Times are in the reader's zone.

/** @import { Person } from "./types" */

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const short = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const year = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** @param {string | number | Date} at */
export function timeOf(at) {
  return clock.format(new Date(at));
}

/** The time of a list: of today the clock, before that the day. @param {string | number} at */
export function when(at) {
  const date = new Date(at), now = new Date();
  if (dayOf(date) === dayOf(now)) return clock.format(date);
  return date.getFullYear() === now.getFullYear() ? `${day.format(date)} ${short.format(date)}` : year.format(date);
}

/** A number for each day of the reader's zone. @param {Date} date */
function dayOf(date) {
  return (date.getFullYear() * 12 + date.getMonth()) * 31 + date.getDate();
}

/** @param {string | number} at */
export function whole(at) {
  const date = new Date(at);
  return `${year.format(date)} ${clock.format(date)}`;
}

/** When something will be: seconds matter only if it is soon. @param {string | number} at */
export function soon(at) {
  const left = new Date(at).getTime() - Date.now();
  return Math.abs(left) < 120_000 ? clock.format(new Date(at)) : Math.abs(left) < 72_000_000 ? short.format(new Date(at)) : when(at);
}

/** @param {number} ms */
export function duration(ms) {
  if (ms < 0) return "0 ms";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 && minutes < 10 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** @param {number} bytes */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1_000_000) return `${(bytes / 1000).toFixed(1)} KB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** @param {number} number */
export function count(number) {
  return number.toLocaleString("en");
}

/** @param {number} number @param {string} one @param {string} [many] */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** @param {Person} person */
export function person({ Name, Address }) {
  return Name ? `${Name} <${Address}>` : Address;
}

/** As short as a list needs it. @param {Person} person */
export function who({ Name, Address }) {
  return Name || Address || "nobody";
}

/** 1st, 2nd. @param {number} number */
export function ordinal(number) {
  const tens = number % 100;
  const end = tens > 10 && tens < 14 ? "th" : ["th", "st", "nd", "rd"][number % 10] ?? "th";
  return `${number}${end}`;
}
