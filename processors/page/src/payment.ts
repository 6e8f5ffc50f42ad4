/** One payment: followed until its outcome, with its timeline and what may be done with it. I/O and the document. */

import { type Entered, entered } from "./amount.ts";
import type { Payment, Served } from "./api.ts";
import * as api from "./api.ts";
import { decision } from "./decision.ts";
import { ask, type Question } from "./dialog.ts";
import { announce, badge, byId, h, input, onSubmit, said, time, value } from "./dom.ts";
import * as money from "./money.ts";
import { capital, ended, reason, span, spelled, status, statusTone } from "./words.ts";

const FIRST_MS = 150;
const MOST_MS = 2_000;

/**
 * Returns what shows a payment by its id. `held` is told when one that is followed comes to wait for a person, and when
 * it no longer does.
 */
export function payment(
  served: Served,
  account: (id: string) => HTMLElement,
  held: () => void,
): (id: string) => Promise<void> {
  const place = byId("payment");
  /** Which question is the newest; the answers of older ones are thrown away. */
  let turn = 0;

  /** Asks until there is an outcome; a held payment waits for a person, and so does this. */
  const follow = async (id: string) => {
    turn += 1;
    const mine = turn;
    let pause = FIRST_MS;
    let before = "";
    let waits = false;
    while (mine === turn) {
      let shown: Payment;
      try {
        shown = await api.payment(id);
      } catch (error) {
        if (mine === turn) place.replaceChildren(h("p", { class: "error" }, said(error)));
        if (mine === turn) announce(said(error));
        return;
      }
      if (mine !== turn) return;
      const now = JSON.stringify(shown);
      if (now !== before) {
        const focused = place.contains(document.activeElement);
        place.replaceChildren(view(shown));
        if (focused) place.querySelector<HTMLElement>("button")?.focus();
      }
      before = now;
      if (waits !== (shown.status === "held")) {
        waits = !waits;
        held();
      }
      if (ended(shown.status)) {
        announce(summary(shown));
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause = Math.min(pause * 1.5, MOST_MS);
    }
  };

  const view = (shown: Payment): HTMLElement => {
    const { amount, from, to } = shown;
    const money_ = amount ? money.format(amount.value, amount.currency) : "";
    const who =
      from && to
        ? [account(from), " pays ", account(to)]
        : [capital(spelled(shown.kind ?? "")), " ", shown.account ? account(shown.account) : ""];
    return h(
      "article",
      { "data-payment": shown.id, "data-status": shown.status },
      h(
        "div",
        { class: "row between" },
        h("h3", { class: "id" }, shown.id),
        badge(status(shown.status), statusTone(shown.status)),
      ),
      h("p", { class: "sum" }, h("strong", {}, money_), " ", h("span", {}, ...who)),
      shown.reference ? h("p", { class: "muted" }, shown.reference) : null,
      shown.reason
        ? h("p", { class: "why" }, `${capital(reason(shown.reason))}.`, " ", h("code", {}, shown.reason))
        : null,
      shown.note ? h("p", { class: "muted" }, `${capital(shown.note)}.`) : null,
      timeline(shown),
      h("div", { class: "row" }, ...actions(shown)),
    );
  };

  const actions = (shown: Payment): HTMLElement[] => {
    const found: HTMLElement[] = [];
    const add = (route: string, question: Question) => {
      if (!served("post", `/v1/payments/{id}/${route}`)) return;
      found.push(h("button", { type: "button", click: () => ask(question) }, `${question.act ?? ""}…`));
    };
    if (shown.status === "held") {
      for (const verdict of ["release", "refuse"] as const) {
        add(verdict, { ...decision(shown.id, verdict), done: () => void follow(shown.id) });
      }
    }
    if (shown.status === "confirmed" && shown.from) {
      add("refund", {
        title: `Refund payment ${shown.id}`,
        about: ["Without an amount all of it goes back."],
        fields: [{ name: "amount", label: `Amount in ${shown.amount?.currency ?? "its currency"}` }],
        act: "Refund",
        danger: true,
        send: async (form) => {
          const part: Entered | null = value(form, "amount") === "" ? null : entered(form, shown.amount?.currency);
          const made = await api.refund(shown.id, part ? { amount: part } : {});
          void follow(made.id ?? shown.id);
        },
      });
    }
    return found;
  };

  const lookup = byId<HTMLFormElement>("lookup");
  onSubmit(lookup, async () => {
    await follow(value(lookup, "id"));
  });
  return async (id) => {
    input(lookup, "id").value = id;
    await follow(id);
  };
}

function summary(shown: Payment): string {
  const why = shown.reason ? `: ${reason(shown.reason)}` : "";
  return `Payment ${shown.id} is ${status(shown.status).toLowerCase()}${why}.`;
}

function timeline({ timeline: steps }: Payment): HTMLElement | null {
  if (steps.length === 0) return null;
  return h(
    "ol",
    { class: "timeline", "aria-label": "Timeline" },
    ...steps.map(({ at, step }, place) => {
      const before = steps[place - 1];
      const since = before ? span(Date.parse(at) - Date.parse(before.at)) : "";
      return h(
        "li",
        { "data-step": step },
        h("span", { class: "step" }, capital(spelled(step))),
        time(at),
        h("span", { class: "muted" }, since),
      );
    }),
  );
}
