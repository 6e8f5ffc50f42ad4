import assert from "node:assert/strict";
import { test } from "node:test";
import { read, write } from "../../src/json.ts";

test("large integers are read digit by digit", () => {
  assert.deepEqual(read('{"a": 9007199254740993, "b": -9223372036854775808, "c": 12}'), {
    a: "9007199254740993",
    b: "-9223372036854775808",
    c: 12,
  });
});

test("texts and fractions stay what they are", () => {
  const text = '{"t": "1234567890123456789", "q": "say \\"1234567890123456789\\"", "f": 0.1234567890123456789}';
  assert.deepEqual(read(text), { t: "1234567890123456789", q: 'say "1234567890123456789"', f: 0.12345678901234568 });
});

test("a bigint is written as an integer", () => {
  const value = { amount: { value: 9223372036854775807n, currency: "USD" }, id: "12" };
  assert.equal(write(value), '{"amount":{"value":9223372036854775807,"currency":"USD"},"id":"12"}');
});
