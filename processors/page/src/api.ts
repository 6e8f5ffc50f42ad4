/** The REST API of the gateway that serves this page. Only I/O. */

import type { Integer } from "./json.ts";
import * as json from "./json.ts";

export interface Amount {
  value: Integer;
  currency?: string;
}
export interface Sum {
  count: number;
  value: Record<string, Integer>;
}
export interface Holder {
  holder: string;
  reason?: string;
  since?: string;
  until?: string;
}
export interface Pipeline {
  phase: string | null;
  desiredPhase: string | null;
  epoch: number | null;
  inFlight: Sum | null;
  confirmedToday: Sum | null;
  pausedBy?: string;
  reason?: string;
  since?: string;
  holders?: Holder[];
}
export interface PipelineEvent extends Pipeline {
  perSecond: number | null;
  latencyP99Ms: number | null;
}
export interface Payment {
  id: string;
  status: string;
  kind?: string;
  reason?: string;
  from?: string;
  to?: string;
  account?: string;
  amount?: Amount;
  reference?: string;
  note?: string;
  timeline: { at: string; step: string }[];
}
export interface Hold {
  id: string;
  from: string;
  to: string;
  amount: Amount;
  reference?: string;
  rule: string;
  message?: string;
  heldAt: string;
  expiresAt: string;
}
export interface Account {
  id: string;
  currency?: string;
  balance?: Integer;
  status: string;
  version?: number;
  commandId?: string;
  note?: string;
}
export interface Entry {
  id: string;
  kind: string;
  counterparty?: string;
  amount: Amount;
  balance: Integer;
  version: number;
  at: string;
}
export interface Letter {
  id: string;
  at: string;
  code: string;
  detail: string;
  stage: string;
  source: { topic: string; partition: number; offset: Integer };
  key?: string | null;
  replays: number;
}
export interface LetterInFull extends Letter {
  headers?: { key?: string; name?: string; value?: string }[];
  value?: { bytes: number; hex?: string; text?: string; decoded?: unknown };
}

/** What the API answered instead: problem details with a stable code. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly field?: string,
  ) {
    super(message);
  }

  /** The field of a form: amount.value and funding are both entered as an amount. */
  formField(): string | undefined {
    if (this.field === "amount.currency") return "currency";
    if (this.field === "amount.value" || this.field === "funding") return "amount";
    return this.field;
  }
}

async function request<T>(method: string, path: string, body?: unknown, waitS?: number): Promise<T> {
  const headers: Record<string, string> = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (waitS !== undefined) headers.prefer = `wait=${waitS}`;
  let response: Response;
  try {
    response = await fetch(
      path,
      body === undefined ? { method, headers } : { method, headers, body: json.write(body) },
    );
  } catch {
    throw new Problem(0, "unreachable", "The gateway does not answer.");
  }
  const text = await response.text();
  let said: unknown;
  try {
    said = text === "" ? {} : json.read(text);
  } catch {
    throw new Problem(
      response.status,
      "unreadable",
      `The gateway's answer cannot be read (status ${response.status}).`,
    );
  }
  if (response.ok) return said as T;
  const { code = "", title = "", detail = "", field } = said as Record<string, string | undefined>;
  throw new Problem(response.status, code, [title, detail].filter(Boolean).join(": "), field);
}

const at = encodeURIComponent;
const page = (path: string, after: string | undefined, limit: number) =>
  `${path}?limit=${limit}${after === undefined ? "" : `&after=${at(after)}`}`;

export const pipeline = () => request<Pipeline>("GET", "/v1/pipeline");
export const pause = (body: { reason?: string; holder?: string; expiresIn?: string }) =>
  request<Pipeline>("POST", "/v1/pipeline/pause", body);
export const resume = (body: { holder?: string }) => request<Pipeline>("POST", "/v1/pipeline/resume", body);

export interface NewPayment {
  id: string;
  from: string;
  to: string;
  amount: { value: bigint; currency: string };
  reference?: string;
}
export const pay = (body: NewPayment) => request<Payment>("POST", "/v1/payments", body);
export const payment = (id: string) => request<Payment>("GET", `/v1/payments/${at(id)}`);
export const holds = (after?: string) => request<{ holds: Hold[]; next?: string }>("GET", page("/v1/holds", after, 20));
export type Verdict = "release" | "refuse";
/** The outcome of the command that decides, which may come too late; `accepted` while the pipeline is paused. */
export const decide = (id: string, verdict: Verdict, body: { by: string; why: string }) =>
  request<Payment>("POST", `/v1/payments/${at(id)}/${verdict}`, body, 10);
export const refund = (id: string, body: { amount?: { value: bigint; currency: string } }) =>
  request<Payment>("POST", `/v1/payments/${at(id)}/refund`, body);

export const open = (body: { id: string; currency: string; funding?: bigint }) =>
  request<Payment>("POST", "/v1/accounts", body, 10);
export const fund = (id: string, body: { amount: { value: bigint; currency?: string } }) =>
  request<Payment>("POST", `/v1/accounts/${at(id)}/fund`, body, 10);
export const account = (id: string) => request<Account>("GET", `/v1/accounts/${at(id)}`);
export const accounts = (after?: string) =>
  request<{ accounts: Account[]; next?: string }>("GET", page("/v1/accounts", after, 20));
export const ledger = (id: string, after?: string) =>
  request<{ entries: Entry[]; next?: string }>("GET", page(`/v1/accounts/${at(id)}/ledger`, after, 20));

export const letters = (after?: string) =>
  request<{ deadLetters: Letter[]; next?: string }>("GET", page("/v1/dead-letters", after, 20));
export const letter = (id: string) => request<LetterInFull>("GET", `/v1/dead-letters/${at(id)}`);
export const replay = (id: string, body: { by: string; reason: string }) =>
  request<unknown>("POST", `/v1/dead-letters/${at(id)}/replay`, body);

export type Served = (method: "get" | "post", path: string) => boolean;

/** Asks what this gateway serves: an older one has less, and the page shows less. Names in braces do not matter. */
export async function served(): Promise<Served> {
  const { paths = {} } = await request<{ paths?: Record<string, object> }>("GET", "/openapi.json");
  const plain = (path: string) => path.replaceAll(/\{[^}]*\}/g, "{}");
  const known = new Set(
    Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${plain(path)}`),
    ),
  );
  return (method, path) => known.has(`${method} ${plain(path)}`);
}
