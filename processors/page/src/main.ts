/** The page: puts its parts together. */

import "./style.css";
import { account } from "./account.ts";
import { accountLink, accounts } from "./accounts.ts";
import * as api from "./api.ts";
import { byId, h } from "./dom.ts";
import { holds } from "./holds.ts";
import { letters } from "./letters.ts";
import { follow } from "./live.ts";
import { pay } from "./pay.ts";
import { payment } from "./payment.ts";
import { phase } from "./phase.ts";

const AGAIN_MS = 2_000;

/** What this gateway serves; asked until it answers, since the page may be there before its gateway is again. */
async function served(): Promise<api.Served> {
  for (;;) {
    try {
      return await api.served();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

async function main(): Promise<void> {
  const has = await served();
  const show = phase(has);
  follow(show);
  api.pipeline().then(show, () => {});

  const goTo = (section: string) => byId(section).scrollIntoView({ block: "nearest" });
  // Each opens the other: a payment names accounts, a ledger names payments.
  const showAccount = async (id: string) => {
    await openAccount(id);
    goTo("account-section");
  };
  const showPayment = (id: string) => {
    goTo("payment-section");
    void openPayment(id).then(refresh);
  };
  const paymentLink = (id: string) =>
    h("button", { type: "button", class: "as-link id", click: () => showPayment(id) }, id);
  const toAccount = (id: string) => accountLink(id, (id) => void showAccount(id));
  const openAccount = account(has, paymentLink);
  const listHolds = holds(has, paymentLink, toAccount);
  const openPayment = payment(has, toAccount, () => void listHolds());
  const refresh = accounts(has, showAccount, toAccount);
  pay(showPayment);
  letters(has);
  await refresh();
  document.documentElement.dataset.ready = "true";
}

void main();
