/** Accounts: open, list, look at one. I/O and the document. */

import { entered, preview } from "./amount.ts";
import type { Account, Served } from "./api.ts";
import * as api from "./api.ts";
import { announce, badge, byId, h, onSubmit, required, value } from "./dom.ts";
import { table } from "./list.ts";
import * as money from "./money.ts";
import { reason, status, statusTone } from "./words.ts";

/** `show` opens one; `link` makes what opens one. Returns how to read the list anew. */
export function accounts(
  served: Served,
  show: (id: string) => Promise<void>,
  link: (id: string) => HTMLElement,
): () => Promise<void> {
  const place = byId("accounts");
  let refresh = async () => {};
  if (served("get", "/v1/accounts")) {
    place.hidden = false;
    refresh = table<Account>(place, {
      caption: "Accounts",
      empty: "No account yet: open one above.",
      columns: [
        { title: "Account", cell: (account) => link(account.id) },
        { title: "Balance", number: true, cell: (account) => money.format(account.balance ?? 0, account.currency) },
        { title: "Status", cell: (account) => badge(status(account.status), statusTone(account.status)) },
      ],
      read: async (after) => {
        const { accounts: rows, next } = await api.accounts(after);
        return { rows, next };
      },
    });
  }

  const find = byId<HTMLFormElement>("find-account");
  onSubmit(find, () => show(value(find, "id")));

  const open = byId<HTMLFormElement>("open");
  preview(open, byId("open-preview"));
  onSubmit(open, async () => {
    const id = required(open, "id", "The id of the new account");
    const currency = value(open, "currency").toUpperCase();
    const funded = value(open, "amount") !== "";
    const outcome = await api.open({ id, currency, ...(funded && { funding: entered(open).value }) });
    if (outcome.status === "rejected") throw new Error(`Not opened: ${reason(outcome.reason ?? "")}.`);
    announce(`Account ${id} is ${outcome.status === "confirmed" ? "open" : "being opened"}.`);
    open.reset();
    await Promise.all([show(id), refresh()]);
  });
  return refresh;
}

/** A name that opens the account when pressed. */
export function accountLink(id: string, show: (id: string) => void): HTMLElement {
  return h("button", { type: "button", class: "as-link id", click: () => show(id) }, id);
}
