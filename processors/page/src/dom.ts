/** Making elements and showing problems in forms. Only the document. */

import { Problem } from "./api.ts";
import type { Tone } from "./words.ts";

type Child = Node | string | null | undefined;
type Properties = Record<string, string | number | boolean | ((event: Event) => void) | undefined>;

/** An element with attributes (or, for functions, listeners) and children. Texts stay texts: nothing is ever parsed. */
export function h<K extends keyof HTMLElementTagNameMap>(
  name: K,
  properties: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== undefined && value !== false) element.setAttribute(key, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** An element of the page's skeleton. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element as T;
}

export function badge(text: string, tone: Tone): HTMLElement {
  return h("span", { class: "badge", "data-tone": tone }, text);
}

/** Says something to a screen reader, without moving its place. */
export function announce(text: string): void {
  byId("news").textContent = text;
}

export function time(at: string): HTMLElement {
  const date = new Date(at);
  const shown = Number.isNaN(date.getTime())
    ? at
    : date.toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" });
  return h("time", { datetime: at, title: at }, shown);
}

export function input(form: HTMLFormElement, name: string): HTMLInputElement {
  const found = form.elements.namedItem(name);
  if (!(found instanceof HTMLInputElement)) throw new Error(`the form has no ${name}`);
  return found;
}

export function value(form: HTMLFormElement, name: string): string {
  return input(form, name).value.trim();
}

/** A problem of one field of a form, found before anything is sent. */
export class Wrong extends Error {
  constructor(
    readonly field: string,
    message: string,
  ) {
    super(message);
  }
}

/** The field, and a complaint when it is empty. */
export function required(form: HTMLFormElement, name: string, what: string): string {
  const text = value(form, name);
  if (text === "") throw new Wrong(name, `${what} is missing.`);
  return text;
}

/** Runs `send` when the form is submitted, one at a time, and shows what went wrong at the field it concerns. */
export function onSubmit(form: HTMLFormElement, send: () => Promise<void>): void {
  const message = form.querySelector<HTMLElement>(".error");
  // Not `form.id`: a field of that name hides it.
  if (message) message.id ||= `${form.getAttribute("id")}-error`;
  let busy = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    form.setAttribute("aria-busy", "true");
    complain(form, message, null);
    try {
      await send();
    } catch (error) {
      complain(form, message, error);
    } finally {
      busy = false;
      form.removeAttribute("aria-busy");
    }
  });
}

function complain(form: HTMLFormElement, message: HTMLElement | null, error: unknown): void {
  for (const marked of form.querySelectorAll("[aria-invalid]")) {
    marked.removeAttribute("aria-invalid");
    marked.removeAttribute("aria-errormessage");
  }
  if (message) {
    message.hidden = error === null;
    message.textContent = error === null ? "" : said(error);
  }
  if (error === null) return;
  const field = error instanceof Wrong ? error.field : error instanceof Problem ? error.formField() : undefined;
  const found = field === undefined ? null : form.elements.namedItem(field);
  if (found instanceof HTMLInputElement) {
    found.setAttribute("aria-invalid", "true");
    if (message) found.setAttribute("aria-errormessage", message.id);
    found.focus();
  }
}

/** An error in words. */
export function said(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
