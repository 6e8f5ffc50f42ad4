/** The live figures: server-sent events into tiles, and the phase to who wants it. I/O and the document. */

import type { Pipeline, PipelineEvent, Sum } from "./api.ts";
import { Tile, type TileText } from "./charts.ts";
import { byId } from "./dom.ts";
import * as json from "./json.ts";
import * as money from "./money.ts";
import { Series } from "./series.ts";
import { milliseconds, rate, type Tone } from "./words.ts";

const SPAN_S = 300;
/** After a refusal; a browser comes back by itself only from a connection that broke. */
const AGAIN_MS = 5_000;

const count = (value: number) => value.toLocaleString();
const TILES: TileText[] = [
  {
    figure: "perSecond",
    title: "Throughput",
    unit: "per s",
    show: rate,
    about: "Finished payments per second over the last five minutes",
  },
  {
    figure: "latencyP99Ms",
    title: "Latency p99",
    unit: "",
    show: milliseconds,
    about: "99th percentile of the latency over the last five minutes, in milliseconds",
  },
  {
    figure: "inFlight",
    title: "In flight",
    unit: "",
    show: count,
    about: "Payments in flight over the last five minutes",
  },
  {
    figure: "confirmedToday",
    title: "Confirmed today",
    unit: "",
    show: count,
    about: "Payments confirmed today, over the last five minutes",
  },
];

/** Starts following. `onPipeline` is told of every event. */
export function follow(onPipeline: (pipeline: Pipeline) => void): void {
  const series = new Series(SPAN_S);
  const tiles = TILES.map((text) => new Tile(text));
  byId("tiles").append(...tiles.map((tile) => tile.element));
  let last: PipelineEvent | null = null;
  const draw = () => {
    const details = ["over ten seconds", "over ten seconds", worth(last?.inFlight), worth(last?.confirmedToday)];
    tiles.forEach((tile, at) => {
      tile.show(series, details[at] ?? "");
    });
  };
  draw();
  addEventListener("resize", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  listen((event) => {
    last = event;
    series.push({
      atS: Math.floor(Date.now() / 1000),
      perSecond: event.perSecond,
      latencyP99Ms: event.latencyP99Ms,
      inFlight: event.inFlight?.count ?? null,
      confirmedToday: event.confirmedToday?.count ?? null,
    });
    // A page that nobody sees keeps its figures and draws them when it is looked at again.
    if (!document.hidden) draw();
    onPipeline(event);
  });
}

function listen(onEvent: (event: PipelineEvent) => void): void {
  const source = new EventSource("/v1/events");
  source.addEventListener("open", () => connection("live", "good"));
  source.addEventListener("pipeline", (event) => onEvent(json.read(event.data) as PipelineEvent));
  source.addEventListener("error", () => {
    connection("reconnecting", "warn");
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => listen(onEvent), AGAIN_MS);
    }
  });
}

function connection(text: string, tone: Tone): void {
  const shown = byId("connection");
  if (shown.textContent !== text) shown.textContent = text;
  shown.dataset.tone = tone;
}

/** The value of a sum by currency. */
function worth(sum: Sum | null | undefined): string {
  return Object.entries(sum?.value ?? {})
    .filter(([, minor]) => BigInt(minor) !== 0n)
    .map(([currency, minor]) => money.format(minor, currency))
    .join(" · ");
}
