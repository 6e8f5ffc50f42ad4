import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { onPage, world } from "./world.ts";

const made = world();

const drawn = (page: Page, figure: string): Promise<string> =>
  page
    .locator(`[data-figure=${figure}] canvas`)
    .first()
    .evaluate((canvas) => (canvas as HTMLCanvasElement).toDataURL());

const figure = async (page: Page, title: string): Promise<number> => {
  const tile = page.locator("article.tile", { has: page.getByRole("heading", { name: title }) });
  return Number.parseFloat((await tile.locator(".figure").innerText()).replaceAll(",", ""));
};

/** Polls until the condition holds. */
const until = async (what: string, holds: () => Promise<boolean>): Promise<void> => {
  const deadline = Date.now() + 30_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not in 30 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
};

test("the charts move while payments are made", async () => {
  await onPage(made, {}, async (page) => {
    await until("drawn at all", async () => (await page.locator(".chart canvas").count()) === 4);
    const figures = ["perSecond", "latencyP99Ms", "inFlight", "confirmedToday"];
    const before = new Map<string, string>();
    for (const name of figures) before.set(name, await drawn(page, name));
    let paying = true;
    const payments = (async () => {
      for (let number = 0; paying; number += 1) {
        const amount = { value: 1, currency: "USD" };
        await made.kpay.post("/v1/payments", { id: `load-${number}`, from: "alice", to: "bob", amount }, 10);
      }
    })();
    try {
      await until("throughput above 0", async () => (await figure(page, "Throughput")) > 0);
      await until("latency above 0", async () => (await figure(page, "Latency p99")) > 0);
      const confirmed = await figure(page, "Confirmed today");
      await until("more confirmed", async () => (await figure(page, "Confirmed today")) > confirmed);
      for (const name of figures) {
        await until(`${name} is drawn anew`, async () => (await drawn(page, name)) !== before.get(name));
      }
    } finally {
      paying = false;
      await payments;
    }
    await until("throughput falls to 0 again", async () => (await figure(page, "Throughput")) === 0);
  });
});

test("pause and resume by the buttons, and the phase follows", async () => {
  await onPage(made, {}, async (page) => {
    const phase = (name: string) => page.locator("#phase", { hasText: new RegExp(`^${name}$`) }).waitFor();
    await phase("Running");
    await page.getByRole("button", { name: "Pause" }).click();
    const dialog = page.getByRole("dialog", { name: "Pause the pipeline" });
    await dialog.getByLabel("Reason").fill("a test");
    await dialog.getByLabel("Who").fill("tester");
    await dialog.getByRole("button", { name: "Pause" }).click();
    await dialog.waitFor({ state: "detached" });
    await phase("Paused");
    assert.equal((await made.kpay.get("/v1/pipeline")).phase, "Paused");
    await page.locator("#phase-note", { hasText: /^by tester since .+: a test$/ }).waitFor();
    const amount = { value: 5, currency: "USD" };
    await made.kpay.post("/v1/payments", { id: "while-paused", from: "alice", to: "bob", amount });
    await page
      .getByRole("search", { name: "Payment by id" })
      .or(page.locator("#lookup"))
      .getByLabel("Payment id")
      .fill("while-paused");
    await page.getByRole("button", { name: "Look up" }).click();
    await page.locator("[data-payment=while-paused][data-status=accepted]").waitFor();
    await page.getByRole("button", { name: "Resume" }).click();
    const letGo = page.getByRole("dialog", { name: "Resume the pipeline" });
    await letGo.getByText(/^Held by tester since .+: a test$/).waitFor();
    await letGo.getByLabel("Who lets go").fill("tester");
    await letGo.getByRole("button", { name: "Resume" }).click();
    await letGo.waitFor({ state: "detached" });
    await phase("Running");
    await page.locator("[data-payment=while-paused][data-status=confirmed]").waitFor();
    await page.locator("#phase-note", { hasText: /^$/ }).waitFor({ state: "attached" });
  });
});

test("the gateway stops although the page listens, and the page comes back to it", async () => {
  await onPage(made, {}, async (page) => {
    await page.getByText("live", { exact: true }).waitFor();
    const { Kpay } = await import("./kpay.ts");
    const second = await Kpay.start();
    await page.goto(`${second.origin}/`);
    await page.getByText("live", { exact: true }).waitFor();
    await second.stop();
    await page.getByText("reconnecting", { exact: true }).waitFor();
  });
});
