/** The form that makes a payment. I/O and the document. */

import { entered, preview } from "./amount.ts";
import * as api from "./api.ts";
import { byId, input, onSubmit, required, value } from "./dom.ts";

/** `follow` is given every payment that was taken in. */
export function pay(follow: (id: string) => void): void {
  const form = byId<HTMLFormElement>("pay");
  preview(form, byId("pay-preview"));
  // Without an id of the caller's the page makes one, and keeps it until the payment was taken in: pressed again after
  // a failure it is the same payment.
  let made: { id: string; body: string } | null = null;
  onSubmit(form, async () => {
    const from = required(form, "from", "The payer's account");
    const to = required(form, "to", "The payee's account");
    const amount = entered(form);
    const reference = value(form, "reference");
    const content = { from, to, amount, ...(reference && { reference }) };
    const body = `${from} ${to} ${amount.value} ${amount.currency} ${reference}`;
    if (made?.body !== body) made = { id: newId(), body };
    const id = value(form, "id") || made.id;
    const taken = await api.pay({ id, ...content });
    made = null;
    input(form, "id").value = "";
    follow(taken.id);
  });
}

/** `crypto.randomUUID` is there on secure origins only, and a gateway may be reached by plain HTTP. */
function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `page-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
