// The types of what the page uses of lit.js.
export type TemplateResult = { readonly _$litType$: number };
export type Renderable = unknown;
export function html(strings: TemplateStringsArray, ...values: unknown[]): TemplateResult;
export function svg(strings: TemplateStringsArray, ...values: unknown[]): TemplateResult;
export const nothing: unique symbol;
export class LitElement extends HTMLElement {
  static properties: Record<string, unknown>;
  readonly updateComplete: Promise<boolean>;
  readonly isConnected: boolean;
  requestUpdate(): void;
  connectedCallback(): void;
  disconnectedCallback(): void;
  protected createRenderRoot(): HTMLElement | DocumentFragment;
  protected render(): unknown;
  protected willUpdate(changed: Map<string, unknown>): void;
  protected updated(changed: Map<string, unknown>): void;
  protected firstUpdated(changed: Map<string, unknown>): void;
}
export function repeat<T>(items: Iterable<T>, key: (item: T, index: number) => unknown, template: (item: T, index: number) => unknown): unknown;
export interface ElementPart { readonly element: HTMLElement | SVGElement }
export class Directive { constructor(part?: unknown); render(...values: unknown[]): unknown; update(part: ElementPart, values: unknown[]): unknown }
export function directive<A extends unknown[]>(kind: new (...values: never[]) => { render(...values: A): unknown }): (...values: A) => unknown;
