/** One account: its balance, money from outside, its ledger. I/O and the document. */

import { entered } from "./amount.ts";
import type { Account, Entry, Served } from "./api.ts";
import * as api from "./api.ts";
import { announce, badge, byId, h, onSubmit, said, time } from "./dom.ts";
import { table } from "./list.ts";
import * as money from "./money.ts";
import { capital, reason, spelled, status, statusTone } from "./words.ts";

/** Returns what shows an account by its id. `payment` makes what opens a payment. */
export function account(served: Served, payment: (id: string) => HTMLElement): (id: string) => Promise<void> {
  const place = byId("account");
  let turn = 0;

  const show = async (id: string) => {
    turn += 1;
    const mine = turn;
    try {
      const found = await api.account(id);
      if (mine === turn) place.replaceChildren(...view(found));
    } catch (error) {
      if (mine !== turn) return;
      place.replaceChildren(h("p", { class: "error" }, said(error)));
      announce(said(error));
    }
  };

  const view = (found: Account): HTMLElement[] => {
    const head = h(
      "div",
      { class: "row between" },
      h("h3", { class: "id" }, found.id),
      badge(status(found.status), statusTone(found.status)),
    );
    if (found.balance === undefined) {
      return [
        head,
        h(
          "p",
          { class: "muted" },
          found.note ? `${capital(found.note)}.` : "It is being opened; look again in a moment.",
        ),
      ];
    }
    const about = h(
      "p",
      { class: "sum" },
      h("strong", { "data-balance": found.balance }, money.format(found.balance, found.currency)),
      h("span", { class: "muted" }, ` version ${found.version ?? "?"}`),
    );
    return [head, about, fund(found), ...book(found)];
  };

  const fund = (found: Account): HTMLElement => {
    const amount = h("input", {
      name: "amount",
      inputmode: "decimal",
      autocomplete: "off",
      required: true,
      placeholder: "100.00",
    });
    const form = h(
      "form",
      { id: "fund", novalidate: true, "aria-label": `Fund ${found.id}` },
      h(
        "div",
        { class: "row" },
        h("label", { class: "field grow" }, `Fund with ${found.currency ?? ""}`, amount),
        h("button", { type: "submit" }, "Fund"),
      ),
      h("p", { class: "error", role: "alert", hidden: true }),
    );
    onSubmit(form, async () => {
      const outcome = await api.fund(found.id, { amount: entered(form, found.currency) });
      if (outcome.status === "rejected") throw new Error(`Not funded: ${reason(outcome.reason ?? "")}.`);
      await show(found.id);
      announce(`Account ${found.id} is funded.`);
    });
    return form;
  };

  const book = (found: Account): HTMLElement[] => {
    if (!served("get", "/v1/accounts/{id}/ledger")) return [];
    const list = h("div");
    const read = table<Entry>(list, {
      caption: `Ledger of ${found.id}`,
      empty: "No entry.",
      columns: [
        { title: "When", cell: (entry) => time(entry.at) },
        { title: "What", cell: (entry) => capital(spelled(entry.kind)) },
        { title: "Payment", cell: (entry) => payment(entry.id) },
        { title: "With", cell: (entry) => entry.counterparty ?? "" },
        { title: "Amount", number: true, cell: (entry) => money.format(entry.amount.value, entry.amount.currency) },
        { title: "Balance", number: true, cell: (entry) => money.format(entry.balance, entry.amount.currency) },
      ],
      read: async (after) => {
        const { entries, next } = await api.ledger(found.id, after);
        return { rows: entries, next };
      },
    });
    void read();
    return [h("h4", {}, "Ledger"), list];
  };
  return show;
}
