/** Amounts: integers of minor units, read and written without floating point. Pure. */

/** Digits after the point by ISO 4217, where it is not two. Intl follows the CLDR, which differs from it. */
const DIGITS: Record<string, number> = {
  ...Object.fromEntries(
    [
      "BIF",
      "CLP",
      "DJF",
      "GNF",
      "ISK",
      "JPY",
      "KMF",
      "KRW",
      "PYG",
      "RWF",
      "UGX",
      "VND",
      "VUV",
      "XAF",
      "XOF",
      "XPF",
    ].map((currency) => [currency, 0]),
  ),
  ...Object.fromEntries(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"].map((currency) => [currency, 3])),
};
const MINOR_MAX = 2n ** 63n - 1n;

/** What was typed, as minor units, or what is wrong with it. */
export type Parsed = { minor: bigint } | { problem: string };

export function digits(currency: string): number {
  return DIGITS[currency] ?? 2;
}

/** Reads "12.34" of a currency. A comma is refused: it means thousands to some and a decimal point to others. */
export function parse(text: string, currency: string): Parsed {
  const trimmed = text.trim();
  if (trimmed === "") return { problem: "Enter an amount." };
  const places = digits(currency);
  const example = places === 0 ? "1234" : `1234.${"5".padEnd(places, "0")}`;
  const match = /^(\d+)(?:\.(\d*))?$/.exec(trimmed);
  if (!match) return { problem: `Write the amount as ${example}: digits, with a point if anything.` };
  const [, whole = "", fraction = ""] = match;
  if (fraction.length > places) {
    const most = places === 0 ? "no digits" : `at most ${places} digits`;
    return { problem: `${currency} has ${most} after the point.` };
  }
  const minor = BigInt(whole + fraction.padEnd(places, "0"));
  return minor > MINOR_MAX ? { problem: "The amount is too large." } : { minor };
}

/** The decimal text of minor units: 1234 of USD is "12.34". */
export function decimal(minor: bigint, currency: string): string {
  const places = digits(currency);
  const negative = minor < 0n;
  const text = (negative ? -minor : minor).toString().padStart(places + 1, "0");
  const whole = text.slice(0, text.length - places);
  const fraction = text.slice(text.length - places);
  return `${negative ? "-" : ""}${whole}${fraction === "" ? "" : `.${fraction}`}`;
}

const formats = new Map<string, Intl.NumberFormat>();

/** For people, as "$12.34" in the reader's own language. */
export function format(minor: bigint | number | string, currency: string | undefined, locale?: string): string {
  const value = BigInt(minor);
  if (currency === undefined || !/^[A-Z]{3}$/.test(currency)) return `${value} minor units`;
  const key = `${locale ?? ""} ${currency}`;
  let format = formats.get(key);
  if (!format) {
    const places = digits(currency);
    const fraction = { minimumFractionDigits: places, maximumFractionDigits: places };
    format = new Intl.NumberFormat(locale, { style: "currency", currency, ...fraction });
    formats.set(key, format);
  }
  // A decimal text is formatted exactly, a number only up to 2^53.
  return format.format(decimal(value, currency) as unknown as number);
}
