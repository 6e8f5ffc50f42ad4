import assert from "node:assert/strict";
import { test } from "node:test";
import { type Sample, Series } from "../../src/series.ts";

const sample = (atS: number, perSecond: number | null): Sample => ({
  atS,
  perSecond,
  latencyP99Ms: 1,
  inFlight: null,
  confirmedToday: atS,
});

test("only the span is kept, with gaps where nothing was known", () => {
  const series = new Series(10);
  for (let atS = 0; atS <= 100; atS += 1) series.push(sample(atS, atS % 2 === 0 ? atS : null));
  const [times, values] = series.columns("perSecond");
  assert.deepEqual([times[0], times.at(-1), times.length], [90, 100, 11]);
  assert.deepEqual(values.slice(0, 3), [90, null, 92]);
});

test("a clock that is set back begins anew", () => {
  const series = new Series(10);
  series.push(sample(100, 1));
  series.push(sample(40, 2));
  assert.deepEqual(series.columns("perSecond"), [[40], [2]]);
});
