/** Held payments: list, release, refuse. I/O and the document. */

import type { Hold, Served } from "./api.ts";
import * as api from "./api.ts";
import { decision } from "./decision.ts";
import { ask } from "./dialog.ts";
import { byId, h, time } from "./dom.ts";
import { table } from "./list.ts";
import * as money from "./money.ts";
import { capital } from "./words.ts";

/** Shows the section when the gateway tells of held payments. Returns how to read the list anew. */
export function holds(
  served: Served,
  payment: (id: string) => HTMLElement,
  account: (id: string) => HTMLElement,
): () => Promise<void> {
  if (!served("get", "/v1/holds")) return async () => {};
  const section = byId("holds-section");
  section.hidden = false;
  const refresh = table<Hold>(byId("holds"), {
    caption: "Held payments",
    empty: "No payment waits for a decision.",
    columns: [
      { title: "Payment", cell: (hold) => payment(hold.id) },
      { title: "From", cell: (hold) => account(hold.from) },
      { title: "To", cell: (hold) => account(hold.to) },
      { title: "Amount", number: true, cell: (hold) => money.format(hold.amount.value, hold.amount.currency) },
      { title: "Rule", cell: (hold) => rule(hold) },
      { title: "Held since", cell: (hold) => time(hold.heldAt) },
      { title: "Until", cell: (hold) => time(hold.expiresAt) },
      {
        title: "Action",
        cell: (hold) => h("span", { class: "actions" }, button(hold.id, "release"), button(hold.id, "refuse")),
      },
    ],
    read: async (after) => {
      const { holds: rows, next } = await api.holds(after);
      return { rows, next };
    },
  });

  const button = (id: string, verdict: api.Verdict): HTMLElement | null => {
    if (!served("post", `/v1/payments/{id}/${verdict}`)) return null;
    const act = capital(verdict);
    const click = () => ask({ ...decision(id, verdict), done: () => void decided() });
    return h("button", { type: "button", "aria-label": `${act} payment ${id}`, click }, `${act}…`);
  };

  /** The button that was pressed goes with its row: the keyboard is led to what is decided next. */
  const decided = async () => {
    await refresh();
    if (document.activeElement && document.activeElement !== document.body) return;
    const next = section.querySelector<HTMLElement>(".actions button") ?? byId("holds-refresh");
    next.focus();
  };
  byId("holds-refresh").addEventListener("click", () => void refresh());
  void refresh();
  return refresh;
}

function rule(hold: Hold): HTMLElement {
  return h(
    "span",
    {},
    h("code", {}, hold.rule),
    hold.message ? h("span", { class: "muted" }, ` ${hold.message}`) : null,
  );
}
