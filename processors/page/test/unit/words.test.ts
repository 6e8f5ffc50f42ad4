import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ended, milliseconds, phaseTone, reason, span, spelled, status } from "../../src/words.ts";

test("every reason that the domain knows is in words", () => {
  const source = readFileSync("../domain/src/reason.rs", "utf8");
  const codes = [...source.matchAll(/=> "([a-z_]+)"/g)]
    .map(([, code]) => code ?? "")
    .filter((code) => code !== "other");
  assert.ok(codes.length >= 12, "the codes were found");
  for (const code of codes) assert.notEqual(reason(code), spelled(code), code);
});

test("an unknown code is spelled", () => {
  assert.equal(reason("of_a_newer_release"), "of a newer release");
  assert.equal(status("of_a_newer_release"), "Of a newer release");
});

test("only an outcome ends", () => {
  assert.deepEqual(["accepted", "in_flight", "held", "confirmed", "rejected", "reversed"].filter(ended), [
    "confirmed",
    "rejected",
    "reversed",
  ]);
});

test("spans and latencies have their unit", () => {
  assert.deepEqual([0, 999, 1000, 61_000, Number.NaN].map(span), ["+0 ms", "+999 ms", "+1.0 s", "+1 min", ""]);
  assert.deepEqual([1.24, 12.6, 2500].map(milliseconds), ["1.2 ms", "13 ms", "2.5 s"]);
});

test("a phase of a newer release is busy, an unknown one quiet", () => {
  assert.deepEqual(["Running", "Paused", "Failed", "Wiping", null].map(phaseTone), [
    "good",
    "warn",
    "bad",
    "busy",
    "quiet",
  ]);
});
