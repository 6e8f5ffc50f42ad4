/** The amount of a form: read, and told back before it is sent. Only the document. */

import { input, value, Wrong } from "./dom.ts";
import * as money from "./money.ts";

export interface Entered {
  value: bigint;
  currency: string;
}

/** What the form says; a complaint at its field otherwise. */
export function entered(form: HTMLFormElement, currency = value(form, "currency").toUpperCase()): Entered {
  if (!/^[A-Z]{3}$/.test(currency)) throw new Wrong("currency", "Write the currency as three letters, such as USD.");
  const parsed = money.parse(value(form, "amount"), currency);
  if ("problem" in parsed) throw new Wrong("amount", parsed.problem);
  return { value: parsed.minor, currency };
}

/** Shows while typing what the amount is, as money and in minor units. */
export function preview(form: HTMLFormElement, output: HTMLElement): void {
  const show = () => {
    if (value(form, "amount") === "") {
      output.textContent = "";
      return;
    }
    try {
      const { value: minor, currency } = entered(form);
      output.textContent = `${money.format(minor, currency)}, sent as ${minor} minor units`;
    } catch (error) {
      output.textContent = error instanceof Wrong ? error.message : "";
    }
  };
  input(form, "amount").addEventListener("input", show);
  input(form, "currency").addEventListener("input", show);
  form.addEventListener("reset", () => {
    output.textContent = "";
  });
}
