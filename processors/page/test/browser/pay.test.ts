import assert from "node:assert/strict";
import { test } from "node:test";
import { onPage, world } from "./world.ts";

const made = world();

test("a payment is made in the form and followed to its outcome", async () => {
  await onPage(made, {}, async (page) => {
    const form = page.locator("#pay");
    await form.getByLabel("From").fill("alice");
    await form.getByLabel("To").fill("bob");
    await form.getByLabel("Amount").fill("12.34");
    assert.equal(await form.locator("output").innerText(), "$12.34, sent as 1234 minor units");
    await form.getByLabel("Payment id").fill("form-1");
    await form.getByRole("button", { name: "Pay" }).click();
    const payment = page.locator("[data-payment='form-1'][data-status=confirmed]");
    await payment.waitFor();
    assert.match(await payment.innerText(), /\$12\.34\s+alice pays bob/);
    const steps = await payment
      .locator("[data-step]")
      .evaluateAll((found) => found.map((step) => step.getAttribute("data-step")));
    assert.deepEqual(steps, ["accepted", "debited", "credited", "completed"]);
    assert.equal(await page.getByRole("status").first().innerText(), "Payment form-1 is confirmed.");
    assert.equal((await made.kpay.get("/v1/accounts/bob")).balance, 1234);
  });
});

test("a rejection is told in words", async () => {
  await onPage(made, {}, async (page) => {
    const form = page.locator("#pay");
    await form.getByLabel("From").fill("bob");
    await form.getByLabel("To").fill("alice");
    await form.getByLabel("Amount").fill("9999.99");
    await form.getByRole("button", { name: "Pay" }).click();
    const payment = page.locator("[data-status=rejected]");
    await payment.waitFor();
    assert.match(await payment.innerText(), /Rejected/);
    assert.match(await payment.innerText(), /The payer has not enough money\. insufficient_funds/);
  });
});

test("what is wrong is told at its field, and nothing is sent", async () => {
  await onPage(made, {}, async (page, seen) => {
    const form = page.locator("#pay");
    await form.getByLabel("From").fill("alice");
    await form.getByLabel("To").fill("bob");
    for (const [amount, complaint] of [
      ["1,50", /with a point/],
      ["1.505", /at most 2 digits/],
      ["", /Enter an amount/],
    ] as const) {
      await form.getByLabel("Amount").fill(amount);
      await form.getByRole("button", { name: "Pay" }).click();
      await form.getByRole("alert").filter({ hasText: complaint }).waitFor();
      assert.equal(await form.getByLabel("Amount").getAttribute("aria-invalid"), "true");
      assert.equal(await page.evaluate(() => (document.activeElement as HTMLInputElement).name), "amount");
    }
    assert.deepEqual(
      seen.requests.filter((url) => url.endsWith("/v1/payments")),
      [],
    );
    // And what only the gateway can tell.
    await form.getByLabel("Amount").fill("1");
    await form.getByLabel("To").fill("alice");
    await form.getByRole("button", { name: "Pay" }).click();
    await form.getByRole("alert").filter({ hasText: "from and to are one account" }).waitFor();
    assert.equal(await form.getByLabel("To").getAttribute("aria-invalid"), "true");
  });
});

test("an account is opened, funded and looked at", async () => {
  await onPage(made, {}, async (page) => {
    await page.getByText("Open an account").click();
    const open = page.locator("#open");
    await open.getByLabel("Id of the new account").fill("yuki");
    await open.getByLabel("Currency").fill("JPY");
    await open.getByLabel("Funding").fill("5000");
    await open.getByRole("button", { name: "Open" }).click();
    const account = page.locator("#account");
    await account.locator("[data-balance='5000']").filter({ hasText: "¥5,000" }).waitFor();
    await account.getByLabel("Fund with JPY").fill("250");
    await account.getByRole("button", { name: "Fund" }).click();
    await account.locator("[data-balance='5250']").filter({ hasText: "¥5,250" }).waitFor();
    await page.getByLabel("Account id").fill("nobody");
    await page.getByRole("button", { name: "Show", exact: true }).first().click();
    await account.getByText("no account has this id").waitFor();
  });
});

test("accounts are listed with more, and a ledger leads to its payments", async () => {
  for (let number = 10; number < 35; number += 1) await made.kpay.open(`many-${number}`, number);
  const amount = { value: 77, currency: "USD" };
  await made.kpay.post("/v1/payments", { id: "in-ledger", from: "alice", to: "bob", amount }, 30);
  await onPage(made, {}, async (page) => {
    const list = page.locator("#accounts");
    await list.getByRole("button", { name: "alice", exact: true }).waitFor();
    const more = list.getByRole("button", { name: "More" });
    while (await more.isVisible()) {
      const before = await list.locator("tbody tr").count();
      await more.click();
      await page.waitForFunction((n) => document.querySelectorAll("#accounts tbody tr").length > n, before);
    }
    await list.getByRole("button", { name: "many-34", exact: true }).waitFor();
    await list.getByRole("button", { name: "bob", exact: true }).click();
    await page.locator("#account").getByRole("button", { name: "in-ledger" }).click();
    await page.locator("[data-payment=in-ledger][data-status=confirmed]").waitFor();
  });
});
