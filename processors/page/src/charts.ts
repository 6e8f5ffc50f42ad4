/** The tiles: a figure and its chart. Only the document; the numbers come from a series. */

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { h } from "./dom.ts";
import type { Figure, Series } from "./series.ts";

export interface TileText {
  figure: Figure;
  title: string;
  /** What the chart shows, for who does not see it. */
  about: string;
  unit: string;
  show: (value: number) => string;
}

const HEIGHT = 112;

/** A figure with its last minutes. */
export class Tile {
  readonly element: HTMLElement;
  readonly #value = h("p", { class: "figure" }, "–");
  readonly #detail = h("p", { class: "muted detail" }, "\u00a0");
  readonly #chart: HTMLElement;
  readonly #text: TileText;
  #plot: uPlot | null = null;
  #said = "\u00a0";
  #drawn = "";

  constructor(text: TileText) {
    this.#text = text;
    this.#chart = h("div", { class: "chart", role: "img", "aria-label": text.about, "data-figure": text.figure });
    this.element = h("article", { class: "tile" }, h("h3", {}, text.title), this.#value, this.#detail, this.#chart);
  }

  /** Draws anew. `detail` is what stands under the figure. */
  show(series: Series, detail: string): void {
    const data = series.columns(this.#text.figure);
    const last = data[1].at(-1) ?? null;
    this.#value.replaceChildren(
      last === null ? "–" : this.#text.show(last),
      h("span", { class: "unit" }, ` ${this.#text.unit}`),
    );
    this.#said = detail === "" ? "\u00a0" : detail;
    // Colours and sizes are read when a plot is made.
    const look = `${this.#chart.clientWidth} ${getComputedStyle(this.#chart).color}`;
    if (this.#plot && look !== this.#drawn) {
      this.#plot.destroy();
      this.#plot = null;
    }
    if (!this.#plot && this.#chart.clientWidth > 0) {
      this.#plot = new uPlot(this.#options(series.spanS), data, this.#chart);
      this.#drawn = look;
    }
    this.#plot?.setData(data);
    if (this.#plot?.cursor.idx == null) this.#detail.textContent = this.#said;
  }

  #options(spanS: number): uPlot.Options {
    const style = getComputedStyle(this.#chart);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--muted"), font: `11px ${style.fontFamily}`, ticks: { show: false } };
    const now = (max: number): [number, number] => (Number.isFinite(max) ? [max - spanS, max] : [0, spanS]);
    return {
      width: this.#chart.clientWidth,
      height: HEIGHT,
      padding: [6, 4, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { range: (_, __, max) => now(max) },
        y: { range: (_, __, max) => [0, Math.max(1, max * 1.15)] },
      },
      axes: [
        { ...axis, size: 20, space: 50, grid: { show: false } },
        {
          ...axis,
          size: 44,
          space: 32,
          grid: { stroke: colour("--line"), width: 1 },
          values: (_, ticks) => ticks.map(brief),
        },
      ],
      series: [
        {},
        {
          stroke: colour("--accent"),
          width: 1.75,
          fill: colour("--accent-soft"),
          points: { show: false },
          spanGaps: false,
        },
      ],
      hooks: { setCursor: [(plot) => this.#point(plot)] },
    };
  }

  /** Says the value under the pointer instead of the detail. */
  #point(plot: uPlot): void {
    const at = plot.cursor.idx;
    const [times, values] = plot.data;
    const value = at == null ? null : values?.[at];
    const time = at == null ? undefined : times[at];
    const moment = time === undefined ? "" : new Date(time * 1000).toLocaleTimeString();
    this.#detail.textContent = value == null ? this.#said : `${moment}: ${this.#text.show(value)} ${this.#text.unit}`;
  }
}

/** A tick of the axis, short: 1200 is 1.2K. */
function brief(value: number): string {
  return new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 }).format(value);
}
