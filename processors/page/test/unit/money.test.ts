import assert from "node:assert/strict";
import { test } from "node:test";
import { decimal, format, parse } from "../../src/money.ts";

const minor = (text: string, currency: string): bigint => {
  const parsed = parse(text, currency);
  assert.ok("minor" in parsed, `${text} ${currency} was refused`);
  return parsed.minor;
};
const problem = (text: string, currency: string): string => {
  const parsed = parse(text, currency);
  assert.ok("problem" in parsed, `${text} ${currency} was read`);
  return parsed.problem;
};

test("an amount is read by the digits of its currency", () => {
  for (const [text, currency, expected] of [
    ["12.34", "USD", 1234n],
    ["12.3", "USD", 1230n],
    ["12.", "USD", 1200n],
    ["12", "USD", 1200n],
    ["0.01", "USD", 1n],
    ["007.5", "EUR", 750n],
    [" 5 ", "USD", 500n],
    ["1234", "JPY", 1234n],
    ["1.234", "KWD", 1234n],
    ["1.5", "KWD", 1500n],
  ] as const) {
    assert.equal(minor(text, currency), expected, `${text} ${currency}`);
  }
});

test("no amount goes through a float", () => {
  assert.equal(minor("0.29", "USD"), 29n, "0.29 * 100 is 28.999999999999996");
  assert.equal(minor("92233720368547758.07", "USD"), 9223372036854775807n);
  assert.equal(minor("90071992547409.93", "USD"), 9007199254740993n, "one more than a number can tell");
});

test("what is not clear is refused in words", () => {
  assert.match(problem("", "USD"), /Enter an amount/);
  assert.match(problem("1,234", "USD"), /1234\.50/);
  assert.match(problem("12,50", "EUR"), /with a point/);
  assert.match(problem("1.234", "USD"), /at most 2 digits/);
  assert.match(problem("1.5", "JPY"), /no digits/);
  assert.match(problem("92233720368547758.08", "USD"), /too large/);
  for (const text of ["-1", "+1", "1e3", "$5", ".", ".5", "0x10", "١"]) problem(text, "USD");
});

test("minor units are shown with the digits of ISO 4217, exactly", () => {
  assert.equal(decimal(-5n, "USD"), "-0.05");
  assert.equal(decimal(0n, "KWD"), "0.000");
  assert.equal(decimal(7n, "JPY"), "7");
  assert.equal(format(123456, "USD", "en-US"), "$1,234.56");
  assert.equal(format(123456, "JPY", "en-US"), "¥123,456");
  assert.equal(format(123456, "IQD", "en-US").replace(/\s/g, " "), "IQD 123.456", "the CLDR would have no digits");
  assert.equal(format("9223372036854775807", "USD", "en-US"), "$92,233,720,368,547,758.07");
  assert.equal(format(5, undefined), "5 minor units");
});

test("what is shown is what is read", () => {
  for (const currency of ["USD", "JPY", "BHD"]) {
    for (const value of [1n, 9n, 10n, 99n, 1000n, 123456789012345678n]) {
      assert.equal(minor(decimal(value, currency), currency), value);
    }
  }
});
