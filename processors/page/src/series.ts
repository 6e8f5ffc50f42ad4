/** The last minutes of the figures, for the charts. Pure. */

/** One moment; null is "not known", and a gap in the chart. */
export interface Sample {
  atS: number;
  perSecond: number | null;
  latencyP99Ms: number | null;
  inFlight: number | null;
  confirmedToday: number | null;
}

export type Figure = Exclude<keyof Sample, "atS">;

/** Keeps the samples of one span of time and forgets older ones. */
export class Series {
  #samples: Sample[] = [];

  constructor(readonly spanS: number) {}

  /** A clock that was set back begins anew: the times of a chart must grow. */
  push(sample: Sample): void {
    const last = this.#samples.at(-1);
    if (last && sample.atS <= last.atS) this.#samples = [];
    this.#samples.push(sample);
    const oldest = sample.atS - this.spanS;
    const keep = this.#samples.findIndex((held) => held.atS >= oldest);
    if (keep > 0) this.#samples.splice(0, keep);
  }

  /** Times and values, as uPlot takes them. */
  columns(figure: Figure): [number[], (number | null)[]] {
    return [this.#samples.map((sample) => sample.atS), this.#samples.map((sample) => sample[figure])];
  }
}
