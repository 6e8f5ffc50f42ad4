/** What every test begins with: a pipeline, a browser, a page in it. Only I/O. */

import { after, before } from "node:test";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { Kpay } from "./kpay.ts";

export interface World {
  kpay: Kpay;
  browser: Browser;
}

/** One pipeline, with `spec` in its resource, and one browser for the tests of a file. */
export function world(spec?: string): World {
  const made = {} as World;
  before(async () => {
    made.kpay = await Kpay.start(spec);
    made.browser = await chromium.launch({
      executablePath: process.env.KPAY_CHROMIUM ?? "/usr/bin/chromium",
      // Root may not use the sandbox; what is opened is our own.
      args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
    });
    await made.kpay.open("alice", 100_000);
    await made.kpay.open("bob", 0);
  });
  after(async () => {
    await made.browser?.close();
    await made.kpay?.stop();
  });
  return made;
}

/** Every request that a page made, and every error that it met. */
export interface Seen {
  requests: string[];
  errors: string[];
}

/** Runs `steps` on a new page that has shown its first figures, and expects that it met no error. */
export async function onPage(
  { kpay, browser }: World,
  options: BrowserContextOptions,
  steps: (page: Page, seen: Seen) => Promise<void>,
): Promise<void> {
  const context = await browser.newContext({ locale: "en-US", viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(20_000);
  try {
    const page = await context.newPage();
    const seen: Seen = { requests: [], errors: [] };
    page.on("request", (request) => seen.requests.push(request.url()));
    page.on("pageerror", (error) => seen.errors.push(String(error)));
    page.on("console", (message) => {
      // A refusal of the API is the page's to show, and the browser logs it as an error.
      if (message.type() === "error" && !message.text().includes("Failed to load resource"))
        seen.errors.push(message.text());
    });
    await page.goto(`${kpay.origin}/`);
    await page.waitForSelector("html[data-ready]");
    await page.getByText("live", { exact: true }).waitFor();
    await steps(page, seen);
    if (seen.errors.length > 0) throw new Error(`the page met errors: ${seen.errors.join("\n")}`);
  } finally {
    await context.close();
  }
}
