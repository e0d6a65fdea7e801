// The map: hosts and the ways of mail between them, with what moves and what is wrong.

import { html, svg, nothing } from "../../vendor/lit.js";
import { go, href } from "../routes.js";
import { state } from "../store.js";
import { NODE, layout } from "./layout.js";
/** @import { Host, World, SeenFault } from "../types" */
/** @import { Place } from "./layout.js" */

/** @param {SeenFault} fault @param {string} host */
function isOf(fault, host) {
  return !fault.until && (fault.fault.host === host || /** @type {string[] | undefined} */ (fault.fault.between)?.includes(host));
}

/** A line of words about a host. @param {Host} host */
function about(host) {
  if (!host.on) return "off";
  const faults = state.faults.filter((fault) => isOf(fault, host.name));
  if (faults.length) return faults.length > 1 ? `${faults.length} faults` : faults[0].fault.kind;
  if (host.queued !== undefined) return host.queued ? `queue ${host.queued}` : host.addresses[0] ?? "";
  if (host.role === "mua") return "your programs";
  return host.addresses[0] ?? "";
}

/** @param {Host} host */
export function toneOf(host) {
  if (!host.on) return "bad";
  return host.queued || state.faults.some((fault) => isOf(fault, host.name)) ? "wait" : "ok";
}

/** @param {World} world @param {string} chosen @param {{ from: string, to: string, id: number }[]} moving */
export function map(world, chosen, moving) {
  const { hosts } = state;
  const { places, boxes, width, height } = layout(hosts, world);
  const names = new Map(hosts.map((host) => [host.name, host]));
  return html`<div class="map-scroll" tabindex="0" role="region" aria-label="Map of the world"><svg class="map" viewBox="0 0 ${width} ${height}" width=${width} height=${height} role="group" aria-label="Hosts and the ways between them">
    ${boxes.map((box) => svg`<rect class="domain" x=${box.x} y=${box.y} width=${box.width} height=${box.height} rx="10"/><text class="domain-name" x=${box.x + 12} y=${box.y + 19}>${box.name}</text>`)}
    ${pairs(world).map(({ from, to }) => way(places.get(from), places.get(to), linkState(names.get(from), names.get(to))))}
    ${moving.map(({ from, to, id }) => letter(places.get(from), places.get(to), id))}
    ${hosts.map((host) => node(host, places.get(host.name), host.name === chosen))}</svg></div>`;
}

/** Each link once, whichever way mail goes; without those from everywhere else straight into a domain, which would cross all others. @param {World} world */
function pairs(world) {
  /** @type {Map<string, { from: string, to: string }>} */
  const found = new Map();
  const inDomains = Object.values(world.domains).flatMap((domain) => domain.mx);
  for (const { from, to } of world.links) {
    if (world.elsewhere?.mx.includes(from) && inDomains.includes(to)) continue;
    const key = [from, to].sort().join(" ");
    if (!found.has(key)) found.set(key, { from, to });
  }
  return [...found.values()];
}

/** @param {Host | undefined} one @param {Host | undefined} other */
function linkState(one, other) {
  const broken = state.faults.some((fault) => !fault.until && one && other && /** @type {string[] | undefined} */ (fault.fault.between)?.every((end) => end === one.name || end === other.name));
  return broken || one?.on === false || other?.on === false ? "broken" : "";
}

/** @param {Place} place */
function middle({ x, y }) {
  return { x: x + NODE.width / 2, y: y + NODE.height / 2 };
}

/** @param {Place | undefined} from @param {Place | undefined} to @param {string} how */
function way(from, to, how) {
  if (!from || !to) return nothing;
  const one = middle(from), other = middle(to);
  // Around a host that stands between.
  const isPast = one.x === other.x && Math.abs(one.y - other.y) > 3 * NODE.height;
  const bend = isPast ? one.x + 1.3 * NODE.width : (one.x + other.x) / 2;
  return svg`<path class="way ${how}" d="M${one.x} ${one.y}Q${bend} ${(one.y + other.y) / 2} ${other.x} ${other.y}"/>`;
}

/** A letter on its way. @param {Place | undefined} from @param {Place | undefined} to @param {number} id */
function letter(from, to, id) {
  if (!from || !to) return nothing;
  const one = middle(from), other = middle(to);
  return svg`<circle class="moving" data-id=${id} r="5" cx=${(one.x + other.x) / 2} cy=${(one.y + other.y) / 2}/>`;
}

/** @param {Host} host @param {Place | undefined} place @param {boolean} isChosen */
function node(host, place, isChosen) {
  if (!place) return nothing;
  const tone = toneOf(host), target = href(["world", host.name]);
  const open = (/** @type {Event} */ event) => {
    event.preventDefault();
    go(target);
  };
  return svg`<a href=${target} class="node ${tone} ${isChosen ? "chosen" : ""}" @click=${open}>
    <rect x=${place.x} y=${place.y} width=${NODE.width} height=${NODE.height} rx="8"/>
    <circle class="light" cx=${place.x + 15} cy=${place.y + 18} r="5"/>
    <text class="node-name" x=${place.x + 27} y=${place.y + 22}>${host.name.slice(0, 17)}</text>
    <text class="node-about" x=${place.x + 15} y=${place.y + 40}>${about(host).slice(0, 24)}</text></a>`;
}
