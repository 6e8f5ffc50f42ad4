/** The description of the API in Swagger UI. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { elsewhere } from "./checks.ts";
import { onPage, world } from "./world.ts";

const made = world();

interface Described {
  paths: Record<string, Record<string, { operationId: string }>>;
}

test("every operation is shown, one is tried, and no request leaves the origin", async () => {
  const { paths } = (await made.kpay.get("/openapi.json")) as unknown as Described;
  const described = Object.values(paths).flatMap((methods) => Object.values(methods));
  const operations = described.map((operation) => operation.operationId);
  assert.ok(operations.length > 20, "there are some");
  await onPage(made, {}, async (page, seen) => {
    await page.getByRole("link", { name: "REST API" }).click();
    await page.waitForURL("**/docs");
    await page.waitForSelector("html[data-ready]");
    const shown = page.locator(".opblock");
    await shown.first().waitFor();
    const ids = await shown.evaluateAll((found) => found.map((operation) => operation.id));
    const missing = operations.filter((operation) => !ids.some((id) => id.endsWith(`-${operation}`)));
    assert.deepEqual([missing, ids.length], [[], operations.length]);

    const pay = page.locator("[id$=-create_payment]");
    await pay.locator(".opblock-summary-control").click();
    await pay.getByText("the id was used before with another body").waitFor();

    const look = page.locator("[id$=-get_pipeline]");
    await look.locator(".opblock-summary-control").click();
    await look.getByRole("button", { name: "Try it out" }).click();
    await look.getByRole("button", { name: "Execute" }).click();
    await look.locator(".live-responses-table").getByText("confirmedToday").first().waitFor();
    assert.ok(seen.requests.includes(`${made.kpay.origin}/v1/pipeline`), "it was asked");
    assert.deepEqual(elsewhere(made.kpay.origin, seen.requests), []);
  });
});

test("it comes under the same policy as the page", async () => {
  const policies = await Promise.all(
    ["/", "/docs"].map(async (path) => {
      const answer = await fetch(made.kpay.origin + path, { headers: { accept: "text/html" } });
      return answer.headers.get("content-security-policy");
    }),
  );
  assert.match(policies[0] ?? "", /^default-src 'self';/);
  assert.equal(policies[1], policies[0]);
  assert.doesNotMatch(policies[0] ?? "", /unsafe|data:|blob:|https?:/);
});
