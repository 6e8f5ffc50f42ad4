import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { tooWide, unaccessible } from "./checks.ts";
import { onPage, world } from "./world.ts";

const made = world("  rules: [{name: big, when: payment.amount > 500, action: Hold, message: We look at it.}]\n");

async function hold(...ids: string[]): Promise<void> {
  for (const id of ids) {
    const amount = { value: 600, currency: "USD" };
    const outcome = await made.kpay.post("/v1/payments", { id, from: "alice", to: "bob", amount }, 30);
    assert.equal(outcome.status, "held");
  }
}

const section = (page: Page) => page.locator("#holds-section");
const button = (page: Page, name: string) => section(page).getByRole("button", { name, exact: true });
const focused = (page: Page) => page.evaluate(() => document.activeElement?.getAttribute("aria-label"));
/** How the payment ended, which may be a little later than the command that decided it. */
const ended = async (id: string) => {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const told = await made.kpay.get(`/v1/payments/${id}`);
    const { by, why } = (told.hold ?? {}) as Record<string, string>;
    if (told.status === "confirmed" || told.status === "rejected") return [told.status, told.reason, by, why];
    if (Date.now() > deadline) throw new Error(`${id} is still ${told.status}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};

test("held payments are released and refused from their list, by the keyboard alone", async () => {
  await hold("held-1", "held-2");
  await onPage(made, {}, async (page) => {
    const first = section(page).locator("tbody tr").first();
    await first.filter({ hasText: /held-1.*\$6\.00.*We look at it\./ }).waitFor();
    await button(page, "Release payment held-1").focus();
    await page.keyboard.press("Enter");
    const release = page.getByRole("dialog", { name: "Release payment held-1" });
    await page.keyboard.press("Enter");
    await release.getByRole("alert").filter({ hasText: "Who decides is missing" }).waitFor();
    await page.keyboard.type("carol");
    await page.keyboard.press("Tab");
    await page.keyboard.type("called the customer");
    await page.keyboard.press("Enter");
    await release.waitFor({ state: "detached" });
    await button(page, "Release payment held-1").waitFor({ state: "detached" });
    await page.getByRole("status").filter({ hasText: "Payment held-1 is released." }).waitFor();
    assert.deepEqual(await ended("held-1"), ["confirmed", undefined, "carol", "called the customer"]);
    await page.waitForFunction(() => document.activeElement?.getAttribute("aria-label") === "Release payment held-2");

    await page.keyboard.press("Tab");
    assert.equal(await focused(page), "Refuse payment held-2");
    await page.keyboard.press("Enter");
    const refuse = page.getByRole("dialog", { name: "Refuse payment held-2" });
    await refuse.getByLabel("Who").fill("dave");
    await refuse.getByLabel("Why").fill("no such invoice");
    await page.keyboard.press("Enter");
    await refuse.waitFor({ state: "detached" });
    await section(page).getByText("No payment waits for a decision.").waitFor();
    assert.deepEqual(await ended("held-2"), ["rejected", "hold_refused", "dave", "no such invoice"]);
    await page.waitForFunction(() => document.activeElement?.id === "holds-refresh");
  });
});

test("a payment that is followed into a hold is listed, and out of it no more", async () => {
  await onPage(made, {}, async (page) => {
    await section(page).getByText("No payment waits for a decision.").waitFor();
    await hold("held-3");
    await page.locator("#lookup input").fill("held-3");
    await page.getByRole("button", { name: "Look up" }).click();
    await button(page, "Refuse payment held-3").waitFor();
    await made.kpay.post("/v1/payments/held-3/refuse", { by: "carol", why: "asked" }, 30);
    await section(page).getByText("No payment waits for a decision.").waitFor();
    await page.locator("[data-payment=held-3][data-status=rejected]").waitFor();
  });
});

test("a decision that comes too late is told in the dialog", async () => {
  await hold("held-4");
  await onPage(made, {}, async (page) => {
    await button(page, "Refuse payment held-4").waitFor();
    await made.kpay.post("/v1/payments/held-4/release", { by: "carol", why: "asked" }, 30);
    await button(page, "Refuse payment held-4").click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Who").fill("dave");
    await dialog.getByLabel("Why").fill("late");
    await dialog.getByRole("button", { name: "Refuse" }).click();
    await dialog.getByRole("alert").filter({ hasText: "Not refused: the payment is not held." }).waitFor();
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await button(page, "Refresh held payments").click();
    await section(page).getByText("No payment waits for a decision.").waitFor();
  });
});

for (const colorScheme of ["light", "dark"] as const) {
  test(`a list of holds has no serious finding of axe and fits 380 px, ${colorScheme}`, async () => {
    const long = `held-${colorScheme}-${"long".repeat(12)}`;
    await hold(long);
    await onPage(made, { colorScheme, viewport: { width: 380, height: 800 } }, async (page) => {
      await button(page, `Release payment ${long}`).waitFor();
      assert.deepEqual(await tooWide(page), []);
      assert.deepEqual(await unaccessible(page), []);
      await button(page, `Release payment ${long}`).click();
      await page.getByRole("dialog").waitFor();
      assert.deepEqual(await unaccessible(page), [], "with the dialog");
    });
  });
}
