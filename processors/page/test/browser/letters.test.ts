import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page, Route } from "playwright-core";
import { onPage, world } from "./world.ts";

const made = world();

/**
 * A record that nobody can read comes by Kafka only, and `kpay local` has none: these letters are the contract's, told
 * by the test in the gateway's place. That the gateway keeps the contract is tested where it is made.
 */
const LETTER = {
  id: "2-17",
  at: "2026-11-24T12:00:00.000Z",
  code: "protobuf_invalid",
  detail: "body: invalid wire type: 7",
  stage: "inflight",
  source: { topic: "default.payments.payment.incoming", partition: 2, offset: 17 },
  key: "p-9",
  replays: 0,
};

async function told(page: Page, replays: unknown[]): Promise<void> {
  const json = (route: Route, status: number, body: unknown) =>
    route.fulfill({ status, contentType: "application/json", body: JSON.stringify(body) });
  await page.route("**/openapi.json", async (route) => {
    const document = (await (await route.fetch()).json()) as { paths: Record<string, object> };
    document.paths["/v1/dead-letters"] = { get: {} };
    document.paths["/v1/dead-letters/{id}"] = { get: {} };
    document.paths["/v1/dead-letters/{id}/replay"] = { post: {} };
    await json(route, 200, document);
  });
  await page.route("**/v1/dead-letters**", async (route) => {
    const second = route.request().url().includes("after=2-17");
    const letters = second ? [{ ...LETTER, id: "3-1" }] : [{ ...LETTER, replays: replays.length }];
    await json(route, 200, { deadLetters: letters, ...(second ? {} : { next: "2-17" }) });
  });
  await page.route("**/v1/dead-letters/2-17", (route) =>
    json(route, 200, {
      ...LETTER,
      headers: [{ key: "trace", value: "t-1" }],
      value: { bytes: 7, hex: "67", text: "<b>garbage" },
    }),
  );
  await page.route("**/v1/dead-letters/2-17/replay", async (route) => {
    replays.push(route.request().postDataJSON());
    await json(route, 202, {});
  });
}

test("dead letters are listed, shown and replayed with who and why", async () => {
  await onPage(made, {}, async (page) => {
    const replays: unknown[] = [];
    await told(page, replays);
    await page.reload();
    const section = page.getByRole("region", { name: "Dead letters" }).first();
    await section.getByRole("button", { name: "Show dead letter 2-17" }).waitFor();
    await section.getByRole("button", { name: "More" }).click();
    await section.getByRole("button", { name: "Show dead letter 3-1" }).waitFor();
    await section.getByRole("button", { name: "Show dead letter 2-17" }).click();
    const dialog = page.getByRole("dialog", { name: "Dead letter 2-17" });
    await dialog.getByText("<b>garbage").waitFor();
    await dialog.getByText("default.payments.payment.incoming, partition 2, offset 17").waitFor();
    await dialog.getByRole("button", { name: "Replay" }).click();
    await dialog.getByRole("alert").filter({ hasText: "Who replays it is missing" }).waitFor();
    await dialog.getByLabel("Who").fill("ops");
    await dialog.getByLabel("Why").fill("fixed at the sender");
    await dialog.getByRole("button", { name: "Replay" }).click();
    await dialog.waitFor({ state: "detached" });
    assert.deepEqual(replays, [{ by: "ops", reason: "fixed at the sender" }]);
    await section.getByRole("cell", { name: "1", exact: true }).waitFor();
  });
});

test("what this gateway serves is what the page shows", async () => {
  const { paths } = (await made.kpay.get("/openapi.json")) as { paths: Record<string, object> };
  await onPage(made, {}, async (page) => {
    assert.equal(await page.locator("#letters-section").isVisible(), "/v1/dead-letters" in paths);
    assert.equal(await page.locator("#accounts").isVisible(), "get" in (paths["/v1/accounts"] ?? {}));
    await page.locator("#phase", { hasText: "Running" }).waitFor();
    assert.equal(await page.locator("#pause").isVisible(), "/v1/pipeline/pause" in paths);
  });
});
