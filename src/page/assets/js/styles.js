// Places and sizes that are computed. They are set by the object model, since the page's policy allows no `style` attribute.

import { Directive, directive } from "../vendor/lit.js";
/** @import { ElementPart } from "../vendor/lit.js" */

/** @typedef {Record<string, string | number>} Styles */

/** In a template: `<span ${styles({ left: "10%" })}>`. */
export const styles = directive(
  class extends Directive {
    /** @param {Styles} _styles */
    render(_styles) {
      return undefined;
    }

    /** @param {ElementPart} part @param {[Styles]} values */
    update({ element }, [values]) {
      for (const [name, value] of Object.entries(values)) Reflect.set(element.style, name, String(value));
    }
  },
);
