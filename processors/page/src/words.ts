/** Codes in words, times and spans for people. Pure. */

const REASONS: Record<string, string> = {
  amount_not_positive: "the amount is not above zero",
  same_account: "payer and payee are one account",
  currency_unknown: "the currency is not known",
  unknown_account: "there is no such account",
  account_closed: "the account is closed",
  account_frozen: "the account is frozen",
  currency_mismatch: "the account holds another currency",
  insufficient_funds: "the payer has not enough money",
  account_exists: "the account was opened before",
  balance_overflow: "the balance would become too large",
  account_not_frozen: "the account is not frozen",
  balance_not_zero: "the account still holds money",
  rule_refused: "a rule refuses it",
  hold_refused: "a person refused it",
  hold_expired: "nobody decided in time",
  hold_unknown: "the payment is not held",
  hold_not_expired: "the hold is not over yet",
  refund_exceeds_payment: "all refunds together would be more than the payment",
  debits_waiting_full: "too many debits of the account wait",
  limit_exceeded: "the payer's limit is exceeded",
  refused: "a person refused it",
};

const STATUS: Record<string, string> = {
  accepted: "Accepted",
  in_flight: "In flight",
  held: "Held",
  confirmed: "Confirmed",
  rejected: "Rejected",
  reversed: "Reversed",
  opening: "Opening",
  open: "Open",
  frozen: "Frozen",
  closed: "Closed",
};

export type Tone = "good" | "bad" | "warn" | "busy" | "quiet";

/** A code nobody has put into words yet is shown as its own words. */
export function spelled(code: string): string {
  return code.replaceAll("_", " ");
}

export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function reason(code: string): string {
  return REASONS[code] ?? spelled(code);
}

export function status(code: string): string {
  return STATUS[code] ?? capital(spelled(code));
}

export function statusTone(code: string): Tone {
  switch (code) {
    case "confirmed":
    case "open":
      return "good";
    case "rejected":
    case "closed":
      return "bad";
    case "reversed":
    case "held":
    case "frozen":
      return "warn";
    case "accepted":
    case "in_flight":
    case "opening":
      return "busy";
    default:
      return "quiet";
  }
}

export function phaseTone(phase: string | null): Tone {
  switch (phase) {
    case "Running":
      return "good";
    case "Paused":
      return "warn";
    case "Failed":
      return "bad";
    case null:
      return "quiet";
    default:
      return "busy";
  }
}

/** Whether the payment has its outcome. */
export function ended(code: string): boolean {
  return code === "confirmed" || code === "rejected" || code === "reversed";
}

/** "+12 ms", "+3.4 s", "+2 min": from one step to the next. */
export function span(ms: number): string {
  if (!Number.isFinite(ms)) return "";
  if (ms < 1000) return `+${Math.round(ms)} ms`;
  if (ms < 60_000) return `+${(ms / 1000).toFixed(1)} s`;
  return `+${Math.round(ms / 60_000)} min`;
}

export function milliseconds(ms: number): string {
  return ms < 1000 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export function rate(perSecond: number): string {
  return perSecond < 10 ? perSecond.toFixed(1) : Math.round(perSecond).toLocaleString();
}
