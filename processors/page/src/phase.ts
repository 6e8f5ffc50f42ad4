/** The pipeline's phase with pause and resume. I/O and the document. */

import type { Holder, Pipeline, Served } from "./api.ts";
import * as api from "./api.ts";
import { ask } from "./dialog.ts";
import { announce, byId, h, said, value } from "./dom.ts";
import { phaseTone } from "./words.ts";

const SHORT = { dateStyle: "short", timeStyle: "short" } as const;

const at = (word: string, time: string | undefined): string =>
  time === undefined ? "" : `${word} ${new Date(time).toLocaleString(undefined, SHORT)}`;

/** Somebody who wants the pause, since and until when, and why. */
function pausing(by: string | undefined, { reason, since, until }: Partial<Holder>): string {
  const who = [by && `by ${by}`, at("since", since), at("until", until)].filter(Boolean).join(" ");
  return [who, reason].filter(Boolean).join(": ");
}

/** All who want it. */
function all({ pausedBy, reason, since, holders }: Pipeline): string[] {
  const byPhase = pausing(pausedBy, { ...(reason && { reason }), ...(since && { since }) });
  return [byPhase, ...(holders ?? []).map((one) => pausing(one.holder, one))];
}

/** Returns what shows a pipeline that was read. */
export function phase(served: Served): (pipeline: Pipeline) => void {
  const [badge, note] = [byId("phase"), byId("phase-note")];
  const [pause, resume] = [byId<HTMLButtonElement>("pause"), byId<HTMLButtonElement>("resume")];
  const pausable = served("post", "/v1/pipeline/pause");
  const resumable = served("post", "/v1/pipeline/resume");
  let shown = "";
  let holders: Holder[] = [];

  const show = (pipeline: Pipeline) => {
    const text = pipeline.phase ?? "Phase unknown";
    if (text !== shown) {
      badge.textContent = text;
      badge.dataset.tone = phaseTone(pipeline.phase);
      if (shown !== "") announce(`The pipeline is ${text}.`);
      shown = text;
    }
    const under = pipeline.phase !== null && pipeline.phase !== pipeline.desiredPhase;
    const wanted = under && pipeline.desiredPhase ? `wanted: ${pipeline.desiredPhase}` : "";
    const wish = [wanted, ...all(pipeline)].filter(Boolean).join(" · ");
    if (note.dataset.wish !== wish) {
      note.dataset.wish = wish;
      note.textContent = wish;
    }
    holders = pipeline.holders ?? [];
    swap(pause, resume, pipeline.desiredPhase === "Paused");
  };

  /** Shows the one that can be pressed; the focus goes along, so that the keyboard keeps its place. */
  const swap = (pause: HTMLButtonElement, resume: HTMLButtonElement, paused: boolean) => {
    const [comes, goes, can] = paused ? [resume, pause, resumable] : [pause, resume, pausable];
    const focused = document.activeElement === goes;
    comes.hidden = !can;
    goes.hidden = true;
    if (focused && can) comes.focus();
  };

  pause.addEventListener("click", () =>
    ask({
      title: "Pause the pipeline",
      about: ["The intake stops, what is in flight is finished, and payments that come in meanwhile are kept."],
      fields: [
        { name: "reason", label: "Reason" },
        { name: "holder", label: "Who" },
        { name: "expiresIn", label: "For", hint: "30m" },
      ],
      act: "Pause",
      send: async (form) => {
        const [reason, holder] = [value(form, "reason"), value(form, "holder")];
        const expiresIn = value(form, "expiresIn");
        show(
          await api.pause({ ...(reason && { reason }), ...(holder && { holder }), ...(expiresIn && { expiresIn }) }),
        );
      },
    }),
  );
  /** Nobody lets go of what another holds without having read whose it is. */
  const letGo = () =>
    ask({
      title: "Resume the pipeline",
      about: [
        h("p", {}, `Held ${holders.map((one) => pausing(one.holder, one)).join(" · ")}`),
        "The last holder to let go lets it run; without a name only the desired phase is set.",
      ],
      fields: [{ name: "holder", label: "Who lets go" }],
      act: "Resume",
      send: async (form) => {
        const holder = value(form, "holder");
        show(await api.resume({ ...(holder && { holder }) }));
      },
    });
  resume.addEventListener("click", async () => {
    if (holders.length > 0) {
      letGo();
      return;
    }
    resume.disabled = true;
    try {
      show(await api.resume({}));
    } catch (error) {
      note.textContent = said(error);
    } finally {
      resume.disabled = false;
    }
  });
  return show;
}
