/** `kpay local` as a child with a folder of its own, and the REST API as a caller sees it. Only I/O. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const START_MS = 60_000;
const RESOURCE = `apiVersion: kpay.dev/v1alpha1
kind: PaymentPipeline
metadata: {name: payments}
spec:
  kafka: {bootstrapServers: none:9092}
`;

function needed(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; run cargo xtask test --tier page`);
  return value;
}

export class Kpay {
  private constructor(
    readonly origin: string,
    readonly pid: number,
    private readonly child: ChildProcess,
    private readonly folder: string,
    private readonly said: () => string,
  ) {}

  /** With `spec`, lines of the resource's, the pipeline is not everything at its default. */
  static async start(spec?: string): Promise<Kpay> {
    const folder = await mkdtemp(join(tmpdir(), "kpay-page-"));
    const args = ["local", "--listen", "127.0.0.1:0", "--data-dir", join(folder, "data")];
    if (spec !== undefined) {
      const file = join(folder, "pipeline.yaml");
      await writeFile(file, RESOURCE + spec);
      args.push("--file", file);
    }
    const child = spawn(needed("KPAY_BIN"), args, { stdio: ["ignore", "ignore", "pipe"] });
    const { promise, resolve, reject } = resolvers<string>();
    let said = "";
    child.stderr?.on("data", (chunk) => {
      said += chunk;
      const found = /on (http:\/\/[\d.:]+)/.exec(said);
      if (found?.[1]) resolve(found[1]);
    });
    child.on("error", reject);
    child.on("exit", () => reject(new Error(`kpay local has ended: ${said}`)));
    const timer = setTimeout(() => reject(new Error(`kpay local does not start: ${said}`)), START_MS);
    try {
      return new Kpay(await promise, child.pid ?? 0, child, folder, () => said);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends it, and expects that nobody who listens holds it up. */
  async stop(): Promise<void> {
    this.child.removeAllListeners("exit");
    const ended = once(this.child, "exit");
    this.child.kill("SIGTERM");
    const [code] = await ended;
    await rm(this.folder, { recursive: true });
    if (code !== 0 || this.said().includes("still being answered"))
      throw new Error(`ended with ${code}: ${this.said()}`);
  }

  async post(path: string, body: unknown, waitS?: number): Promise<Record<string, unknown>> {
    const prefer = waitS === undefined ? {} : { prefer: `wait=${waitS}` };
    const headers = { "content-type": "application/json", ...prefer };
    const answer = await fetch(this.origin + path, { method: "POST", headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`POST ${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as Record<string, unknown>;
  }

  async get(path: string): Promise<Record<string, unknown>> {
    const answer = await fetch(this.origin + path);
    if (!answer.ok) throw new Error(`GET ${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as Record<string, unknown>;
  }

  async open(id: string, funding: number, currency = "USD"): Promise<void> {
    const outcome = await this.post("/v1/accounts", { id, currency, funding }, 30);
    if (outcome.status !== "confirmed") throw new Error(`open ${id}: ${JSON.stringify(outcome)}`);
  }
}

function resolvers<T>() {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
