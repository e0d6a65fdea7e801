// Where hosts stand on the map: domains as boxes around a middle in which the relays are.

/** @import { Host, World } from "../types" */

/** @typedef {{ x: number, y: number }} Place */
/** @typedef {{ name: string, x: number, y: number, width: number, height: number }} Box */

export const NODE = { width: 156, height: 50 };
const GAP = { x: 70, y: 34 };
const PAD = 24;

/** @param {Host[]} hosts @param {World} world */
export function layout(hosts, world) {
  const groups = [...Object.entries(world.domains), ...(world.elsewhere ? [/** @type {const} */ (["everywhere else", world.elsewhere])] : [])];
  /** @type {Map<string, Place>} */
  const places = new Map();
  /** @type {Box[]} */
  const boxes = [];
  /** @type {{ title: string, names: string[] }[]} */
  const columns = [];
  const taken = new Set();
  for (const [name, { mx, mailboxes }] of groups) {
    const names = [...mx, mailboxes].filter((one) => !taken.has(one));
    // Domains of the same hosts share their box.
    const same = columns.find((column) => column.names.includes(mx[0]));
    if (!names.length || same) {
      if (same) {
        same.title += `, ${name}`;
        same.names.push(...names);
      }
    } else columns.push({ title: name, names });
    names.forEach((one) => taken.add(one));
  }
  const rest = hosts.map((host) => host.name).filter((name) => !taken.has(name));
  const roleOf = (/** @type {string} */ name) => hosts.find((host) => host.name === name)?.role;
  const relays = rest.filter((name) => roleOf(name) === "mta");
  const others = rest.filter((name) => !relays.includes(name)).sort((one, other) => Number(roleOf(one) !== "mua") - Number(roleOf(other) !== "mua"));
  const wide = Math.max(1, Math.ceil(columns.length / 2));
  // The upper row of domains, the relays between, the lower row.
  const rows = [columns.slice(0, wide), columns.slice(wide)];
  const step = NODE.width + 2 * PAD + GAP.x;
  const tall = (/** @type {{ names: string[] }[]} */ row) => Math.max(0, ...row.map((one) => one.names.length)) * (NODE.height + GAP.y) + PAD;
  let y = 20;
  const width = Math.max(wide, others.length, relays.length, 2) * step;
  const line = (/** @type {string[]} */ names) => {
    names.forEach((name, at) => places.set(name, { x: (width * (at + 0.5)) / names.length - NODE.width / 2, y }));
    if (names.length) y += NODE.height + GAP.y + 10;
  };
  line(others);
  for (const [at, row] of rows.entries()) {
    row.forEach(({ title, names }, column) => {
      const left = (width * (column + 0.5)) / row.length - NODE.width / 2 - PAD;
      boxes.push({ name: title, x: left, y, width: NODE.width + 2 * PAD, height: names.length * (NODE.height + GAP.y) + PAD });
      const order = at === 0 ? [...names].reverse() : names;
      order.forEach((name, row) => places.set(name, { x: left + PAD, y: y + PAD + 12 + row * (NODE.height + GAP.y) }));
    });
    if (row.length) y += tall(row) + GAP.y + 10;
    if (at === 0) line(relays);
  }
  return { places, boxes, width, height: y + 10 };
}
