/** The pipeline's phase with pause and resume. I/O and the document. */

import type { Pipeline, Served } from "./api.ts";
import * as api from "./api.ts";
import { ask } from "./dialog.ts";
import { announce, byId, said, value } from "./dom.ts";
import { phaseTone } from "./words.ts";

const SHORT = { dateStyle: "short", timeStyle: "short" } as const;

/** Who wants the pause, since when and why. */
function pausing({ pausedBy, reason, since }: Pipeline): string {
  const at = since === undefined ? "" : `since ${new Date(since).toLocaleString(undefined, SHORT)}`;
  const who = [pausedBy && `by ${pausedBy}`, at].filter(Boolean).join(" ");
  return [who, reason].filter(Boolean).join(": ");
}

/** Returns what shows a pipeline that was read. */
export function phase(served: Served): (pipeline: Pipeline) => void {
  const [badge, note] = [byId("phase"), byId("phase-note")];
  const [pause, resume] = [byId<HTMLButtonElement>("pause"), byId<HTMLButtonElement>("resume")];
  const pausable = served("post", "/v1/pipeline/pause");
  const resumable = served("post", "/v1/pipeline/resume");
  let shown = "";

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
    const wish = [wanted, pausing(pipeline)].filter(Boolean).join(" · ");
    if (note.dataset.wish !== wish) {
      note.dataset.wish = wish;
      note.textContent = wish;
    }
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
      ],
      act: "Pause",
      send: async (form) => {
        const [reason, holder] = [value(form, "reason"), value(form, "holder")];
        show(await api.pause({ ...(reason && { reason }), ...(holder && { holder }) }));
      },
    }),
  );
  resume.addEventListener("click", async () => {
    resume.disabled = true;
    try {
      show(await api.resume());
    } catch (error) {
      note.textContent = said(error);
    } finally {
      resume.disabled = false;
    }
  });
  return show;
}
