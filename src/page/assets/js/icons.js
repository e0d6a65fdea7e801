// Signs of the page, drawn as lines. They say nothing that a word beside them does not say.

import { svg, html } from "../vendor/lit.js";

const PATHS = {
  mail: svg`<path d="M3 6h18v12H3z M3 7l9 7 9-7"/>`,
  world: svg`<path d="M4 8h14l-4-4 M20 16H6l4 4"/>`,
  queues: svg`<circle cx="12" cy="12" r="9"/><path d="M12 7v5l3 2"/>`,
  sessions: svg`<path d="M9 7V3 M15 7V3 M6 7h12v4a6 6 0 0 1-12 0z M12 17v4"/>`,
  faults: svg`<path d="M13 2 5 14h6l-1 8 9-13h-7z"/>`,
  log: svg`<path d="M5 6h14 M5 12h14 M5 18h14"/>`,
  learn: svg`<path d="M9 9a3 3 0 1 1 4 3c-1 .5-1 1-1 2 M12 18v.5"/>`,
  search: svg`<circle cx="11" cy="11" r="6"/><path d="m16 16 5 5"/>`,
  plus: svg`<path d="M12 5v14 M5 12h14"/>`,
  theme: svg`<circle cx="12" cy="12" r="8"/><path d="M12 4a8 8 0 0 1 0 16z" fill="currentColor"/>`,
  reply: svg`<path d="M9 6 4 11l5 5 M4 11h10a6 6 0 0 1 6 6v1"/>`,
  forward: svg`<path d="m15 6 5 5-5 5 M20 11H10a6 6 0 0 0-6 6v1"/>`,
  again: svg`<path d="M20 12a8 8 0 1 1-3-6.2 M17 2v4h-4"/>`,
  trash: svg`<path d="M4 7h16 M9 7V4h6v3 M6 7l1 13h10l1-13"/>`,
  tag: svg`<path d="M3 12V4h8l10 10-8 8z"/><circle cx="7.5" cy="8" r="1.2"/>`,
  read: svg`<path d="M3 10 12 4l9 6v9H3z M3 10l9 6 9-6"/>`,
  back: svg`<path d="m14 5-7 7 7 7"/>`,
  close: svg`<path d="M6 6l12 12 M18 6 6 18"/>`,
  clip: svg`<path d="m20 11-8.5 8.5a5 5 0 0 1-7-7L13 4a3.3 3.3 0 0 1 4.7 4.7l-8.5 8.5a1.7 1.7 0 0 1-2.4-2.4L14 7.5"/>`,
  shield: svg`<path d="M12 3 5 6v6c0 5 3 7.5 7 9 4-1.5 7-4 7-9V6z"/>`,
  journey: svg`<path d="M4 19 9 9l6 5 5-10"/>`,
  lock: svg`<rect x="5" y="11" width="14" height="9" rx="2"/><path d="M8 11V8a4 4 0 0 1 8 0v3"/>`,
  folder: svg`<path d="M3 6h6l2 2h10v11H3z"/>`,
  import: svg`<path d="M12 3v11 M7 9l5 5 5-5 M4 15v5h16v-5"/>`,
  down: svg`<path d="M12 4v12 M6 11l6 6 6-6 M5 21h14"/>`,
};

/** @param {keyof typeof PATHS} name */
export function icon(name) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">${PATHS[name]}</svg>`;
}
