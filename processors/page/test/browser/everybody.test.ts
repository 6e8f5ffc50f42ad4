/** The page for everybody: screen readers, keyboards, small windows, and nobody who listens in. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { elsewhere, tooWide, unaccessible } from "./checks.ts";
import { onPage, world } from "./world.ts";

const made = world();
const SMALL = { width: 380, height: 800 };

/** Fills every part of the page that this gateway has. */
async function fill(page: Page, id: string): Promise<void> {
  const amount = { value: 999_999_999, currency: "USD" };
  const reference = "a reference that is longer than the window is wide, as references are at times";
  await made.kpay.post("/v1/payments", { id, from: "bob", to: "alice", amount, reference }, 30);
  await page.locator("#lookup input").fill(id);
  await page.getByRole("button", { name: "Look up" }).click();
  await page.locator("[data-status=rejected]").waitFor();
  await page.locator("#find-account input").fill("alice");
  await page.locator("#find-account button").click();
  await page.locator("#account [data-balance]").waitFor();
  await page.getByText("Open an account").click();
  await page.locator(".chart canvas").first().waitFor();
}

for (const colorScheme of ["light", "dark"] as const) {
  for (const viewport of [{ width: 1280, height: 900 }, SMALL]) {
    test(`axe has no serious finding in ${colorScheme} at ${viewport.width} px`, async () => {
      await onPage(made, { colorScheme, viewport }, async (page) => {
        await fill(page, `axe-${colorScheme}-${viewport.width}`);
        const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        assert.equal(ground === "rgb(14, 19, 24)", colorScheme === "dark", ground);
        assert.deepEqual(await unaccessible(page), []);
        await page.locator("#pay button").click();
        await page.locator("#pay").getByRole("alert").waitFor();
        assert.deepEqual(await unaccessible(page), [], "with a complaint");
        const pause = page.getByRole("button", { name: "Pause" });
        if (await pause.isVisible()) {
          await pause.click();
          await page.getByRole("dialog").waitFor();
          assert.deepEqual(await unaccessible(page), [], "with a dialog");
        }
      });
    });
  }
}

test("at 380 px nothing is wider than the window", async () => {
  await onPage(made, { viewport: SMALL }, async (page) => {
    assert.deepEqual(await tooWide(page), [], "at first");
    await fill(page, `p-${"long".repeat(15)}`);
    assert.deepEqual(await tooWide(page), [], "filled");
  });
});

test("no request leaves the origin", async () => {
  await onPage(made, {}, async (page, seen) => {
    await fill(page, "origin-1");
    assert.ok(seen.requests.length > 5, "requests were seen");
    assert.deepEqual(elsewhere(made.kpay.origin, seen.requests), []);
  });
});

test("a payment is made by the keyboard alone", async () => {
  await onPage(made, {}, async (page) => {
    const focused = () => page.evaluate(() => document.activeElement?.getAttribute("name") ?? "");
    for (let presses = 0; (await focused()) !== "from"; presses += 1) {
      assert.ok(presses < 20, "the form is reached within a few tabs");
      await page.keyboard.press("Tab");
    }
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement ?? document.body).outlineStyle);
    assert.equal(outline, "solid", "the focus is seen");
    for (const text of ["alice", "bob", "0.05"]) {
      await page.keyboard.type(text);
      await page.keyboard.press("Tab");
    }
    assert.equal(await focused(), "currency");
    await page.keyboard.press("Enter");
    await page.locator("#payment [data-status=confirmed]").waitFor();
  });
});

test("the first tab leads past the header", async () => {
  await onPage(made, {}, async (page) => {
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement?.id), "main");
  });
});

test("what the checks are to find they find", async () => {
  await onPage(made, { viewport: SMALL }, async (page) => {
    await page.evaluate(() => {
      const planted = document.createElement("div");
      planted.id = "planted";
      planted.style.width = "500px";
      planted.append(Object.assign(document.createElement("input"), { name: "nameless" }));
      document.body.append(planted);
    });
    assert.match((await unaccessible(page)).join("\n"), /^label: .*nameless/);
    assert.match((await tooWide(page)).join("\n"), /planted/);
  });
  assert.deepEqual(elsewhere("http://a:1", ["http://a:1/x", "http://a:2/x", "https://a:1/"]), [
    "http://a:2/x",
    "https://a:1/",
  ]);
});

test("the policy keeps out what is in line and what is from elsewhere", async () => {
  await onPage(made, {}, async (page, seen) => {
    const ran = await page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "globalThis.planted = true";
      document.body.append(script);
      const image = document.createElement("img");
      image.alt = "";
      image.src = "http://192.0.2.1/x.png";
      document.body.append(image);
      return "planted" in globalThis;
    });
    assert.equal(ran, false);
    const refused = seen.errors.splice(0).filter((error) => /Content Security Policy/.test(error));
    assert.ok(refused.length >= 1, "the browser says so");
  });
});
